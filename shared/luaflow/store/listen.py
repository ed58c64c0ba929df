"""Push: one subscribed connection a process, many listeners.

Messages are hints. Whoever waits subscribes first, then reads the state, then waits; after a lost
connection every listener is woken with ``None`` ("read again"), so a missed message costs nothing.
While it stays lost they are woken, too: ``Subscriber.problem`` says then that nobody is there.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from operator import itemgetter

from redis.asyncio.connection import Connection
from redis.exceptions import NoPermissionError, RedisError

from luaflow.errors import Refused, Unavailable
from luaflow.store.dialing import close_connection, open_connection
from luaflow.store.link import pack
from luaflow.store.noperm import denied

log = logging.getLogger(__name__)

Listener = Callable[[bytes | None], None]
RECONNECT_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
PATIENCE_SECONDS = 30.0
"""How long a connection may take before those who wait hear of it: in an outage all wait alike."""
PING_SECONDS = 15.0
"""How often the server is asked whether it is there; silent for that long, it is not."""


class Subscriber:
    """Delivers published messages to callbacks; ``None`` means: the past may have been missed."""

    def __init__(self, url: str) -> None:
        """Keep the address; the connection is made with the first subscription."""
        self.problem: str | None = None
        """Why there is no connection, when there was none for PATIENCE_SECONDS."""
        self._url = url
        self._connection: Connection | None = None
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._missing: set[str] = set()
        self._words: list[tuple[str, str]] = []
        self._said = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._heard = 0
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Connect, unless that is done. Raises Unavailable when it takes PATIENCE_SECONDS."""
        if self._tasks:
            return
        async with self._lock:
            if not self._tasks:
                self._connection = await self._connect()
                self._tasks = [
                    asyncio.create_task(self._run(), name="luaflow-listen"),
                    asyncio.create_task(self._speak(), name="luaflow-listen-say"),
                    asyncio.create_task(self._watch(), name="luaflow-listen-watch"),
                ]

    def listen(self, channel: str, listener: Listener) -> asyncio.Future[None]:
        """Begin to subscribe (``open`` comes before): done when nothing more is missed."""
        self._listeners[channel].append(listener)
        future = self._confirmed.get(channel)
        if future is None:
            future = self._confirmed[channel] = asyncio.get_running_loop().create_future()
            self._say("SUBSCRIBE", channel)
        return future

    def listens(self, channel: str) -> bool:
        """Whether somebody listens to this channel, or is about to."""
        return channel in self._confirmed

    async def add(self, channel: str, listener: Listener) -> None:
        """Subscribe; when this returns, nothing published from now on is missed.

        Raises Unavailable when there is no connection within PATIENCE_SECONDS.
        """
        await self.open()
        future = self.listen(channel, listener)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(future)
        except BaseException as error:
            self.remove(channel, listener)
            if isinstance(error, TimeoutError):
                silent = f"Redis confirmed no subscription for {PATIENCE_SECONDS:.0f} s"
                raise Unavailable(self.problem or silent) from None
            raise

    def remove(self, channel: str, listener: Listener) -> None:
        """Unsubscribe this listener; the channel goes with its last one."""
        listeners = self._listeners.get(channel, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners and channel in self._confirmed:
            self._listeners.pop(channel, None)
            self._confirmed.pop(channel).cancel()
            self._say("UNSUBSCRIBE", channel)

    async def close(self) -> None:
        """Close the connection and forget the listeners."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for future in self._confirmed.values():
            future.cancel()
        self._confirmed.clear()
        self._listeners.clear()
        self._words.clear()
        connection, self._connection = self._connection, None
        if connection:
            await close_connection(connection)

    def _say(self, verb: str, channel: str = "") -> None:
        self._words.append((verb, channel))
        self._said.set()

    async def _speak(self) -> None:
        """Send together what is said in one turn of the event loop."""
        while True:
            await self._said.wait()
            self._said.clear()
            words, self._words = self._words, []
            # redis-py would connect a lost connection anew by itself, without its subscriptions
            if self._connection is None or not self._connection.is_connected:
                continue
            try:
                await self._connection.send_packed_command(_packed(words), check_health=False)
            except (RedisError, OSError):
                log.debug("%d words were not sent; the reconnect says what counts", len(words))

    async def _run(self) -> None:
        while True:
            try:
                await self._receive()
            except NoPermissionError as error:
                self._refuse(error)
            except (RedisError, OSError) as error:
                log.warning("push connection to Redis lost: %s", error)
                # away with it: redis-py would connect it again at the next word said to it
                lost, self._connection = self._connection, None
                if lost:
                    await close_connection(lost)
                await self._reconnect()

    async def _watch(self) -> None:
        """Give up a connection that is silent although it was asked (a half-open socket)."""
        while True:
            connection, heard = self._connection, self._heard
            self._say("PING")
            await asyncio.sleep(PING_SECONDS)
            if connection and connection is self._connection and heard == self._heard:
                log.warning("push connection to Redis is silent: making a new one")
                await connection.disconnect(nowait=True)

    async def _receive(self) -> None:
        assert self._connection is not None
        while True:
            answer = await self._connection.read_response(disable_decoding=True)
            self._heard += 1
            if not isinstance(answer, list) or len(answer) < 3:
                continue  # a pong
            kind, channel, data = bytes(answer[0]), bytes(answer[1] or b"").decode(), answer[2]
            if kind == b"message":
                for listener in list(self._listeners.get(channel, ())):
                    listener(data)
            elif kind == b"subscribe":
                future = self._confirmed.get(channel)
                if future and not future.done():
                    future.set_result(None)
                if channel in self._missing:
                    # only now: what is read before it could miss what is told after it
                    self._missing.discard(channel)
                    self._wake(channel)

    def _refuse(self, error: NoPermissionError) -> None:
        """Tell those who wait for a subscription that this user may not have it."""
        for channel, future in self._confirmed.items():
            problem = denied(error, self._url, ("SUBSCRIBE", channel))
            if not future.done() and problem:
                future.set_exception(problem)
            elif channel in self._missing:  # it might, before the connection was lost
                self.problem = str(problem)
                self._wake(channel)

    def _wake(self, *channels: str) -> None:
        for channel in channels:
            for listener in list(self._listeners.get(channel, ())):
                listener(None)

    async def _reconnect(self) -> None:
        while self._connection is None:
            try:
                self._connection = await self._connect()
            except (Unavailable, Refused) as error:
                self.problem = f"no connection to Redis for {PATIENCE_SECONDS:.0f} s: {error}"
                self._wake(*self._listeners)
                if isinstance(error, Refused):  # that one comes at once
                    await asyncio.sleep(RECONNECT_SECONDS[-1])
        self.problem = None
        self._missing = set(self._confirmed)
        self._words.clear()
        for channel in self._confirmed:
            self._say("SUBSCRIBE", channel)

    async def _connect(self) -> Connection:
        """Connect, again and again; Unavailable when PATIENCE_SECONDS are at their end."""
        loop = asyncio.get_running_loop()
        end, attempt = loop.time() + PATIENCE_SECONDS, 0
        while True:
            wait = RECONNECT_SECONDS[min(attempt, len(RECONNECT_SECONDS) - 1)]
            try:
                return await open_connection(self._url, client_name="luaflow-listen")
            except Unavailable:
                if loop.time() + wait > end:
                    raise
            attempt += 1
            await asyncio.sleep(wait)


def _packed(words: Sequence[tuple[str, str]]) -> bytes:
    """Commands as bytes; neighbours of one verb are one command."""
    parts = []
    for verb, group in itertools.groupby(words, key=itemgetter(0)):
        channels = [channel for _, channel in group if channel]
        parts.append(pack((verb, *channels)))
    return b"".join(parts)
