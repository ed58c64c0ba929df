"""Blocking reads: a connection of its own, because a blocked one serves nobody else."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError, ResponseError

from luaflow.errors import Unavailable
from luaflow.store.address import Place, parse_address
from luaflow.store.dialing import close_connection, open_connection, place_of, redirect
from luaflow.store.link import Arg, pack
from luaflow.store.listen import RECONNECT_SECONDS
from luaflow.store.noperm import denied
from luaflow.store.refused import TRANSIENT, error_code
from luaflow.store.slots import slot_of
from luaflow.store.waiting import BLOCK_MS, Waits

log = logging.getLogger(__name__)


class Reader:
    """Runs one blocking command at a time; after a broken connection simply ask again.

    On a cluster the keys of a command have one slot; it is asked where that slot is.
    """

    def __init__(self, url: str, name: str = "luaflow-read") -> None:
        """Keep the address; the connection is made with the first read."""
        self._url = url
        self._name = name
        self.spread = parse_address(url).kind == "cluster"
        """Whether a command may name the streams of one partition only."""
        self.waits = Waits(lambda: Reader(url, name))
        """Waits for streams of several partitions, where a command cannot name them."""
        self._connection: Connection | None = None
        self._slot: int | None = None
        self._asking: Place | None = None
        """The node that is being given the slot, and has what was asked for already."""
        self._failures = 0

    async def read(self, *command: Arg) -> Any:
        """Return the answer; None when the connection broke or the server asked to come again.

        A ResponseError that says something about the request (no such group) is raised. Cancelling
        a read drops its connection: an answer on its way must not be taken for the next one's.
        """
        try:
            connection = await self._connected(command)
            if self._asking:
                await connection.send_command("ASKING", check_health=False)
            # redis-py spells a read over 32 streams ten times slower
            await connection.send_packed_command(pack(command), check_health=False)
            async with asyncio.timeout(BLOCK_MS / 1000 + 10):
                if self._asking:
                    await connection.read_response(disable_decoding=True)
                answer = await connection.read_response(disable_decoding=True)
        except asyncio.CancelledError:
            await self.close()
            raise
        except ResponseError as error:
            if problem := denied(error, self._url, command):
                raise problem from None
            if error_code(error) not in TRANSIENT:
                raise
            await self._sent_away(error)
            return None
        except (RedisError, OSError, Unavailable) as error:
            await self._broken(error)
            return None
        self._failures = 0
        return answer

    async def _connected(self, command: tuple[Arg, ...]) -> Connection:
        """The connection, to the node of the command's slot where there are several."""
        slot = slot_of(command) if self.spread else None
        if slot != self._slot:
            await self.close()
        # redis-py would make a broken one anew by itself, to the same server
        if self._connection and not self._connection.is_connected:
            await self.close()
        if self._connection is None:
            self._connection = await open_connection(
                self._url, slot=slot, place=self._asking, client_name=self._name
            )
            self._slot = slot
        return self._connection

    async def _sent_away(self, error: ResponseError) -> None:
        """Go where the server sends us, or look anew: it is a replica now, or loads its data."""
        connection = self._connection
        assert connection
        if error_code(error) in {"MOVED", "ASK"}:
            asking = redirect(self._url, error, place_of(connection))
            await self.close()
            self._asking = asking
        else:
            await self._broken(error)

    async def _broken(self, error: Exception) -> None:
        await self.close()
        if not self._failures:
            log.warning("cannot read from Redis: %s; trying again", error)
        wait = RECONNECT_SECONDS[min(self._failures, len(RECONNECT_SECONDS) - 1)]
        self._failures += 1
        await asyncio.sleep(wait)

    async def close(self) -> None:
        """Drop the connection, and those of waits."""
        await self.waits.close()
        connection, self._connection = self._connection, None
        self._asking = None
        if connection:
            await close_connection(connection)
