"""Continue-as-new with more than 500 messages (design 5.3): slices carry them, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.protocol.hand import LEASE, Hand, Task, eager, timer
from tests.protocol.scenes import dump
from tests.support.engine import Engine
from tests.support.mutants import mutant, patience, proves, replaced

from luaflow.client.handle import Handle
from luaflow.domain.events import CLOSING_EVENT, Event
from luaflow.errors import WorkflowFailed
from luaflow.replay import decider
from luaflow.replay.recorded import Turn, turns
from luaflow.store import transitions
from luaflow.store.chains import continue_slice
from luaflow.store.courier import Courier
from luaflow.store.transitions import Route
from luaflow_scheduler.closing import close_out
from luaflow_scheduler.continuing import carry_over
from luaflow_scheduler.dates import Date

NEXT = "n" * 32


def names(first: int, last: int) -> list[str]:
    """The names of messages."""
    return [f"m{n}" for n in range(first, last + 1)]


async def continuing(
    hand: Hand, *, named: int = 700, late: int = 500, cid: str = "a.9"
) -> tuple[Route, Task]:
    """A run with that many unread messages, up to ``seen`` and after it; now it continues."""
    route, _ = await hand.idle("w", *timer(1, 50), run_timeout=1000)
    await hand.tell_many(route, names(1, named))
    task = await hand.take(route)
    await hand.tell_many(route, names(named + 1, named + late))
    unread = range(task.seen - named + 1, task.seen + 1)
    answer = await hand.carry_on(task, NEXT, unread=unread, cid=cid)
    assert answer[0] == b"ok"
    assert (await hand.state(route))["task"] == "continuing"
    return route, task


async def carried(hand: Hand, route: Route) -> list[str]:
    """The names of the messages in the next run's history, behind its first event."""
    events = await hand.events(route._replace(run_id=NEXT))
    assert [e.id for e in events] == list(range(1, len(events) + 1))
    assert events[0].type == "WorkflowExecutionStarted"
    return [e.body["name"] for e in events[1:]]


async def finish(hand: Hand, route: Route, slices: int = 10) -> None:
    """Make slices until the last one; it comes soon."""
    for _ in range(slices):
        answer = await hand.slice(route)
        assert answer[0] == b"ok", answer
        if answer[2] == 1:
            return
    raise AssertionError(f"more than {slices} slices")


async def dates(hand: Hand, route: Route, kind: str) -> list[Date]:
    """The date of a run in ``leases``, if there is one."""
    p = route.partition
    (score,) = await hand.store.read(("ZSCORE", p.leases, f"{kind}|{route.run_id}"))
    return [Date(p.leases, f"{kind}|{route.run_id}", bytes(score).decode())] if score else []


@proves(
    mutant("continue_slice", "for _, e in ipairs(late) do carry(e) end\n", "\n"),
    mutant("continue_slice", "  from = first + stop - 1\n", "  from = first\n"),
    mutant("continue_slice", "  at = at + #late\n", "  at = r.len\n"),
    mutant("continue_slice", "fresh.len, fresh.size =", "fresh.len, fresh.attempt ="),
    mutant("continue_slice", "'n:from', from", "'n:from', 1"),
)
async def test_many_messages_go_in_order(hand: Hand) -> None:
    """1,200 messages, named ones first, at most 500 a script; then the next run is the current."""
    route, _ = await continuing(hand)
    sizes = []
    for _ in range(2):
        assert (await hand.slice(route))[0] == b"ok"
        sizes.append(len(await carried(hand, route)))
    assert sizes == [500, 1000]
    assert (await hand.store.route("w")).run_id == route.run_id
    await finish(hand, route)
    assert await carried(hand, route) == names(1, 1200)
    assert (await hand.types(route))[-1] == "WorkflowExecutionContinuedAsNew"
    assert (await hand.store.route("w")).run_id == NEXT
    assert (await hand.take(route._replace(run_id=NEXT))).seen == 1201


@proves(mutant("continue_as_new", "or carried + messages > 500", "or carried + messages > 499"))
async def test_500_messages_go_in_one_script(hand: Hand) -> None:
    """Up to 500 messages the next run is there with the commit."""
    route, _ = await hand.idle()
    await hand.tell_many(route, names(1, 300))
    task = await hand.take(route)
    await hand.tell_many(route, names(301, 500))
    await hand.carry_on(task, NEXT, unread=range(task.seen - 299, task.seen + 1))
    assert await carried(hand, route) == names(1, 500)


@proves(
    mutant("continue_slice", "if from <= #named or at < r.len then", "if from <= #named then"),
    mutant("continue_slice", "MESSAGE[e[2][4]]", "true"),
)
async def test_messages_between_slices_go_too(hand: Hand) -> None:
    """While it continues, messages land in the old history and are carried; other events stay."""
    route, _ = await continuing(hand, named=400, late=200)
    await hand.slice(route)
    await hand.tell_many(route, names(601, 1200))
    await hand.shift(50)
    assert (await hand.fire(route, 1))[0] == b"ok"
    await hand.slice(route)
    await hand.tell(route, "m1201")
    await finish(hand, route)
    assert await carried(hand, route) == names(1, 1201)


