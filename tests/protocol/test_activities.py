"""Activities (design 5.4): one attempt has one voice."""

from __future__ import annotations

import pytest
from tests.protocol.hand import LEASE, QUEUE, Hand, activity, completed, eager
from tests.protocol.scenes import contents
from tests.support.mutants import mutant, proves, replaced

from luaflow.domain.failure import timeout
from luaflow.errors import LuaflowError
from luaflow.store import attempts
from luaflow.store.attempts import Proof
from luaflow.store.transitions import Route
from luaflow_scheduler import verdicts
from luaflow_scheduler.verdicts import End, Retry


async def queued(hand: Hand) -> Route:
    """A run with activity 1 in the queue."""
    route = await hand.start()
    others = [route.partition.activity_queue(QUEUE)]
    await hand.commit(await hand.take(route), *activity(1), others=others)
    return route


async def lost(hand: Hand, route: Route) -> None:
    """The attempt's lease ends and a scheduler sees to another attempt, which is taken by b."""
    await hand.shift(LEASE)
    p, run_id = route.partition, route.run_id
    (score,) = await hand.store.read(("ZSCORE", p.leases, f"a|{run_id}|1"))
    proof = Proof("", "r/1", f"a|{run_id}|1", bytes(score).decode())
    retry = attempts.retry_activity(
        partition=p, run_id=run_id, seq="1", proof=proof, delay=1000, failure=b"{}"
    )
    assert (await hand.store.one(retry))[0] == b"ok"
    await hand.shift(1000)
    again = attempts.queue_activity(
        partition=p, run_id=run_id, queue=QUEUE, seq="1", attempt=2, state="b"
    )
    assert (await hand.store.one(again))[0] == b"ok"
    answer = await hand.take_activity(route, worker="b", token="b.t", attempt=2)
    assert answer[0] == b"ok"


@proves(
    mutant("take_activity", "(a.state ~= 'q' and not again)", "false"),
)
async def test_started_attempt_is_never_taken_again(hand: Hand) -> None:
    """A task found already started is a failed attempt, not one to run again."""
    route = await queued(hand)
    assert (await hand.take_activity(route))[0] == b"ok"
    before = await hand.pending(route, "a:1")
    assert (await hand.take_activity(route, worker="b", token="b.t"))[0] == b"gone"
    assert await hand.pending(route, "a:1") == before


@proves(mutant("take_activity", "local again = a and", "local again = false and"))
async def test_repeated_take_gets_its_answer(hand: Hand) -> None:
    """The same token again is the same attempt: its answer was lost."""
    route = await queued(hand)
    first = await hand.take_activity(route)
    assert await hand.take_activity(route) == first


@proves(mutant("take_activity", "(a.state == 'r' or a.state == 'c')", "a.state == 'r'"))
async def test_repeated_take_of_an_attempt_to_cancel_gets_its_answer(hand: Hand) -> None:
    """A cancel request that came in between changes nothing: else nobody would run it (3.3)."""
    route = await queued(hand)
    first = await hand.take_activity(route)
    await hand.tell(route)
    await hand.commit(await hand.take(route), "R", 2, b'{"seq":2,"target":1}', 1)
    assert await hand.take_activity(route) == first
    call = attempts.renew_activity(
        partition=route.partition, run_id=route.run_id, seq="1", token="a.t"
    )
    assert (await hand.store.one(call))[0] == b"cancel"


@proves(replaced(verdicts, "_why", lambda *_: "heartbeat"))
async def test_lost_worker_is_a_failed_attempt(hand: Hand) -> None:
    """An attempt whose lease ends has failed (Timeout, worker_lost), under the retry policy."""
    route, _ = await hand.idle("w", *eager(1))
    record = attempts.parse_record(await hand.pending(route, "a:1"))
    verdict = verdicts.attempt_due(record, record.started + LEASE, {})
    assert isinstance(verdict, Retry)
    assert verdict.failure.kind == "Timeout"
    assert verdict.failure == timeout("worker_lost", details={"_lost": 1})
    once = verdicts.attempt_due(record, record.started + LEASE, {"retry": {"maximum_attempts": 1}})
    assert isinstance(once, End)
    assert once.event("1", 1)[0] == "ActivityTaskTimedOut"


@proves(mutant("includes/attempt", "return holder == token and", "return"))
async def test_only_the_token_of_the_attempt_may_end_it(hand: Hand) -> None:
    """A worker that was given up cannot complete the attempt of another one (3.3)."""
    route = await queued(hand)
    await hand.take_activity(route)
    await lost(hand, route)
    assert (await hand.finish(route, 1, "a.t"))[0] == b"fenced"
    assert (await hand.finish(route, 1, "b.t"))[0] == b"ok"


