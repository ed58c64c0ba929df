"""Blocking reads: a connection of its own, because a blocked one serves nobody else."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError, ResponseError

from luaflow.errors import Unavailable
from luaflow.store.link import Arg, open_connection, pack
from luaflow.store.listen import RECONNECT_SECONDS

log = logging.getLogger(__name__)

BLOCK_MS = 20_000
"""How long a blocked read stays with the server; a connection silent for longer is dead."""


class Reader:
    """Runs one blocking command at a time; after a broken connection simply ask again."""

    def __init__(self, url: str, name: str = "luaflow-read") -> None:
        """Keep the address; the connection is made with the first read."""
        self._url = url
        self._name = name
        self._connection: Connection | None = None
        self._failures = 0

    async def read(self, *command: Arg) -> Any:
        """Return the answer; None when the connection broke or the server asked to come again.

        A ResponseError that says something about the request (no such group) is raised. Cancelling
        a read drops its connection: an answer on its way must not be taken for the next one's.
        """
        try:
            if self._connection is None:
                self._connection = await open_connection(self._url, client_name=self._name)
            # redis-py spells a read over 32 streams ten times slower
            await self._connection.send_packed_command(pack(command), check_health=False)
            async with asyncio.timeout(BLOCK_MS / 1000 + 10):
                answer = await self._connection.read_response(disable_decoding=True)
        except asyncio.CancelledError:
            await self.close()
            raise
        except ResponseError as error:
            if "UNBLOCKED" in str(error):
                return None
            raise
        except (RedisError, OSError, Unavailable) as error:
            await self.close()
            if not self._failures:
                log.warning("cannot read from Redis: %s; trying again", error)
            wait = RECONNECT_SECONDS[min(self._failures, len(RECONNECT_SECONDS) - 1)]
            self._failures += 1
            await asyncio.sleep(wait)
            return None
        self._failures = 0
        return answer

    async def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection:
            await connection.disconnect(nowait=True)
