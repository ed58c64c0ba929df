"""Attacks on what a worker reads, holds and lets go of; each has kept somebody waiting for ever."""

from __future__ import annotations

from unittest.mock import patch

from tests.support.engine import Engine, within
from tests.support.mutants import proves, replaced

from luaflow.errors import Unavailable
from luaflow_worker.lanes import Lanes
from luaflow_worker.polling import Poller

FINE = "local function main() return 1 end"
URGENT = {"workflow.priority": {"priority_key": 1}}


# -- reading ---------------------------------------------------------------------------------------


async def _known_too_soon(self: Lanes) -> None:
    found = {"q!hi"}
    if not found <= self._known:
        self._known |= found
        await self._serve(set(self._known))
    await self.idle(60)


@proves(replaced(Lanes, "round", _known_too_soon))
async def test_a_lane_that_cannot_be_read_at_once_is_read_later(engine: Engine) -> None:
    """The server was away when it came into use: all lanes are read when it is back."""
    opened, failed = Poller.open, list[Poller]()

    async def away(self: Poller) -> None:
        if not failed:
            failed.append(self)
            raise Unavailable
        await opened(self)

    await engine.deploy({"fine": FINE})
    await engine.worker()
    with patch.object(Poller, "open", away):
        urgent = await engine.start("fine", options=URGENT)
        assert await within((await engine.start("fine")).result()) == 1
        assert await within(urgent.result()) == 1
    assert failed
