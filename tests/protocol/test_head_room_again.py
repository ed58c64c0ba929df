"""After a shortage of memory starts are accepted again soon, not a minute later."""

from __future__ import annotations

import asyncio
import logging
from unittest.mock import patch

import pytest
from prometheus_client import CollectorRegistry
from tests.support.engine import Engine
from tests.support.mutants import patience, proves, replaced

from luaflow.errors import Refused
from luaflow_scheduler import pressure
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.pressure import Pressure
from luaflow_scheduler.retention import Retention
from luaflow_scheduler.settling import Settling

CODE = "local function main() return 1 end"


class Heard(logging.Handler):
    """Is told what a scheduler says."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words
        self.done = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Set the event when the words are said."""
        if self._words in record.getMessage():
            self.done.set()


@proves(replaced(Pressure, "pause", lambda _: pressure.EVERY))
async def test_starts_are_accepted_again_soon(engine: Engine) -> None:
    """While starts are refused it looks again after seconds."""
    await engine.deploy({"flow": CODE})
    store, metrics = engine.store, SchedulerMetrics(CollectorRegistry())
    watch = Pressure(store, metrics, Settling(store, metrics, Retention(store)))
    heard = Heard("accepted again")
    percents = iter([95])

    async def percent(_: object) -> int:
        return next(percents, 10)

    pressure.log.addHandler(heard)
    level = pressure.log.level
    pressure.log.setLevel(logging.INFO)
    try:
        with (
            patch.object(pressure, "WHILE_FULL", 0.02),
            patch.object(pressure, "memory_percent", percent),
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
        pressure.log.removeHandler(heard)
        pressure.log.setLevel(level)
        await watch.stop()
