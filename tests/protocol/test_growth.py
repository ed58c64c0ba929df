"""No growth without a bound (design 3, 8): what is over leaves the server."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest
from tests.protocol.hand import Hand, close, eager, request, timer
from tests.protocol.scenes import dump
from tests.support.mutants import mutant, proves

from luaflow.client.client import Client
from luaflow.errors import NotFound, Refused
from luaflow.store import delivery, transitions
from luaflow.store.deployed import DeployedType
from luaflow.store.keys import types
from luaflow.store.transitions import Route


@proves(mutant("remove_run", "if due > server_now then return { 'early' } end\n", "\n"))
async def test_a_run_stays_for_its_retention(hand: Hand) -> None:
    """A closed run can be read until its retention ends."""
    route = await hand.start()
    await hand.commit(await hand.take(route), *close())
    await hand.shift(hand.store.settings.retention_ms - 1)
    call = transitions.remove_run(partition=route.partition, workflow_id="w", run_id=route.run_id)
    assert (await hand.store.one(call))[0] == b"early"
    assert len(await hand.events(route)) == 3


@proves(
    mutant(
        "remove_run", "rcall('UNLINK', run_key, hist_key, pend_key)", "rcall('UNLINK', run_key)"
    ),
    mutant("remove_run", "then rcall('DEL', wf_key) end", "then local _ end"),
)
async def test_nothing_of_a_removed_run_is_left(hand: Hand) -> None:
    """After its retention every key of a run is gone, and its entries in the index."""
    route, _ = await hand.idle()
    before = set(await dump(hand))
    await hand.end(route)
    await hand.shift(hand.store.settings.retention_ms)
    call = transitions.remove_run(partition=route.partition, workflow_id="w", run_id=route.run_id)
    assert (await hand.store.one(call))[0] == b"ok"
    left = {key.removeprefix(route.partition.prefix) for key in set(await dump(hand)) & before}
    assert {
        k for k in left if k.partition(":")[0] in ("wf", "run", "hist", "pend", "vis", "gc")
    } == set()


@proves(
    mutant("message", "return { 'gone' }", "return { 'moved', w[1] or '', w[2] or '', w[3] or '' }")
)
async def test_a_removed_runs_messages_are_nobody_elses(hand: Hand) -> None:
    """Who names a run that is gone hears so; another run of the workflow id is not meant."""
    first = await hand.start()
    handle = Client(hand.store).get_handle("w", first.run_id)
    await handle.signal("hello")
    await expire(hand, first)
    second = await hand.start()
    for ask in (handle.signal, handle.cancel):
        with pytest.raises(NotFound, match="no run"):
            await ask("for the first run")
    assert await hand.types(second) == ["WorkflowExecutionStarted"]


async def expire(hand: Hand, route: Route) -> None:
    """End a run and remove it when its retention is over."""
    await hand.end(route)
    await hand.shift(hand.store.settings.retention_ms)
    call = transitions.remove_run(partition=route.partition, workflow_id="w", run_id=route.run_id)
    assert (await hand.store.one(call))[0] == b"ok"


async def test_a_message_to_whichever_run_finds_the_present_one(hand: Hand) -> None:
    """The run that was found is removed before the message comes: the next one gets it."""
    first = await hand.start()
    await expire(hand, first)
    second = await hand.start()
    found = iter([first, second])
    with patch.object(hand.store, "route", lambda *_: asyncio.sleep(0, next(found))):
        await Client(hand.store).get_handle("w").signal("hello")
    assert (await hand.types(second))[-1] == "WorkflowExecutionSignaled"


async def test_a_workflow_id_without_its_run_holds_nobody_up(hand: Hand) -> None:
    """Its run's hash is lost: who signals, starts or uses it hears so, soon."""
    hand.excused = True
    route = await hand.start()
    client = Client(hand.store)
    await hand.store.read(("DEL", *route.partition.of_run("w", route.run_id)[2:]))
    with pytest.raises(NotFound):
        await client.get_handle("w").signal("hello")
    deployed = DeployedType("t", "app:t", "b", "q", "app:worker", "app:client")
    table = types(hand.store.namespace)
    await hand.store.read(("HSET", table, "t", deployed.to_bytes()))
    with pytest.raises(Refused):
        await client.signal_with_start("t", "hello", id="w")


