"""Heartbeats: the newest details reach the next attempt, however quickly they came."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from tests.support.engine import Engine

HANDLERS = """
from luaflow import activity


def _work():
    if activity.info().attempt == 2:
        return activity.info().heartbeat_details
    for step in range(1, 4):
        activity.heartbeat({"step": step})
    raise RuntimeError("after step 3")


def on_a_thread():
    return _work()


async def on_the_loop():
    return _work()
"""
WORKFLOW = """
local function main(name)
  local policy = { initial_interval = '5ms', maximum_attempts = 2 }
  return funcs.new():with_options({ ['activity.retry_policy'] = policy }):call(name)
end"""


@pytest.fixture
def _forget_handlers() -> Iterator[None]:
    yield
    sys.modules.pop("beating", None)


@pytest.mark.usefixtures("_forget_handlers")
@pytest.mark.parametrize("handler", ["on_a_thread", "on_the_loop"])
async def test_the_next_attempt_gets_the_newest_details(engine: Engine, handler: str) -> None:
    """Three heartbeats in a row and a failure: the second attempt sees the third of them."""
    engine.folder.mkdir()
    (engine.folder / "beating.py").write_text(HANDLERS)
    await engine.deploy({"beats": WORKFLOW}, python={"work": f"beating:{handler}"})
    await engine.worker()
    await engine.scheduler()
    assert await engine.execute("beats", "app:work") == {"step": 3}
