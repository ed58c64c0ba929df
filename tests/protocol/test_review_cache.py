"""The cache and the server under attack: more busy runs than room, a server busy with others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import redis.asyncio
from tests.protocol.hand import Hand
from tests.support.engine import Engine
from tests.support.mutants import patience, proves, replaced

from luaflow.store import refused
from luaflow.store.store import Store
from luaflow_worker.live import Cache, Live


def live(name: str) -> Any:
    place = SimpleNamespace(route=SimpleNamespace(run_id=name))
    return Live(place, Mock(), Mock(), busy=True)  # type: ignore[arg-type]


def test_the_cache_shrinks_to_its_size() -> None:
    """Runs that were all busy at once leave when they are not: memory has a bound (3.8)."""
    gone: list[Live] = []
    cache = Cache(2, gone.append)
    many = [live(str(n)) for n in range(6)]
    for one in many:
        cache.put(one)
    assert len(cache) == 6
    for one in many:
        one.busy = False
    cache.put(live("last"))
    assert len(cache) == 2
    assert gone == many[:5]


def test_a_run_taken_anew_drops_the_one_before() -> None:
    """What its activities return is then reported, and its memory is free."""
    cache = Cache(2, lambda _: None)
    first, second = live("r"), live("r")
    cache.put(first)
    first.busy = False
    cache.put(second)
    assert first.dropped
    assert cache.get("r") is second


@pytest.mark.one_server("it makes one server busy")
@proves(replaced(refused, "TRANSIENT", frozenset[str]()))
async def test_a_server_busy_with_a_long_script_is_waited_for(
    hand: Hand, raw: redis.asyncio.Redis
) -> None:
    """BUSY is an answer that passes: no batch of tasks is lost over it."""
    (limit,) = (await raw.config_get("busy-reply-threshold")).values()
    await raw.config_set("busy-reply-threshold", 10)
    other = redis.asyncio.Redis.from_url(hand.store.url)
    endless: asyncio.Future[Any] = asyncio.ensure_future(other.eval("while true do end", 0))
    try:
        async with asyncio.timeout(patience()):
            while not isinstance((await hand.store.link.batch([("PING",)]))[0], Exception):
                pass
        reading = asyncio.create_task(hand.store.read(("EXISTS", "x")))
        await asyncio.wait([reading], timeout=0.2)
    finally:
        await raw.script_kill()
        await asyncio.gather(endless, return_exceptions=True)
        await other.aclose()
        await raw.config_set("busy-reply-threshold", str(limit))
    assert await reading == [0]


@proves(replaced(Store, "apart", Store.run))
async def test_an_activity_that_cannot_be_taken_fails_alone(engine: Engine) -> None:
    """Those read with it are run: of a key of a wrong type, of options nobody can read (3.6)."""
    source = (
        'local funcs = require("funcs") local function main(n) return funcs.call("app:step", n) end'
    )
    step = "local function main(n) return n end"
    await engine.deploy({"flow": source}, activities={"step": step})
    handles = [await engine.start("flow", n, id=engine.id_in(n)) for n in range(4)]
    deciding = await engine.worker("workflow")
    for handle in handles:
        await _queued(engine, handle)
    await engine.retire(deciding)
    bad = handles[0]
    pend = engine.store.partition(bad.workflow_id).pend(str(bad.run_id))
    await engine.store.read(("RENAME", pend, pend + "x"), ("SET", pend, "a text"))
    await engine.worker()
    try:
        got = [await handle.result(timeout=patience()) for handle in handles[1:]]
    finally:
        await engine.store.read(("DEL", pend), ("RENAME", pend + "x", pend))
        await bad.terminate()
    assert got == [1, 2, 3]


async def _queued(engine: Engine, handle: Any) -> None:
    async with asyncio.timeout(patience()):
        async for event in handle.history(follow=True):
            if event.type == "ActivityTaskScheduled":
                return
