"""Turns (design 5.1): who may decide, and what a repeat, a late or a fused decision is answered."""

from __future__ import annotations

from tests.protocol.hand import Hand, close, completed, eager, timer
from tests.support.mutants import mutant, proves


@proves(mutant("includes/decide", "r.turn ~= turn or r.task", "r.task"))
async def test_commit_of_an_old_turn_is_refused(hand: Hand) -> None:
    """A worker that was paused beyond its lease cannot write, even with the run back (3.3)."""
    route = await hand.start()
    slow = await hand.take(route, "a")
    await hand.lose(route)
    await hand.take(route, "a")
    before = await hand.types(route)
    assert (await hand.commit(slow))[0] == b"turn"
    assert await hand.types(route) == before


@proves(
    mutant("includes/decide", "if r.cid == cid then", "if r.cid == cid and r.turn == turn then"),
    mutant("includes/decide", "if r.cid == cid then", "if false then"),
)
async def test_repeat_of_the_last_commit_gets_its_answer(hand: Hand) -> None:
    """The last commit id is recognised before the turn: others had the run meanwhile (3.3)."""
    route = await hand.start()
    task = await hand.take(route)
    await hand.tell(route)
    first = await hand.commit(task, *timer(1, 50), cid="a.1")
    await hand.lose(route)
    await hand.take(route, "b")
    assert await hand.commit(task, *timer(1, 50), cid="a.1") == first
    assert (await hand.types(route)).count("TimerStarted") == 1


@proves(
    mutant(
        "includes/decide", "if r.cid == cid then", "if r.cid == cid and r.status == 'running' then"
    )
)
async def test_repeat_of_the_closing_commit_gets_its_answer(hand: Hand) -> None:
    """A closing commit whose answer was lost is answered 'ok' again, not 'closed' (3.3)."""
    task = await hand.take(await hand.start())
    first = await hand.commit(task, *close(), cid="a.1")
    assert first[0] == b"ok"
    assert await hand.commit(task, *close(), cid="a.1") == first


@proves(
    mutant("take_workflow", "cached_cid ~= '' and cached_cid == r.cid", "cached_cid ~= ''"),
)
async def test_cache_counts_only_if_the_last_decision_is_its_own(hand: Hand) -> None:
    """A coroutine that does not know another worker's decision is not used: all events come."""
    route = await hand.start()
    task = await hand.take(route, "a")
    (_, _, _, length, *_) = await hand.commit(task, cid="a.1")
    await hand.tell(route)
    other = await hand.take(route, "b")
    await hand.commit(other, *timer(1, 50), cid="b.1")
    await hand.tell(route)
    again = await hand.take(route, "a", cached_cid="a.1", cached=length)
    assert again.first == 1
    await hand.commit(again, cid="a.2")
    await hand.tell(route)
    own = await hand.take(route, "a", cached_cid="a.2", cached=again.seen + 1)
    assert own.first == again.seen + 2


@proves(
    mutant(
        "includes/decide",
        "if mode == 'fused' and (r.len ~= seen or r.news > 0)",
        "if mode == 'fused' and r.len ~= seen",
        (
            "includes/decide",
            "local expected = mode == 'fused' and '' or 'taken'",
            "local expected = r.task",
        ),
    )
)
async def test_fused_step_over_undecided_news_is_refused(hand: Hand) -> None:
    """News of a commit's reply are decided before any fused step, though its length is right."""
    route = await hand.start()
    task = await hand.take(route)
    await hand.tell(route)
    (_, turn, _, length, now, keep, _) = await hand.commit(task, *eager(1))
    assert keep == 1
    fused = task._replace(turn=turn, seen=length)
    answer = await hand.commit(fused, fused=True, results=[completed(1, "a.t", now)])
    assert answer[0] in (b"turn", b"behind")
    assert (await hand.types(route))[-1] == "ActivityTaskScheduled"


@proves(mutant("includes/decide", "r.len ~= seen or r.news > 0", "r.news > 0"))
async def test_fused_step_with_another_length_is_refused(hand: Hand) -> None:
    """A fused step says how long the history was: one written over an event unseen is refused."""
    route, task = await hand.idle("w", *eager(1))
    now = (await hand.events(route))[-1].ts
    stale = task._replace(seen=task.seen - 1)
    answer = await hand.commit(stale, fused=True, results=[completed(1, "a.t", now)])
    assert answer[0] == b"behind"


