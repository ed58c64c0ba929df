"""Two clocks (design 5.7), and the times of events (5.2)."""

from __future__ import annotations

import pytest
from tests.protocol.hand import Hand, completed, eager, timer
from tests.support.clock import shift
from tests.support.mutants import mutant, proves

from luaflow.store import transitions, upkeep


@proves(mutant("fire_timer", "if due > now then return { 'early', due } end\n", "\n"))
async def test_a_timer_never_fires_early(hand: Hand) -> None:
    """One millisecond before its time it is answered 'early'; at its time it fires (3.5)."""
    route, _ = await hand.idle("w", *timer(1, 50))
    await hand.shift(49)
    assert (await hand.fire(route, 1))[0] == b"early"
    await hand.shift(1)
    assert (await hand.fire(route, 1))[0] == b"ok"
    started, fired = [e for e in await hand.events(route) if e.type.startswith("Timer")]
    assert fired.ts - started.ts >= 50


@proves(mutant("fire_timer", "rcall('HDEL', pend_key, 't:' .. seq)\n", "\n"))
async def test_a_timer_never_fires_twice(hand: Hand) -> None:
    """Two schedulers fire it: one event (3.5)."""
    route, _ = await hand.idle("w", *timer(1, 50))
    await hand.shift(50)
    assert (await hand.fire(route, 1))[0] == b"ok"
    assert (await hand.fire(route, 1))[0] == b"gone"
    assert (await hand.types(route)).count("TimerFired") == 1


@proves(
    mutant("includes/other_operations", "rcall('HDEL', pend_key, 't:' .. ARGV[i + 3])", "local _")
)
async def test_a_canceled_timer_never_fires(hand: Hand) -> None:
    """Its date may have been read before; nothing comes of it."""
    route, _ = await hand.idle("w", *timer(1, 50))
    await hand.tell(route)
    await hand.commit(await hand.take(route), "t", 2, b'{"seq":2,"target":1}', 1)
    await hand.shift(50)
    assert (await hand.fire(route, 1))[0] == b"gone"


@proves(mutant("commit", "if ts < floor or ts > now", "if ts > now"))
async def test_time_never_goes_back(hand: Hand) -> None:
    """A fused step stamped before the event in front of it is refused, not clamped."""
    route, task = await hand.idle("w", *eager(1))
    (*_, last) = await hand.events(route)
    answer = await hand.commit(task, fused=True, results=[completed(1, "a.t", last.ts - 1)])
    assert answer[0] == b"ts"
    assert (await hand.events(route))[-1].id == last.id


@proves(mutant("commit", "if ts < floor or ts > now", "if ts < floor"))
async def test_no_worker_is_ahead_of_the_server(hand: Hand) -> None:
    """A fused step stamped after the server's own clock is refused (3.7)."""
    route, task = await hand.idle("w", *eager(1))
    (*_, last) = await hand.events(route)
    answer = await hand.commit(task, fused=True, results=[completed(1, "a.t", last.ts + 1)])
    assert answer[0] == b"ts"


@proves(mutant("includes/partition", "local now = math.max(last, ", "local now = math.max(0, "))
async def test_namespace_time_stands_when_the_server_goes_back(hand: Hand) -> None:
    """A server whose clock is set back gives no earlier time than it gave before."""
    route, _ = await hand.idle()
    await hand.store.read(("HINCRBY", route.partition.meta, "vtime", -5_000))
    await hand.tell(route)
    stamps = [e.ts for e in await hand.events(route)]
    assert stamps == sorted(stamps)


@proves(mutant("shift_clock", "if step > 0 then", "if true then"))
async def test_the_offset_only_grows(hand: Hand) -> None:
    """Time is never moved back."""
    p = hand.store.partitions[0]
    before = await hand.store.one(transitions.due(partition=p, limit=1, latest=1))
    await hand.shift(-50)
    after = await hand.store.one(transitions.due(partition=p, limit=1, latest=1))
    assert after[0] >= before[0]


@pytest.mark.parametrize("simulated", [True, False])
@proves(mutant("shift_clock", "field, to)", "field, to + step)"))
async def test_a_repeated_shift_moves_the_clock_once(hand: Hand, simulated: bool) -> None:
    """Its answer was lost: the repeat changes nothing and gets it again (3.3)."""
    p = hand.store.partitions[0]
    field = "vtime" if simulated else "offset"
    (at,) = await hand.store.read(("HGET", p.meta, field))
    to = int(at or 0) + 1000
    call = upkeep.shift_clock(partition=p, to=to, simulated=simulated)
    assert await hand.store.one(call) == await hand.store.one(call)
    (now,) = await hand.store.read(("HGET", p.meta, field))
    assert int(now) == to


@proves(
    mutant(
        "includes/activity_operations",
        "set_lease('s|' .. run_id .. '|' .. seq, server_now + s2s)",
        "set_timer('s|' .. run_id .. '|' .. seq, server_now + s2s)",
    )
)
async def test_leases_are_server_time(hand: Hand) -> None:
    """Namespace time may be moved on in a test: no lease ends by that."""
    from tests.protocol.hand import QUEUE, activity

    route = await hand.start()
    task = await hand.take(route)
    others = [route.partition.activity_queue(QUEUE)]
    await hand.commit(task, *activity(1, start_limit=1000), others=others)
    await shift(hand.store, 60_000, [route.partition], simulated=False)
    _, _, timers, leases, *_ = await hand.store.one(
        transitions.due(partition=route.partition, limit=9, latest=1)
    )
    assert (timers, leases) == ([], [])
    (scores,) = await hand.store.read(("ZRANGE", route.partition.leases, 0, -1))
    assert scores


@proves(mutant("wake_run", "if due > now then return { 'early' } end\n", "\n"))
async def test_a_start_delay_is_kept(hand: Hand) -> None:
    """A delayed run has no task before its time."""
    route = await hand.start(delay=50)
    await hand.shift(49)
    call = transitions.wake_run(route=route, kind="d")
    assert (await hand.store.one(call))[0] == b"early"
    await hand.shift(1)
    assert (await hand.store.one(call))[0] == b"ok"
    await hand.take(route)


@proves(mutant("includes/tell", "    r.task = ''\n", "\n"))
async def test_a_message_ends_the_start_delay(hand: Hand) -> None:
    """A run that is signaled begins at once."""
    route = await hand.start(delay=50)
    await hand.tell(route)
    await hand.take(route)


@pytest.mark.parametrize("kind", ["x", "X"])
@proves(mutant("end_run", "if not due or due > now then return { 'early' } end", "local _"))
async def test_a_run_is_not_timed_out_early(hand: Hand, kind: str) -> None:
    """Run and execution timeouts end a run at their time and not before."""
    route = await hand.start(run_timeout=50, deadline=-50)
    await hand.shift(49)
    how = {"kind": kind, "status": "timed_out", "type": "WorkflowExecutionTimedOut"}
    assert (await hand.end(route, **how))[0] == b"early"
    await hand.shift(1)
    assert (await hand.end(route, **how))[0] == b"ok"
