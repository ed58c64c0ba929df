"""Workers that are gone (design 4): what waited for one of them alone goes to all."""

from __future__ import annotations

import asyncio

import pytest
from tests.protocol import gates
from tests.protocol.hand import QUEUE, Hand
from tests.support.engine import Make
from tests.support.mutants import mutant, proves
from tests.support.runs import names_in

from luaflow.store import leaving, tasks, transitions
from luaflow.store.keys import GROUP
from luaflow.store.leaving import drop_workers
from luaflow.store.transitions import Route

P = 3


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


async def waiting(hand: Hand, count: int = 1, worker: str = "a") -> list[Route]:
    """Runs of one partition, each with a task in the sticky stream of its worker."""
    p = hand.store.partitions[P]
    await hand.store.one(tasks.groups([p.sticky(worker), p.workflow_queue(QUEUE)]))
    routes: list[Route] = []
    for workflow_id in names_in(P, 16, count):
        route, _ = await hand.idle(workflow_id, sticky=worker)
        await hand.tell(route)
        assert (await hand.state(route))["task"] == "sticky"
        routes.append(route)
    return routes


async def entries(hand: Hand, routes: list[Route]) -> list[tuple[str, Route]]:
    """What is read of the sticky stream, before the script is called."""
    return [((await hand.state(route))["entry"], route) for route in routes]


@proves(
    mutant("drop_worker", "rcall('ZREM', leases_key, 'w|' .. run_id)", "local _"),
    mutant("drop_worker", "rcall('HSET', wf_key, 'sticky', '')", "local _"),
    mutant("drop_worker", "and not moved(r, ARGV[i + 2], worker) then", "and false then"),
    mutant("drop_worker", "rcall('DEL', sticky_key)", "local _"),
)
async def test_tasks_of_a_dead_worker_are_for_all(hand: Hand) -> None:
    """At once, and not when their sticky deadline ends; its stream is gone."""
    routes = await waiting(hand, 3)
    p = hand.store.partitions[P]
    assert await drop_workers(hand.store, [(p, "a")], [QUEUE]) == [(p, "a")]
    await hand.check()
    for route in routes:
        state = await hand.state(route)
        assert (state["task"], state["sticky"]) == ("queued", "")
        await hand.take(route, "b")
    (there,) = await hand.store.read(("EXISTS", p.sticky("a")))
    assert there == 0


@proves(mutant("drop_worker", "    schedule(r)\n", "    schedule(r)\n    r.turn = r.turn - 1\n"))
async def test_a_worker_that_was_only_slow_finds_its_task_gone(hand: Hand) -> None:
    """It had read the task before it was given up: the turn is another one."""
    (route,) = await waiting(hand)
    p, state = route.partition, await hand.state(route)
    await drop_workers(hand.store, [(p, "a")])
    call = transitions.take_workflow(
        partition=p,
        run_id=route.run_id,
        stream=p.sticky("a"),
        turn=int(state["turn"]),
        worker="a",
        entry=state["entry"],
    )
    assert await hand.store.one(call) == [b"gone"]


@proves(
    mutant("drop_worker", "r.task == 'sticky' and r.entry == ARGV[i]", "r.entry ~= '' "),
    mutant("drop_worker", "and r.entry == ARGV[i]\n", "\n"),
)
async def test_a_task_that_moved_meanwhile_stays_where_it_is(hand: Hand) -> None:
    """Taken, expired, or a later task of its run: what was read is no more (5.8)."""
    taken, expired, later = routes = await waiting(hand, 3)
    read = await entries(hand, routes)
    await hand.take(taken, "a")
    task = await hand.take(later, "a")
    await hand.commit(task, sticky="a")
    await hand.tell(later)
    await hand.shift(5_000)
    await hand.expire(expired)
    p = hand.store.partitions[P]
    before = [await hand.state(route) for route in routes]
    call = transitions.drop_worker(partition=p, worker="a", queues=[QUEUE], tasks=read)
    assert await hand.store.one(call) == [b"more", 1]
    assert [await hand.state(route) for route in routes] == before
    assert await drop_workers(hand.store, [(p, "a")]) == [(p, "a")]


@proves(mutant("drop_worker", "and not moved(r, ARGV[i + 2], worker) then", "then"))
async def test_a_task_of_another_worker_is_not_touched(hand: Hand) -> None:
    """Entries of two streams may have the same name."""
    (route,) = await waiting(hand, worker="b")
    read = await entries(hand, [route])
    p, before = route.partition, await hand.state(route)
    call = transitions.drop_worker(partition=p, worker="a", queues=[QUEUE], tasks=read)
    assert await hand.store.one(call) == [b"ok"]
    assert await hand.state(route) == before
    assert await drop_workers(hand.store, [(p, "b")]) == [(p, "b")]


@proves(mutant("drop_worker", "if more > 0 then", "if false then"))
async def test_a_stream_goes_when_it_is_empty(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks are moved in slices; none is dropped with the stream."""
    monkeypatch.setattr(leaving, "SLICE", 2)
    routes = await waiting(hand, 5)
    await drop_workers(hand.store, [(hand.store.partitions[P], "a")])
    assert {(await hand.state(route))["task"] for route in routes} == {"queued"}


@proves(mutant("drop_worker", "if #read == 0 then", "if true then"))
async def test_what_it_had_read_of_a_queue_is_kept(hand: Hand) -> None:
    """Its name stays in a group while it has pending entries, and in queues that were not named."""
    p = hand.store.partitions[P]
    streams = [p.workflow_queue(queue) for queue in (QUEUE, "other")]
    await hand.store.one(tasks.groups(streams))
    for workflow_id, queue in zip(names_in(P, 16, 2), (QUEUE, "other"), strict=True):
        await hand.start(workflow_id, queue=queue)
    await hand.store.read(
        ("XREADGROUP", "GROUP", GROUP, "a", "STREAMS", *streams, *(">" for _ in streams))
    )
    assert await drop_workers(hand.store, [(p, "a")], [QUEUE]) == []
    pending = await hand.store.read(*(("XPENDING", stream, GROUP) for stream in streams))
    assert [found[0] for found in pending] == [1, 1]
    call = transitions.drop_worker(partition=p, worker="a", queues=[QUEUE])
    assert await hand.store.one(call) == [b"busy", 1]


HELD = """
local funcs = require("funcs")
local function main() return funcs.call("app:gate", "x") end
"""
WAITS = """
local function main() return process.inbox():receive():topic() end
"""


async def test_a_worker_that_leaves_hands_its_tasks_over(
    make_engine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came for it while it drained is decided by another one at once, not after a minute."""
    engine = await make_engine(sticky_timeout_ms=60_000)
    await engine.deploy(
        {"held": HELD, "waits": WAITS}, python={"gate": "tests.protocol.gates:gate"}
    )
    first = await engine.worker()
    waits, held = await engine.start("waits"), await engine.start("held")
    async with asyncio.timeout(10):
        await gates.began["x"].wait()
    await engine.until(waits, "WorkflowTaskCompleted")
    reads_no_more, drain = asyncio.Event(), first.workflows.drain

    async def told(seconds: float) -> None:
        reads_no_more.set()
        await drain(seconds)

    monkeypatch.setattr(first.workflows, "drain", told)
    leaves = asyncio.create_task(engine.retire(first))
    await reads_no_more.wait()
    await waits.signal("hello")
    assert (await engine.fields(waits))["task"] == "sticky"
    gates.open_["x"].set()
    await leaves
    await engine.worker()
    assert await waits.result(timeout=10) == "hello"
    assert await held.result(timeout=10) == "x"
