"""The clients of a chaos run: they start jobs, send signals and updates, and wait for results."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from luaflow import Client
from luaflow.client.handle import Handle
from luaflow.errors import NoAnswer, Refused, Unavailable, Unknown
from tests.chaos.log import ClientLog, Outcome, Request

ITEMS = 2
REST_SECONDS = 0.2
"""How long a client that was refused waits before it tries again."""


class Failed(Exception):
    """A request got an answer that nobody expects."""


class Load:
    """Jobs, so many at once, until ``stop``: each takes two signals and one update."""

    def __init__(self, client: Client, log: ClientLog, at_once: int) -> None:
        self._client = client
        self._log = log
        self._at_once = at_once
        self._count = 0
        self._stopping = asyncio.Event()
        self.done = 0
        self.open: dict[str, str] = {}
        """The jobs under way, and what each waits for."""

    def stop(self) -> None:
        """Begin no more jobs."""
        self._stopping.set()

    async def run(self) -> None:
        """Have jobs done until ``stop``, and those to their end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._clients())

    async def _clients(self) -> None:
        while not self._stopping.is_set():
            self._count += 1
            name = f"job-{self._count}"
            with contextlib.suppress(Failed):  # it is in the log; the next one
                await self.job(name)
                self.done += 1
            self.open.pop(name, None)

    async def job(self, name: str) -> None:
        """One job from its start to its result."""
        start = "app:job", {"items": ITEMS}
        handle: Handle = await self._until_ok(
            name, "start", None, lambda: self._client.start(*start, id=name, request_id=name)
        )
        sent = taken = 0
        while taken < ITEMS:
            sent += 1
            outcome, _ = await self._ask(
                name, "signal", sent, functools.partial(handle.signal, "item", sent)
            )
            taken += outcome == "ok"
            if outcome == "refused":
                await asyncio.sleep(REST_SECONDS)
        add = "add", 1
        await self._until_ok(name, "update", 1, lambda: handle.update(*add, update_id="add"))
        await self._until_ok(name, "result", None, handle.result)

    async def _until_ok(
        self, name: str, verb: str, value: object, ask: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Ask, and again what may be asked twice."""
        while True:
            outcome, answer = await self._ask(name, verb, value, ask)
            if outcome == "ok":
                return answer
            await asyncio.sleep(REST_SECONDS)

    async def _ask(
        self, name: str, verb: str, value: object, ask: Callable[[], Awaitable[Any]]
    ) -> tuple[Outcome, Any]:
        self.open[name] = verb
        begin, answer, detail = time.monotonic(), None, ""
        outcome: Outcome = "ok"
        try:
            answer = await ask()
        except (Unknown, NoAnswer) as error:
            outcome, detail = "unknown", str(error)
        except Unavailable as error:
            # it waited for the server and never reached it, or broke off on the way
            outcome, detail = "unknown", str(error)
        except Refused as error:
            outcome, detail = "refused", str(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the verdict is the checker's
            outcome, detail = "failed", repr(error)
        told = value if verb != "result" else answer
        self._log.add(Request(name, verb, told, outcome, begin, time.monotonic(), detail))
        if outcome == "failed":
            raise Failed
        return outcome, answer
