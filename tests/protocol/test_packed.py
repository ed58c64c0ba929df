"""Packed histories: a closed run keeps its whole history as one compressed value of its state."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from prometheus_client import CollectorRegistry
from tests.protocol.hand import Hand, timer
from tests.protocol.scenes import dump
from tests.support.engine import Engine, within
from tests.support.mutants import altered_script, mutant, proves, replaced

from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.domain import packing
from luaflow.domain.events import Event
from luaflow.errors import Refused
from luaflow.store import keys, past, transitions
from luaflow.store.past import compact_run, packed
from luaflow.store.store import Store
from luaflow_scheduler import settling
from luaflow_scheduler.dates import Date
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.retention import Retention
from luaflow_scheduler.settling import Settling

ORDER = """
local function main(order)
  local funcs = require("funcs")
  local workflow = require("workflow")
  workflow.on_query("step", function() return "all done" end)
  local paid = funcs.call("app:pay", order)
  local sent = funcs.call("app:send", order)
  local told = funcs.call("app:tell", order)
  return { paid = paid, sent = sent, told = told }
end
"""
OLD = "rcall('ZREM', gc_key, run_id)"
ACTIVITY = "local function main(order) return { ok = true, id = order.id } end"


async def settle(store: Store) -> list[tuple[Date, int]]:
    """Pack what is closed, as a scheduler would when its date comes; return what is put off."""
    one = Settling(store, SchedulerMetrics(CollectorRegistry()), Retention(store))
    left = []
    for p in store.partitions:
        (members,) = await store.read(("ZRANGE", p.gc, 0, -1))
        dates = [Date(p.gc, bytes(m).decode(), "0") for m in members]
        left += await one.settle(p, [d for d in dates if d.member.startswith("p|")])
    return left


async def order(engine: Engine) -> Handle:
    """A closed run of three activities."""
    activities = dict.fromkeys(("pay", "send", "tell"), ACTIVITY)
    await engine.deploy({"order": ORDER}, activities=activities)
    await engine.worker()
    handle = await engine.start("order", {"id": 7})
    await handle.result(timeout=10)
    return handle


def plain(events: list[Event]) -> list[tuple[int, int, str, bytes]]:
    """All there is of events."""
    return [(e.id, e.ts, e.type, e.raw) for e in events]


async def size(store: Store, handle: Handle) -> int:
    """What a run costs the server: all its keys (its places in the indexes come to them)."""
    p, run_id = store.partition(handle.workflow_id), str(handle.run_id)
    names = p.of_run(handle.workflow_id, run_id)[1:]
    return sum(n or 0 for n in await store.read(*(("MEMORY", "USAGE", name) for name in names)))


async def test_a_packed_run_answers_as_before(engine: Engine) -> None:
    """Its history, description, result, queries: nobody sees in which form it is stored."""
    handle = await order(engine)
    before = plain(await engine.history(handle)), await handle.describe(), await handle.result()
    assert not await settle(engine.store)
    p, run_id = engine.store.partition(handle.workflow_id), str(handle.run_id)
    assert await engine.store.read(("EXISTS", p.hist(run_id), p.pend(run_id))) == [0]
    after = plain(await engine.history(handle)), await handle.describe(), await handle.result()
    assert after == before
    assert await handle.query("step") == "all done"
    assert plain([e async for e in handle.history(follow=True)]) == before[0]
    listed = await engine.client.list()
    assert [run["history_length"] for run in listed["workflows"]] == [len(before[0])]
    with pytest.raises(Refused, match="not running"):
        await handle.signal("late")


async def test_a_packed_run_is_small(engine: Engine) -> None:
    """A run of three activities with its whole history: its keys take less than 1,000 bytes."""
    handle = await order(engine)
    large = await size(engine.store, handle)
    assert not await settle(engine.store)
    assert await size(engine.store, handle) < min(1000, large)


async def test_a_scheduler_packs_when_the_date_comes(engine: Engine) -> None:
    """The history is packed by itself, ``settle_after_ms`` after the end."""
    await engine.store.read(*(("HSET", q.meta, "settle", 50) for q in engine.store.partitions))
    handle = await order(engine)
    p = engine.store.partition(handle.workflow_id)
    await engine.scheduler()
    seen = asyncio.Event()
    with replaced(SchedulerMetrics, "run_packed", lambda _: seen.set())():
        await engine.scheduler()
        await within(seen.wait())
    (found,) = await packed(engine.store, [(p, str(handle.run_id))])
    assert found
    assert (await engine.history(handle))[-1].type == "WorkflowExecutionCompleted"


@proves(
    mutant("compact_run", "if rcall('XLEN', hist_key) ~= length then return { 'open' } end", ""),
    mutant("compact_run", "or rcall('HLEN', pend_key) > 0 or", "or"),
)
async def test_only_a_whole_history_of_a_closed_run_is_packed(hand: Hand) -> None:
    """What is open, waits to be closed out, or has other events is left alone."""
    route, _ = await hand.idle("w", *timer(1, 50))
    p, run_id = route.partition, route.run_id
    events = await hand.events(route)
    data = packing.pack(events)
    call = compact_run(partition=p, run_id=run_id, events=len(events), packed=data)
    assert (await hand.store.one(call))[0] == b"open"
    await hand.end(route)
    short = compact_run(partition=p, run_id=run_id, events=len(events), packed=data)
    assert (await hand.store.one(short))[0] == b"open"
    events = await hand.events(route)
    whole = compact_run(partition=p, run_id=run_id, events=len(events), packed=packing.pack(events))
    assert (await hand.store.one(whole))[0] == b"open"  # its timer was not cleaned yet
    await hand.store.one(
        transitions.close_out(partition=p, run_id=run_id, items=[("t:1", None, b"")])
    )
    # not the history that was packed
    await hand.store.read(("XADD", p.hist(run_id), "99-0", "ts", "1", "t", "x", "e", "y"))
    assert (await hand.store.one(whole))[0] == b"open"
    await hand.store.read(("XDEL", p.hist(run_id), "99-0"))


@proves(mutant("compact_run", "if v[3] then return { 'done' } end", ""))
async def test_packing_again_changes_nothing(hand: Hand) -> None:
    """A scheduler whose answer was lost, or a second one, repeats it."""
    route, _ = await hand.idle()
    await hand.end(route)
    events = await hand.events(route)
    call = compact_run(
        partition=route.partition,
        run_id=route.run_id,
        events=len(events),
        packed=packing.pack(events),
    )
    assert (await hand.store.one(call))[0] == b"ok"
    before = await dump(hand)
    assert (await hand.store.one(call))[0] == b"done"
    assert await dump(hand) == before
    (found,) = await packed(hand.store, [(route.partition, route.run_id)])
    assert plain(found) == plain(events)


@proves(
    mutant(
        "remove_run",
        "rcall('ZREM', gc_key, run_id, 'p|' .. run_id)",
        "rcall('ZREM', gc_key, run_id)",
    )
)
async def test_nothing_of_a_packed_or_unpacked_run_is_left(hand: Hand) -> None:
    """Retention removes a run in either form, and its date to be packed."""
    routes = [(await hand.idle("w"))[0], (await hand.idle(hand.id_in(3)))[0]]
    for route in routes:
        await hand.end(route)
    events = await hand.events(routes[0])
    await hand.store.one(
        compact_run(
            partition=routes[0].partition,
            run_id=routes[0].run_id,
            events=len(events),
            packed=packing.pack(events),
        )
    )
    await hand.shift(hand.store.settings.retention_ms)
    for route in routes:
        call = transitions.remove_run(
            partition=route.partition, workflow_id=route.workflow_id, run_id=route.run_id
        )
        assert (await hand.store.one(call))[0] == b"ok"
        left = [key for key in await dump(hand) if route.run_id in key]
        assert not left
        assert await hand.store.read(("ZCARD", route.partition.gc)) == [0]


@proves(replaced(settling, "_all_read", lambda _: asyncio.sleep(0, result=True)))
async def test_nothing_is_packed_while_a_worker_could_not_read_it(hand: Hand) -> None:
    """A worker of the release before answers queries of closed runs: it must find the stream."""
    route, _ = await hand.idle()
    await hand.end(route)
    namespace = hand.store.namespace
    record = orjson.dumps({"queues": ["q"], "role": "all"})
    await hand.store.read(
        ("ZADD", keys.workers(namespace), 1, "old"),
        ("HSET", keys.worker(namespace, "old"), "record", record),
        ("PEXPIRE", keys.worker(namespace, "old"), 60_000),
    )
    assert [date.run_id for date, _ in await settle(hand.store)] == [route.run_id]
    assert len(await hand.events(route)) == 3


async def test_a_large_history_stays_a_stream(hand: Hand) -> None:
    """What would hold a scheduler up is not packed, and its date goes."""
    route, _ = await hand.idle()
    await hand.end(route)
    with replaced(settling, "MOST_BYTES", 10)():
        assert not await settle(hand.store)
    assert len(await hand.events(route)) == 3
    assert await hand.store.read(("ZRANGE", route.partition.gc, 0, -1)) == [[route.run_id.encode()]]


async def test_a_long_history_is_read_in_pages_across_the_change(engine: Engine) -> None:
    """Whoever reads a history while it is packed gets every event once."""
    handle = await order(engine)
    before = plain(await engine.history(handle))
    reading = handle.history()
    first = [await anext(reading)]
    with replaced(past, "PAGE", 1)():
        assert not await settle(engine.store)
        assert plain(first + [event async for event in reading]) == before


async def test_who_waits_for_an_end_finds_it_packed(hand: Hand) -> None:
    """A result is found in either form."""
    route, _ = await hand.idle()
    await hand.end(route)
    assert not await settle(hand.store)
    event = await Client(hand.store).get_handle("w", route.run_id)._last_event(route.run_id)
    assert event
    assert event.type == "WorkflowExecutionTerminated"


async def test_a_scheduler_of_the_release_before_takes_the_date_alone(hand: Hand) -> None:
    """It removes the date as that of a run that is gone; the run stays, as a stream."""
    route, _ = await hand.idle()
    await hand.end(route)
    await hand.shift(hand.store.settings.settle_after_ms)
    call = transitions.remove_run(
        partition=route.partition, workflow_id="", run_id=f"p|{route.run_id}"
    )
    with altered_script("remove_run", "rcall('ZREM', gc_key, run_id, 'p|' .. run_id)", OLD):
        assert (await hand.store.one(call))[0] == b"ok"
    assert await hand.store.read(("ZRANGE", route.partition.gc, 0, -1)) == [[route.run_id.encode()]]
    assert len(await hand.events(route)) == 3


async def test_the_date_of_a_run_that_was_removed_goes(hand: Hand) -> None:
    """A scheduler of the release before removed the run, and left the date it does not know."""
    route, _ = await hand.idle()
    await hand.end(route)
    await hand.shift(hand.store.settings.retention_ms)
    call = transitions.remove_run(partition=route.partition, workflow_id="w", run_id=route.run_id)
    with altered_script("remove_run", "rcall('ZREM', gc_key, run_id, 'p|' .. run_id)", OLD):
        assert (await hand.store.one(call))[0] == b"ok"
    assert not await settle(hand.store)
    assert await hand.store.read(("ZCARD", route.partition.gc)) == [0]