@proves(
    mutant("includes/run", "  if r.task ~= '' then return end\n", "  if false then return end\n")
)
async def test_nobody_decides_meanwhile(hand: Hand) -> None:
    """No take, commit, fused step, failure, release, expiry or requeue touches the run."""
    route, task = await continuing(hand)
    p, state = route.partition, await hand.state(route)
    await hand.tell(route, "one more")
    before = await dump(hand)
    with pytest.raises(AssertionError, match="gone"):
        await hand.take(route)
    assert (await hand.commit(task))[0] == b"turn"
    assert (await hand.commit(task, fused=True, results=[]))[0] == b"turn"
    for call, refusal in (
        (
            transitions.renew_task(
                partition=p, run_id=route.run_id, turn=task.turn, worker=task.worker
            ),
            b"lost",
        ),
        (transitions.release_task(route=route, turn=task.turn, worker=task.worker), b"lost"),
        (
            transitions.fail_task(
                route=route, turn=task.turn, worker=task.worker, delay=1, reason=b"{}"
            ),
            b"lost",
        ),
        (transitions.expire_task(route=route, score="1", reason=b"{}"), b"gone"),
        (transitions.requeue_task(route=route, turn=int(state["turn"])), b"gone"),
        (transitions.wake_run(route=route, kind="f"), b"gone"),
    ):
        assert (await hand.store.one(call))[0] == refusal, call.script.name
    assert await dump(hand) == before
    await finish(hand, route)


@proves(
    mutant("includes/next", "  set_lease('n|' .. run_id, server_now)\n", "\n"),
    mutant("includes/close", ", 'n|' .. run_id)", ")"),
)
async def test_a_crash_between_slices_loses_nothing(hand: Hand) -> None:
    """What is left to do is in the state, with a date: whoever looks next goes on."""
    route, _ = await continuing(hand)
    await hand.slice(route)
    await hand.check()
    await hand.shift(10 * LEASE)
    for _ in range(2):
        due = await dates(hand, route, "n")
        assert due
        assert await carry_over(hand.store, route.partition, due) == []
    assert await carried(hand, route) == names(1, 1200)
    assert await dates(hand, route, "n") == []


@proves(mutant("continue_slice", "or tonumber(n[2]) ~= cursor or", "or"))
async def test_two_schedulers_double_nothing(hand: Hand) -> None:
    """Of two that read the same cursor one makes the slice, the other writes nothing (5.8)."""
    route, _ = await continuing(hand)
    assert await hand.slice(route, cursor=0) == [b"ok", 1, 0]
    before = await dump(hand)
    assert await hand.slice(route, cursor=0) == [b"changed"]
    assert await dump(hand) == before
    last = continue_slice(route=route, next_run=NEXT, cursor=2)
    await finish(hand, route)
    before = await dump(hand)
    assert await hand.store.one(last) == [b"gone"]
    assert await dump(hand) == before


@proves(
    mutant(
        "continue_as_new",
        "rcall('HSET', run_key, 'cid', cid, 'ans',",
        "rcall('HSET', run_key, 'ans',",
    ),
    mutant("includes/decide", "if a[5] == 1 then", "if a[2] > seen then"),
)
async def test_a_repeat_gets_the_same_answer(hand: Hand) -> None:
    """The commit's answer was lost: before, between and after the slices its repeat gets it."""
    route, _ = await hand.idle()
    await hand.tell_many(route, names(1, 600))
    task = await hand.take(route)
    await hand.tell(route, "m601")
    how: dict[str, Any] = {"unread": range(task.seen - 599, task.seen + 1), "cid": "a.9"}
    first = await hand.carry_on(task, NEXT, **how)
    assert await hand.carry_on(task, NEXT, **how) == first
    await hand.slice(route)
    assert await hand.carry_on(task, NEXT, **how) == first
    await finish(hand, route)
    assert await hand.carry_on(task, NEXT, **how) == first
    assert await carried(hand, route) == names(1, 601)


async def closed_out(hand: Hand, route: Route) -> set[str]:
    """Close a run out as a scheduler would; return the keys that are left of the next one."""
    while due := await dates(hand, route, "z"):
        assert await close_out(hand.store, route.partition, due, Courier(hand.store)) == []
    return {key for key in await dump(hand) if NEXT in key}


NOBODY = "if not r or r.status ~= 'running' or r.task ~= 'continuing' then"