@proves(mutant("finish_activity", "forget_activity(seq, light)\n", "\n"))
async def test_an_activity_completes_once(hand: Hand) -> None:
    """A repeated completion changes nothing."""
    route, _ = await hand.idle("w", *eager(1))
    assert (await hand.finish(route, 1, "a.t"))[0] == b"ok"
    assert (await hand.finish(route, 1, "a.t"))[0] == b"fenced"
    assert (await hand.types(route)).count("ActivityTaskCompleted") == 1


@proves(
    mutant("includes/activity_operations", "== '' and s2s == 0", "== ''"),
    mutant("includes/activity_operations", "s2s == 0 and ARGV[i + 8] == '0'", "s2s == 0"),
    mutant("includes/activity", "spell_activity(a))\n", "spell_activity(a, true))\n"),
    mutant("take_activity", "if not light then", "if false then"),
)
async def test_an_activity_that_ended_leaves_nothing_behind(hand: Hand) -> None:
    """What was written beside its record goes with it; where that is nothing, nobody looks."""
    for told in ("nothing", "options", "a limit to start", "an end", "a beat"):
        route = await hand.start(told)
        p, run_id = route.partition, route.run_id
        asked = activity(1, start_limit=5000 if told == "a limit to start" else 0)
        asked[3] = b"{}" if told == "options" else b""
        asked[8] = 60_000 if told == "an end" else 0
        await hand.commit(await hand.take(route), *asked, others=[p.activity_queue(QUEUE)])
        light = b"|01|" in await hand.pending(route, "a:1")
        await hand.take_activity(route)
        assert (b"|01|" in await hand.pending(route, "a:1")) is light
        assert (await hand.store.read(("ZSCORE", p.leases, f"s|{run_id}|1"))) == [None]
        if told == "a beat":
            call = attempts.renew_activity(
                partition=p, run_id=run_id, seq="1", token="a.t", beat=True, details=b"1"
            )
            assert (await hand.store.one(call))[0] == b"ok"
        assert (await hand.finish(route, 1, "a.t"))[0] == b"ok"
        pending, *left = await hand.store.read(
            ("HGETALL", p.pend(run_id)), *(("ZRANGE", key, 0, -1) for key in (p.leases, p.timers))
        )
        assert pending == []
        assert not [bytes(m) for some in left for m in some if f"|{run_id}|1".encode() in bytes(m)]
        assert light is (told in {"nothing", "a beat"})


async def test_an_attempt_is_told_where_its_run_is(hand: Hand) -> None:
    """Then its outcome needs no second call to find the run."""
    route = await queued(hand)
    answer = await hand.take_activity(route)
    queue, sticky = (bytes(name).decode() for name in answer[11:13])
    assert (queue, sticky) == (QUEUE, (await hand.state(route))["sticky"])


@proves(mutant("renew_activity", "or a.token ~= token\n", "\n"))
async def test_renewal_needs_the_token(hand: Hand) -> None:
    """A bare claim would steal the attempt back; the renewal says that it is lost."""
    route = await queued(hand)
    await hand.take_activity(route)
    await lost(hand, route)
    p, member = route.partition, f"a|{route.run_id}|1"
    (before,) = await hand.store.read(("ZSCORE", p.leases, member))
    await hand.shift(5)
    call = attempts.renew_activity(partition=p, run_id=route.run_id, seq="1", token="a.t")
    assert (await hand.store.one(call))[0] == b"fenced"
    (after,) = await hand.store.read(("ZSCORE", p.leases, member))
    assert after == before


@proves(mutant("commit", "token ~= ARGV[i + 1] or", "false or"))
async def test_fused_step_names_the_token(hand: Hand) -> None:
    """A fused step of an attempt that went to somebody else is refused, whole."""
    route, task = await hand.idle("w", *eager(1))
    before = await hand.types(route)
    now = (await hand.events(route))[-1].ts
    answer = await hand.commit(task, fused=True, results=[completed(1, "b.t", now)])
    assert answer[0] == b"token"
    assert await hand.types(route) == before


@proves(
    mutant(
        "includes/attempt",
        "if state .. '/' .. tonumber(attempt) ~= proof then return false end\n",
        "\n",
    )
)
async def test_scheduler_names_state_and_attempt(hand: Hand) -> None:
    """A scheduler that read an older attempt ends nothing (5.8)."""
    route = await queued(hand)
    await hand.take_activity(route)
    await lost(hand, route)
    p, member = route.partition, f"a|{route.run_id}|1"
    (score,) = await hand.store.read(("ZSCORE", p.leases, member))
    stale = Proof("", "r/1", member, bytes(score).decode())
    call = attempts.retry_activity(
        partition=p, run_id=route.run_id, seq="1", proof=stale, delay=1, failure=b"{}"
    )
    assert (await hand.store.one(call))[0] == b"fenced"


