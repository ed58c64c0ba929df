"""After a shortage of memory starts are accepted again soon, not a minute later."""

from __future__ import annotations

import asyncio
import logging
from unittest.mock import patch

import pytest
from tests.support.engine import Engine
from tests.support.mutants import patience, proves, replaced

from luaflow.errors import Refused
from luaflow.store.watch import ServerWatch
from luaflow_scheduler import guard
from luaflow_scheduler.guard import Guard

CODE = "local function main() return 1 end"


class Heard(logging.Handler):
    """Is told what the guard says."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words
        self.done = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Set the event when the words are said."""
        if self._words in record.getMessage():
            self.done.set()


@proves(replaced(Guard, "pause", ServerWatch.pause))
async def test_starts_are_accepted_again_soon(engine: Engine) -> None:
    """While starts are refused the guard looks again after seconds."""
    await engine.deploy({"flow": CODE})
    watch, heard = Guard(engine.store), Heard("accepted again")
    percents = iter([95])

    async def percent(_: object) -> int:
        return next(percents, 10)

    guard.log.addHandler(heard)
    level = guard.log.level
    guard.log.setLevel(logging.INFO)
    try:
        with (
            patch.object(guard, "WHILE_FULL", 0.02),
            patch.object(guard, "memory_percent", percent),
        ):
            await watch.look()
            with pytest.raises(Refused, match="95%"):
                await engine.start("flow")
            percents = iter([95])
            await watch.start()
            async with asyncio.timeout(patience()):
                await heard.done.wait()
        handle = await engine.start("flow")
        await handle.terminate()
    finally:
        guard.log.removeHandler(heard)
        guard.log.setLevel(level)
        await watch.stop()
