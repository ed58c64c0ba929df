"""Packed histories: a closed run keeps its whole history as one compressed value of its state."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry
from tests.protocol.hand import Hand, Task, close, timer
from tests.protocol.scenes import dump
from tests.support.engine import Engine, within
from tests.support.mutants import altered_script, mutant, proves, replaced

from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.client.messages import present
from luaflow.domain import packing
from luaflow.domain.events import Event
from luaflow.errors import AlreadyExists, Damaged, Refused
from luaflow.store import keys, past, transitions
from luaflow.store.link import table
from luaflow.store.past import packed
from luaflow.store.store import Store
from luaflow.store.transitions import Route
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
FIRST = ("first = v[10] or run_id", "first = v[10] or ''")
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


@proves(
    mutant("compact_run", "'patience', 'unread', 'told', 'told_len', 'timeout', 'sticky'", ""),
    mutant("compact_run", "if v[8] == run_id", "if false"),
    mutant("compact_run", "if w[1] == run_id", "if false"),
    replaced(packing, "dictionary", lambda _: packing.DICTIONARY),
    replaced(packing, "SMALL", 128),
)
async def test_a_packed_run_is_small(engine: Engine) -> None:
    """A run of three activities: nothing superfluous is kept, and its keys are compact."""
    handle = await order(engine)
    large = await size(engine.store, handle)
    assert not await settle(engine.store)
    assert await size(engine.store, handle) < large / 2
    p, run_id = engine.store.partition(handle.workflow_id), str(handle.run_id)
    places = (p.run(run_id), p.wf(handle.workflow_id))
    for place in places:
        assert await engine.store.read(("OBJECT", "ENCODING", place)) == [b"listpack"]
    run, wf = [table(flat) for flat in await engine.store.read(*(("HGETALL", k) for k in places))]
    assert sorted(wf) == ["run", "status"]
    told = "0 1 ans bundle cid close decided len past queue size start status type wid"
    assert sorted(run) == told.split()


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
    mutant("compact_run", "rcall('XLEN', hist_key) ~= length or", ""),
    mutant("compact_run", "or rcall('HLEN', pend_key) > 0 or", "or"),
    mutant("compact_run", "or (v[4] or '') ~= cid then", "then"),
    mutant("compact_run", "tonumber(v[12]) ~= size or", ""),
)
async def test_only_a_whole_history_of_a_closed_run_is_packed(hand: Hand) -> None:
    """What is open, waits to be closed out, or has other events is left alone."""
    route, _ = await hand.idle("w", *timer(1, 50))
    p, run_id = route.partition, route.run_id
    short = await hand.packing(route)
    assert (await hand.store.one(short))[0] == b"open"
    await hand.end(route)
    assert (await hand.store.one(short))[0] == b"open"
    whole = await hand.packing(route)
    assert (await hand.store.one(whole))[0] == b"open"  # its timer was not cleaned yet
    await hand.store.one(
        transitions.close_out(partition=p, run_id=run_id, items=[("t:1", None, b"")])
    )
    # not the history that was packed
    await hand.store.read(("XADD", p.hist(run_id), "99-0", "ts", "1", "t", "x", "e", "y"))
    assert (await hand.store.one(whole))[0] == b"open"
    await hand.store.read(("XDEL", p.hist(run_id), "99-0"))
    # nor the history of the run that another primary knew
    (size,) = await hand.store.read(("HGET", p.run(run_id), "size"))
    await hand.store.read(("HINCRBY", p.run(run_id), "size", 1))
    assert (await hand.store.one(whole))[0] == b"open"
    await hand.store.read(("HSET", p.run(run_id), "size", size))
    await hand.store.read(("HSET", p.run(run_id), "cid", "b.1"))
    assert (await hand.store.one(whole))[0] == b"open"


@proves(mutant("compact_run", "if v[3] then return { 'done' } end", ""))
async def test_packing_again_changes_nothing(hand: Hand) -> None:
    """A scheduler whose answer was lost, or a second one, repeats it."""
    route, _ = await hand.idle()
    await hand.end(route)
    events, call = await hand.events(route), await hand.packing(route)
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
    await hand.store.one(await hand.packing(routes[0]))
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
    record = orjson.dumps({"queues": ["q"], "role": "all", "packed": packing.FORMAT - 1})
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


async def test_a_history_of_the_release_before_is_read(hand: Hand) -> None:
    """It was packed in format 1, and nothing was left out of its state."""
    route, _ = await hand.idle()
    await hand.end(route)
    events, p = await hand.events(route), route.partition
    text = b"".join(
        b"%d %s %d\n%s" % (now.ts - then, now.type.encode(), len(now.raw), now.raw)
        for then, now in zip((0, *(e.ts for e in events)), events, strict=False)
    )
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, 0, packing.DICTIONARY)
    data = packer.compress(text) + packer.flush()
    parts = [data[at : at + 4] for at in range(0, len(data), 4)]
    assert len(parts) > past.FIRST_PIECES
    fields = [part for n, value in enumerate(parts) for part in (f"past:{n}", value)]
    head = f"1 {len(parts)} {len(events)}"
    await hand.store.read(
        ("HSET", p.run(route.run_id), "past", head, *fields), ("DEL", p.hist(route.run_id))
    )
    assert plain(await hand.events(route)) == plain(events)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (("HSET", "queue", "other"), "not what was packed"),
        (("HSET", "0", "x"), "cannot be read"),
        (("HSET", "past", "3 1 1"), "update luaflow"),
        (("HSET", "past", "x"), "invalid literal"),
    ],
    ids=lambda damage: "-".join(damage[1:]) if isinstance(damage, tuple) else None,
)
async def test_a_packed_run_that_cannot_be_read_is_named(
    engine: Engine, damage: tuple[str, ...], told: str
) -> None:
    """Also one whose state is not the one it was packed beside; lists show the others."""
    broken, whole = await order(engine), await engine.start("order", {"id": 8})
    await whole.result(timeout=10)
    assert not await settle(engine.store)
    p, run_id = engine.store.partition(broken.workflow_id), str(broken.run_id)
    await engine.store.read((damage[0], p.run(run_id), *damage[1:]))
    engine.excused = True
    listed = await engine.client.list()
    assert [run["run_id"] for run in listed["workflows"]] == [whole.run_id]
    assert [run["run_id"] for run in listed["damaged"]] == [run_id]
    for message in (listed["damaged"][0]["message"], str(await _problem(broken))):
        assert told in message
        assert run_id in message


async def _problem(handle: Handle) -> Damaged:
    with pytest.raises(Damaged) as caught:
        await handle.describe()
    return caught.value


async def test_a_damaged_workflow_id_keeps_no_other_run_from_being_packed(hand: Hand) -> None:
    """What stands there is no text any more; the next run of the partition is packed."""
    damaged, _ = await hand.idle("w")
    whole, _ = await hand.idle(hand.id_in(damaged.partition.number, but="w"))
    for route in (damaged, whole):
        await hand.end(route)
    p = damaged.partition
    await hand.store.read(("HSET", p.run(damaged.run_id), "wid", b"\xff"))
    hand.excused = True
    assert not await settle(hand.store)
    assert await hand.store.read(("EXISTS", p.hist(whole.run_id))) == [0]


@proves(
    mutant("includes/decide", "a[3] or r.len", "a[3] or 0"),
    mutant("includes/decide", "a[4] or tonumber(v[2])", "a[4] or 0"),
    mutant("includes/decide", "a[5] or 0", "a[5] or 1"),
    mutant("compact_run", "if short and v[5] == ", "if short and v[5] ~= "),
)
async def test_the_repeat_of_a_commit_gets_its_answer_from_a_packed_run(hand: Hand) -> None:
    """Of the commit that closed it as of one before its end: the whole answer, as it was."""
    task = await hand.take(await hand.start())
    first = await hand.commit(task, *close(), cid="a.1")
    other = await hand.take(await hand.start("other"))
    second = await hand.commit(other, *timer(1, 50), cid="a.2")
    await hand.shift(1)
    await hand.end(other.route)
    items = [("t:1", None, b"")]
    p, run_id = other.route.partition, other.route.run_id
    await hand.store.one(transitions.close_out(partition=p, run_id=run_id, items=items))
    for route in (task.route, other.route):
        assert (await hand.store.one(await hand.packing(route)))[0] == b"ok"
    assert await hand.commit(task, *close(), cid="a.1") == first
    assert await hand.commit(other, *timer(1, 50), cid="a.2") == second
    assert (await hand.commit(other, *close(), cid="a.3"))[:2] == [b"closed", b"terminated"]


async def _woken(hand: Hand, route: Route) -> Task:
    await hand.tell(route)
    return await hand.take(route)


@proves(mutant("compact_run", "if v[8] == run_id and not v[9] then", "if true then"))
async def test_the_release_before_follows_a_chain_whose_first_run_is_packed(hand: Hand) -> None:
    """What it takes for no chain is a run that none follows."""
    task = await hand.take(await hand.start())
    await hand.carry_on(task, "n" * 32)
    await hand.store.one(await hand.packing(task.route))
    with altered_script("includes/tell", *FIRST):
        assert (await hand.tell(task.route))[0] == b"ok"


@proves(
    mutant("compact_run", "if w[2] == run_id then", "if true then"),
    mutant("includes/tell", *FIRST),
)
async def test_a_chain_stays_a_chain_when_its_runs_are_packed(hand: Hand) -> None:
    """Its first run stands for it; a run that has the workflow id later is none of it."""
    task = await hand.take(await hand.start())
    route = task.route
    alone, _ = await hand.idle("alone")
    following = "n" * 32
    await hand.carry_on(task, following)
    chain = route._replace(run_id=following)
    await hand.store.one(await hand.packing(route))
    assert (await hand.tell(route))[0] == b"ok"
    assert "WorkflowExecutionSignaled" in await hand.types(chain)
    for one in (chain, alone):
        await hand.end(one)
        await hand.store.one(await hand.packing(one))
    assert await present(hand.store, route) == route._replace(run_id=following, queue="")
    assert (await hand.tell(route))[:2] == [b"closed", b"terminated"]
    again, _ = await hand.idle("alone")
    assert (await hand.tell(alone))[:2] == [b"closed", b"terminated"]
    assert await present(hand.store, alone) is None
    await hand.commit(await _woken(hand, again), *close())
    await hand.store.one(await hand.packing(again))
    assert await present(hand.store, alone) is None
    assert await present(hand.store, again) == again._replace(queue="")
    assert (await hand.tell(alone))[:2] == [b"closed", b"terminated"]


async def test_a_workflow_id_is_free_again_when_its_run_is_packed(engine: Engine) -> None:
    """Its policies go by how the packed run ended; what is started then is whole."""
    handle = await order(engine)
    assert not await settle(engine.store)
    how: dict[str, Any] = {"id": handle.workflow_id, "id_reuse_policy": "reject_duplicate"}
    with pytest.raises(AlreadyExists):
        await engine.client.start("app:order", {"id": 8}, **how)
    again = await engine.client.start("app:order", {"id": 8}, id=handle.workflow_id)
    assert (await again.result(timeout=10))["paid"]["id"] == 8
    assert (await handle.result(timeout=10))["paid"]["id"] == 7
    assert await engine.client.count("ExecutionStatus = 'Completed'") == 2
    assert await engine.client.count("WorkflowType = 'app:order'") == 2