@proves(mutant("close_out", "rcall('ZREM', timers_key, 't|' .. tail)", "local _"))
async def test_a_closed_run_leaves_no_dates(hand: Hand) -> None:
    """The closing task cleans what the run still waited for: timers, attempts, requests."""
    route, _ = await hand.idle("w", *timer(1, 50), *eager(2))
    await hand.end(route)
    items = [("t:1", None, b""), ("a:2", None, b"")]
    call = transitions.close_out(partition=route.partition, run_id=route.run_id, items=items)
    assert (await hand.store.one(call))[:2] == [b"ok", 0]


@proves(
    mutant("close_out", "if rcall('HDEL', pend_key, ARGV[i]) == 1 and kind then", "if kind then")
)
async def test_children_are_told_once(hand: Hand) -> None:
    """Two schedulers close a run out: its child hears of it once."""
    p = hand.store.partition("w")
    ops = request(1, 3, {"workflow_id": "x"}, kind="child")
    route, _ = await hand.idle("w", *ops, *timer(2, 50), others=[p.outbox(3)])
    await hand.end(route)
    call = transitions.close_out(partition=p, run_id=route.run_id, items=[("c:1", 5, b"{}")])
    for _ in range(2):
        assert (await hand.store.one(call))[0] == b"ok"
    (told,) = await hand.store.read(("XLEN", p.outbox(5)))
    assert told == 1


@proves(mutant("forget_messages", "rcall('XDEL', outbox_key, id)", "local _"))
async def test_delivered_messages_leave_the_outbox(hand: Hand) -> None:
    """An outbox holds what is not delivered, and an empty one is looked after no more."""
    p = hand.store.partition("w")
    await hand.idle("w", *request(1, 3, {"workflow_id": "x"}), others=[p.outbox(3)])
    waiting = await hand.outbox(p.number, 3)
    forget = delivery.forget_messages(partition=p, receiver=3, delivered=waiting)
    answer = await hand.store.one(forget)
    assert answer[:2] == [b"ok", 0]
    (date,) = await hand.store.read(("ZSCORE", p.leases, "o|3"))
    assert date is None


@proves(mutant("expire_task", "if r.lost >= limit then", "if false then"))
async def test_a_run_that_kills_its_workers_is_parked(hand: Hand) -> None:
    """After five lost workers in a row it waits a minute, visible as stuck (3.6)."""
    route = await hand.start()
    for _ in range(5):
        await hand.take(route)
        await hand.lose(route)
    state = await hand.state(route)
    assert state["task"] == "backoff"
    assert state["stuck"] == "{}"


@proves(mutant("fail_task", "math.min(r.fails, 10), cap)", "math.min(r.fails, 10), 1e12)"))
async def test_the_pause_after_failures_grows_to_a_minute(hand: Hand) -> None:
    """A decision that cannot be made is tried again after 1, 2, 4 … 60 seconds."""
    route = await hand.start()
    pauses = []
    for _ in range(8):
        task = await hand.take(route)
        call = transitions.fail_task(
            route=route, turn=task.turn, worker="a", delay=1000, reason=b"{}"
        )
        await hand.store.one(call)
        (due,) = await hand.store.read(("ZSCORE", route.partition.timers, f"f|{route.run_id}"))
        (now,) = await hand.store.read(("HGET", route.partition.meta, "vtime"))
        pauses.append(int(float(due)) - int(now))
        await hand.shift(pauses[-1])
        assert (await hand.store.one(transitions.wake_run(route=route, kind="f")))[0] == b"ok"
    assert pauses == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]


@proves(mutant("message", "w[1] ~= run_id and w[4] == run_id", "false"))
async def test_a_chain_outlives_its_first_run(hand: Hand) -> None:
    """The handle of a run that went on as new reaches the chain when that run itself is removed."""
    route, _ = await hand.idle()
    await hand.tell(route)
    await hand.carry_on(await hand.take(route), "n" * 32)
    await hand.shift(hand.store.settings.retention_ms)
    remove = transitions.remove_run(partition=route.partition, workflow_id="w", run_id=route.run_id)
    assert (await hand.store.one(remove))[0] == b"ok"
    assert (await hand.tell(route))[0] == b"ok"  # it has moved, and is followed
    await Client(hand.store).get_handle("w", route.run_id).signal("hello")