@proves(
    mutant("includes/close", "rcall('HGET', pend_key, 'n:unread') or", "nil or"),
    mutant("close_out", "rcall('UNLINK', KEYS[tonumber(ARGV[i + 1])])", "local _"),
    mutant("continue_slice", NOBODY, "if not r then"),
)
async def test_terminate_in_the_middle(hand: Hand) -> None:
    """The run ends, all it left unread is listed, and nothing of the next run stays."""
    route, _ = await continuing(hand)
    await hand.slice(route)
    last = continue_slice(route=route, next_run=NEXT, cursor=1)
    assert (await hand.end(route))[0] == b"ok"
    assert await hand.store.one(last) == [b"gone"]
    *events, end = await hand.events(route)
    listed = [e.body["name"] for e in events if e.id in set(end.body["unread"])]
    assert listed == names(1, 1200)
    assert len(end.body["unread"]) == 1200
    assert await dates(hand, route, "n") == []
    assert await closed_out(hand, route) == set()
    assert (await hand.state(route))["status"] == "terminated"


@proves(mutant("close_out", "rcall('UNLINK', KEYS[tonumber(ARGV[i + 1])])", "local _"))
async def test_run_timeout_in_the_middle(hand: Hand) -> None:
    """A run that is out of time ends while it continues, and the next one never begins."""
    route, _ = await continuing(hand)
    await hand.slice(route)
    await hand.shift(1000)
    answer = await hand.end(route, kind="x", status="timed_out", type=CLOSING_EVENT["timed_out"])
    assert answer[0] == b"ok"
    assert await closed_out(hand, route) == set()
    assert (await hand.store.route("w")).run_id == route.run_id


async def test_the_next_run_has_the_place_of_the_first(hand: Hand) -> None:
    """Parent, execution deadline and pending activities are treated as without slices."""
    parent = '{"p":3,"workflow_id":"p","run_id":"r","seq":1,"pid":"x"}'
    route, _ = await hand.idle("w", *eager(1), parent=parent, deadline=-5000)
    await hand.tell_many(route, names(1, 501))
    task = await hand.take(route)
    await hand.carry_on(task, NEXT, unread=range(task.seen - 500, task.seen + 1))
    p = route.partition
    (deadline,) = await hand.store.read(("ZSCORE", p.timers, f"X|{route.run_id}"))
    await finish(hand, route)
    after = await hand.store.read(
        ("ZSCORE", p.timers, f"X|{NEXT}"), ("ZSCORE", p.timers, f"X|{route.run_id}")
    )
    assert after == [deadline, None]
    assert (await hand.state(route._replace(run_id=NEXT)))["parent"] == parent
    left = {key.removeprefix(p.prefix).partition(":")[0] for key in await closed_out(hand, route)}
    assert left == {"run", "hist"}


# -- through workers and schedulers ----------------------------------------------------------------

CARRY = """
local function main(again)
  local inbox, got = process.inbox(), {}
  if again then
    for i = 1, 3 do got[i] = inbox:receive():topic() end
    workflow.continue_as_new(false)
  end
  for i = 1, 1202 do got[i] = inbox:receive():topic() end
  return got
end
"""


async def signals(engine: Engine, handle: Handle, which: Sequence[str]) -> None:
    """Send many signals at once, in order."""
    route = await engine.store.route(handle.workflow_id)
    await engine.store.run(
        *(
            transitions.message(
                route=route,
                type="WorkflowExecutionSignaled",
                body=b'{"name":"%s","input":[]}' % name.encode(),
            )
            for name in which
        )
    )


async def until_it_continues(engine: Engine) -> Handle:
    """A run with 1,203 messages that took three of them and continues: nobody makes slices yet."""
    await engine.deploy({"carry": CARRY})
    handle = await engine.start("carry", True)
    await signals(engine, handle, names(1, 1203))
    await engine.worker()
    async for event in handle.history(follow=True):
        if event.type == "WorkflowTaskCompleted":
            return handle
    raise AssertionError("no decision was made")


def _unmarked(events: Sequence[Event]) -> Iterator[Turn]:
    for event in events:
        event.body.pop("continued", None)
    return turns(events)


@proves(replaced(decider, "turns", _unmarked))
async def test_a_worker_and_two_schedulers_carry_1200(engine: Engine) -> None:
    """The code of the next run takes all of them, in order; the client follows to its result.

    Replayed, the old run agrees, though messages came between its last decision and its end.
    """
    handle = await until_it_continues(engine)
    await signals(engine, handle, ["between", "the slices"])
    found = await handle.describe()
    assert (found["status"], found["health"]["state"]) == ("running", "ok")
    await engine.scheduler()
    await engine.scheduler()
    assert await handle.result(timeout=patience()) == [*names(4, 1203), "between", "the slices"]
    types = await engine.types(handle)
    assert types[-3:] == ["WorkflowExecutionSignaled"] * 2 + ["WorkflowExecutionContinuedAsNew"]


async def test_terminate_while_it_continues(engine: Engine) -> None:
    """A client ends it before the next run begins; its history can be replayed as it is."""
    handle = await until_it_continues(engine)
    await signals(engine, handle, ["late"])
    await handle.terminate("enough")
    await engine.scheduler()
    with pytest.raises(WorkflowFailed, match="enough") as caught:
        await handle.result(timeout=patience())
    assert caught.value.status == "terminated"
    assert len((await engine.history(handle))[-1].body["unread"]) == 1201