@proves(mutant("commit", "local keep = r.news > 0 or", "local keep ="))
async def test_commit_with_news_keeps_the_task(hand: Hand) -> None:
    """A commit that returns news goes on under a new turn, and a crash leaves the news a task."""
    route = await hand.start()
    task = await hand.take(route)
    await hand.tell(route)
    (_, turn, _, _, _, keep, late) = await hand.commit(task)
    assert (keep, len(late), turn) == (1, 1, task.turn + 1)
    await hand.lose(route)
    assert (await hand.take(route, "b")).turn > turn


@proves(mutant("commit", "    lend(rcall(", "    tostring(rcall("))
async def test_commit_with_news_renews_the_lease(hand: Hand) -> None:
    """The lease begins anew with a commit that keeps the task."""
    route = await hand.start()
    task = await hand.take(route)
    await hand.tell(route)
    await hand.shift(9_000)
    await hand.commit(task)
    await hand.shift(9_000)
    assert (await hand.expire(route))[0] == b"early"


@proves(mutant("take_workflow", "r.turn = r.turn + 1\n", "r.turn = r.turn\n"))
async def test_every_handover_raises_the_turn(hand: Hand) -> None:
    """Scheduled, taken, expired, released: each gives another turn."""
    route = await hand.start()
    turns = [int((await hand.state(route))["turn"])]
    turns.append((await hand.take(route, "a")).turn)
    await hand.lose(route)
    turns.append(int((await hand.state(route))["turn"]))
    turns.append((await hand.take(route, "b")).turn)
    assert turns == sorted(set(turns))


@proves(
    mutant(
        "take_workflow",
        "r.turn == turn and (r.task == 'queued' or r.task == 'sticky')",
        "r.turn == turn",
    )
)
async def test_a_task_is_taken_once(hand: Hand) -> None:
    """An entry read twice (by a claim, after a requeue) gives the task to one worker only."""
    route = await hand.start()
    task = await hand.take(route, "a")
    before = await hand.state(route)
    try:
        await hand.take(route, "b")
    except AssertionError:
        assert await hand.state(route) == before
    else:
        raise AssertionError(f"{task} was taken twice")


@proves(
    mutant(
        "expire_task", "if due ~= score or tonumber(due) > server_now then", "if due ~= score then"
    )
)
async def test_task_is_not_expired_early(hand: Hand) -> None:
    """A lease ends at its date, not before."""
    route = await hand.start()
    await hand.take(route)
    await hand.shift(9_999)
    assert (await hand.expire(route))[0] == b"early"


@proves(mutant("expire_task", "if due ~= score or tonumber(due)", "if tonumber(due)"))
async def test_scheduler_acts_on_what_it_read(hand: Hand) -> None:
    """A date that moved since it was read is a changed precondition: nothing is written (5.8)."""
    route = await hand.start()
    await hand.take(route)
    await hand.shift(10_000)
    assert (await hand.expire(route, score="1"))[0] == b"early"


@proves(
    mutant(
        "renew_task",
        "tonumber(v[2]) ~= turn or v[3] ~= 'taken' or v[4] ~= worker",
        "v[3] ~= 'taken'",
    )
)
async def test_renewal_of_a_lost_task_changes_nothing(hand: Hand) -> None:
    """A worker that lost its task learns it from the renewal and does not take it back."""
    from luaflow.store import transitions

    route = await hand.start()
    lost = await hand.take(route, "a")
    await hand.lose(route)
    await hand.take(route, "b")
    (before,) = await hand.store.read(("ZSCORE", route.partition.leases, f"w|{route.run_id}"))
    await hand.shift(5)
    call = transitions.renew_task(
        partition=route.partition, run_id=route.run_id, turn=lost.turn, worker="a"
    )
    assert (await hand.store.one(call))[0] == b"lost"
    (after,) = await hand.store.read(("ZSCORE", route.partition.leases, f"w|{route.run_id}"))
    assert after == before


@proves(mutant("take_workflow", "rcall('XDEL', stream_key, entry)\n", "\n"))
async def test_queue_holds_no_more_than_open_tasks(hand: Hand) -> None:
    """A task that was taken leaves its stream: queues do not grow with the work done (3.8)."""
    route = await hand.start()
    await hand.commit(await hand.take(route))
    (length,) = await hand.store.read(("XLEN", route.partition.workflow_queue(route.queue)))
    assert length == 0