@proves(mutant("includes/attempt", "return rcall('ZSCORE', set, member) == score", "return true"))
async def test_renewed_attempt_does_not_expire(hand: Hand) -> None:
    """A lease renewed after the scheduler looked is a changed precondition."""
    route, _ = await hand.idle("w", *eager(1))
    p, member = route.partition, f"a|{route.run_id}|1"
    (score,) = await hand.store.read(("ZSCORE", p.leases, member))
    await hand.shift(LEASE)
    await hand.store.one(
        attempts.renew_activity(partition=p, run_id=route.run_id, seq="1", token="a.t")
    )
    seen = Proof("", "r/1", member, bytes(score).decode())
    call = attempts.retry_activity(
        partition=p, run_id=route.run_id, seq="1", proof=seen, delay=1, failure=b"{}"
    )
    assert (await hand.store.one(call))[0] == b"fenced"


@proves(mutant("retry_activity", "rcall('HSET', pend_key, 'h:' .. seq, details)", ""))
async def test_a_retry_carries_the_last_heartbeat(hand: Hand) -> None:
    """Details that no renewal has told yet reach the next attempt with the failure itself."""
    route, _ = await hand.idle("w", *eager(1))
    p, run_id = route.partition, route.run_id
    await hand.store.one(
        attempts.renew_activity(
            partition=p, run_id=run_id, seq="1", token="a.t", beat=True, details=b'{"step":2}'
        )
    )
    retry = attempts.retry_activity(
        partition=p,
        run_id=run_id,
        seq="1",
        proof=Proof("a.t"),
        delay=0,
        failure=b"{}",
        details=b'{"step":3}',
    )
    await hand.store.one(retry)
    assert await hand.pending(route, "h:1") == b'{"step":3}'


@proves(mutant("queue_activity", "if due > now then", "if false then"))
async def test_retry_waits_for_its_date(hand: Hand) -> None:
    """The back-off of a retry is namespace time: not before it is over."""
    route, _ = await hand.idle("w", *eager(1))
    p, run_id = route.partition, route.run_id
    await hand.store.one(
        attempts.retry_activity(
            partition=p, run_id=run_id, seq="1", proof=Proof("a.t"), delay=1000, failure=b"{}"
        )
    )
    await hand.shift(999)
    call = attempts.queue_activity(
        partition=p, run_id=run_id, queue=QUEUE, seq="1", attempt=2, state="b"
    )
    assert (await hand.store.one(call))[0] == b"early"


@proves(mutant("renew_activity", "rcall('HGET', run_key, 'status') ~= 'running' or", ""))
async def test_attempts_of_a_closed_run_are_void(hand: Hand) -> None:
    """Whoever still runs an activity of a closed run learns it from the next renewal."""
    route, _ = await hand.idle("w", *eager(1))
    await hand.end(route)
    p = route.partition
    call = attempts.renew_activity(partition=p, run_id=route.run_id, seq="1", token="a.t")
    assert (await hand.store.one(call))[0] == b"fenced"
    assert (await hand.finish(route, 1, "a.t"))[0] == b"fenced"


EVENT_FIRST = (
    "  append(r, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])\n",
    "  if not step then forget_activity(ARGV[i], light) end\n",
)


@proves(
    mutant("commit", "".join(EVENT_FIRST), "".join(reversed(EVENT_FIRST))),
    mutant(
        "finish_activity",
        "tell(r, type, body)\nforget_activity(seq, light)",
        "forget_activity(seq, light)\ntell(r, type, body)",
    ),
)
async def test_a_result_without_an_event_keeps_its_activity(hand: Hand) -> None:
    """A history that takes no event (it is corrupt) fails the script, which has changed nothing."""
    route, task = await hand.idle("w", *eager(1))
    history = route.partition.hist(route.run_id)
    await hand.store.read(("XADD", history, "99-0", "a", "b"))
    before = await contents(hand)
    now = int((await hand.state(route))["ts"])
    with pytest.raises(LuaflowError, match="XADD"):
        await hand.commit(task, fused=True, results=[completed(1, "a.t", now)])
    with pytest.raises(LuaflowError, match="XADD"):
        await hand.finish(route, 1, "a.t")
    assert await contents(hand) == before
    await hand.store.read(("XDEL", history, "99-0"))
