"""What the scheduler does when something is due; time is simulated, the server is real."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from tests.support.clock import shift
from tests.support.runs import Clockwork, Ops, Runs, Task, names_in, open_store

from luaflow.errors import LuaflowError
from luaflow.store import attempts, transitions
from luaflow.store.attempts import Proof
from luaflow.store.leaving import drop_workers
from luaflow.store.store import Store

FAST = {"initial_interval_ms": 100, "backoff_coefficient": 2.0, "maximum_interval_ms": 1000}


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    store = await open_store(redis_url, namespace, partitions=2)
    yield store
    await store.close()


@pytest.fixture
def runs(store: Store) -> Runs:
    return Runs(store)


@pytest.fixture
async def clock(store: Store) -> AsyncIterator[Clockwork]:
    clock = Clockwork(store)
    yield clock
    await clock.courier.close()


def retry(attempts: int = 0) -> dict[str, Any]:
    return {"retry": {**FAST, "maximum_attempts": attempts}}


# -- timers and delays ---------------------------------------------------------------------------


async def test_timer_fires_once_and_not_early(runs: Runs, clock: Clockwork) -> None:
    """One millisecond before its time nothing happens; then there is one event, and a task."""
    route = await runs.start("wf")
    await runs.decide(route, Ops().timer(1, 5_000))
    await clock.after(4_999)
    assert (await runs.types(route))[-1] == "TimerStarted"
    await clock.after(1)
    await clock.after(60_000)
    events = await runs.events(route)
    assert [e.type for e in events].count("TimerFired") == 1
    started = next(e for e in events if e.type == "TimerStarted")
    assert events[-1].ts >= started.ts + 5_000
    assert (await runs.state(route))["task"] == "queued"
    assert clock.count("luaflow_scheduler_timers_fired_total") == 1
    assert clock.count("luaflow_timer_lateness_seconds_bucket", le="0.001") == 1


async def test_fast_clock_cannot_fire_a_timer(runs: Runs) -> None:
    """Whoever asks too early is refused by the server's clock; the timer stays."""
    route = await runs.start("wf")
    await runs.decide(route, Ops().timer(1, 5_000))
    call = transitions.fire_timer(route=route, seq="1", body=b"{}")
    assert (await runs.store.one(call))[0] == b"early"
    assert (await runs.types(route))[-1] == "TimerStarted"


async def test_timers_of_one_moment_fire_in_their_order(runs: Runs, clock: Clockwork) -> None:
    """Timers 9 and 10, started in this order and due at once: 10 does not come first."""
    route = await runs.start("wf")
    await runs.decide(route, Ops().timer(9, 10).timer(10, 10).timer(11, 9))
    await clock.after(10)
    fired = [e.body["seq"] for e in await runs.events(route) if e.type == "TimerFired"]
    assert fired == [11, 9, 10]


async def test_many_timers_fire_in_slices(runs: Runs, clock: Clockwork) -> None:
    """More timers than fit a slice all fire."""
    routes = [await runs.start(f"wf{n}") for n in range(3)]
    for route in routes:
        ops = Ops()
        for n in range(1, 251):
            ops.timer(n, 10)
        await runs.decide(route, ops)
    await clock.after(10)
    assert clock.count("luaflow_scheduler_timers_fired_total") == 750


async def test_timer_reaches_the_worker_that_has_the_run(runs: Runs, clock: Clockwork) -> None:
    """The task goes to the sticky stream of the worker that decided last."""
    route = await runs.start("wf")
    p = route.partition
    await runs.read(p.sticky("w1"))
    await runs.commit(route, await runs.take(route), Ops().timer(1, 10), sticky="w1")
    await clock.after(10)
    assert (await runs.state(route))["task"] == "sticky"
    assert await runs.read(p.sticky("w1"))
    assert await drop_workers(runs.store, [(p, "w1")])


async def test_start_delay_ends(runs: Runs, clock: Clockwork) -> None:
    """A delayed run gets its first task when the delay is over."""
    route = await runs.start("wf", delay=1_000)
    await clock.after(999)
    assert (await runs.state(route))["task"] == "delayed"
    await clock.after(1)
    assert (await runs.state(route))["task"] == "queued"


async def test_failed_task_comes_back(runs: Runs, clock: Clockwork) -> None:
    """A decision that failed is tried again after its pause, which doubles."""
    route = await runs.start("wf")
    for pause in (1_000, 2_000):
        task = await runs.take(route)
        call = transitions.fail_task(
            route=route, turn=task.turn, worker="w1", delay=1_000, reason=b"{}"
        )
        assert (await runs.store.one(call))[0] == b"ok"
        await clock.after(pause - 1)
        assert (await runs.state(route))["task"] == "backoff"
        await clock.after(1)
        assert (await runs.state(route))["task"] == "queued"


@pytest.mark.parametrize(("option", "word"), [("run_timeout", "run"), ("deadline", "execution")])
async def test_run_times_out_and_its_parent_hears(
    store: Store, runs: Runs, clock: Clockwork, option: str, word: str
) -> None:
    """A run out of time closes as timed out, lists what it left unread, and its parent is told."""
    parent = await runs.start(names_in(0, 2)[0])
    note = {"kind": "child", "workflow_id": "-", "policy": "abandon"}
    nobody = {"k": "what"}
    await runs.decide(parent, Ops().request(parent.partition, 1, 1, nobody, note))
    told = {
        "p": 0,
        "workflow_id": parent.workflow_id,
        "run_id": parent.run_id,
        "seq": 1,
        "pid": "p",
    }
    child = await runs.start(
        names_in(1, 2)[0],
        parent=orjson.dumps(told).decode(),
        **{option: 1_000 if option == "run_timeout" else -1_000},
    )
    call = transitions.message(route=child, type="WorkflowExecutionSignaled", body=b"{}")
    await store.one(call)
    await clock.after(999)
    assert (await runs.state(child))["status"] == "running"
    await clock.after(1)
    last = (await runs.events(child))[-1]
    assert (last.type, last.body["unread"]) == ("WorkflowExecutionTimedOut", [2])
    assert last.body["failure"]["kind"] == "Timeout"
    assert word in last.body["failure"]["message"]
    last = (await runs.events(parent))[-1]
    assert last.type == "ChildWorkflowExecutionTimedOut"
    assert last.body["failure"]["kind"] == "Timeout"


# -- activities ----------------------------------------------------------------------------------


async def test_retry_waits_for_its_back_off(runs: Runs, clock: Clockwork) -> None:
    """A lost attempt is retried after the policy's delay; the task names the next attempt."""
    route = await runs.start("wf")
    await runs.decide(route, Ops().activity(route.partition, 1, options=retry()))
    for attempt, delay in ((1, 100), (2, 200), (3, 400)):
        await runs.take_activity(route, 1, attempt=attempt)
        await clock.after(10_000)  # the lease
        record = await runs.record(route, 1)
        assert record is not None
        assert (record.state, record.attempt) == ("b", attempt + 1)
        await clock.after(delay - 1)
        assert (await runs.record(route, 1)).state == "b"  # type: ignore[union-attr]
        await clock.after(1)
        assert (await runs.record(route, 1)).state == "q"  # type: ignore[union-attr]
    assert (await runs.types(route))[-1] == "ActivityTaskScheduled"
    assert clock.count("luaflow_activity_timeouts_total", type="worker_lost") == 3


@pytest.mark.parametrize(
    ("limits", "after", "kind"),
    [
        ({"s2c": 2_000}, 2_000, "start_to_close"),
        ({"hb": 3_000}, 3_000, "heartbeat"),
        ({"s2c": 60_000, "hb": 50_000}, 10_000, "worker_lost"),
        ({"s2c": 4_000, "hb": 3_000}, 3_000, "heartbeat"),
    ],
)
async def test_attempt_times_out(
    runs: Runs, clock: Clockwork, limits: dict[str, Any], after: int, kind: str
) -> None:
    """The earliest limit ends an attempt; the last attempt's timeout is the activity's outcome."""
    route = await runs.start("wf")
    await runs.decide(route, Ops().activity(route.partition, 1, options=retry(1), **limits))
    await runs.take_activity(route, 1)
    await clock.after(after - 1)
    assert (await runs.types(route))[-1] == "ActivityTaskScheduled"
    await clock.after(1)
    last = (await runs.events(route))[-1]
    assert (last.type, last.body["seq"], last.body["attempt"]) == ("ActivityTaskTimedOut", 1, 1)
    assert last.body["failure"]["details"] == {
        "timeout_type": kind,
        "_wrapper": "activity",
        "_activity_id": "1",
        "_retry_state": "maximum_attempts_reached",
    }
    assert clock.count("luaflow_activity_timeouts_total", type=kind) == 1
    assert clock.count("luaflow_leases_expired_total", kind="attempt") == 1


async def test_heartbeat_and_renewal_keep_an_attempt(runs: Runs, clock: Clockwork) -> None:
    """A heartbeat moves the heartbeat limit, a renewal only the lease; a late token is fenced."""
    route = await runs.start("wf")
    p = route.partition
    await runs.decide(route, Ops().activity(p, 1, options=retry(1), hb=9_000))
    await runs.take_activity(route, 1)

    async def renew(beat: bool) -> bytes:
        call = attempts.renew_activity(
            partition=p, run_id=route.run_id, seq="1", token="tok", beat=beat, details=b"7"
        )
        return bytes((await runs.store.one(call))[0])

    await clock.after(8_000)
    assert await renew(beat=True) == b"ok"
    await clock.after(8_000)
    assert await renew(beat=False) == b"ok"
    await clock.after(999)
    assert (await runs.types(route))[-1] == "ActivityTaskScheduled"
    await clock.after(1)
    assert (await runs.types(route))[-1] == "ActivityTaskTimedOut"
    assert await renew(beat=True) == b"fenced"
    late = attempts.finish_activity(
        route=route, seq="1", proof=Proof(token="tok"), type="ActivityTaskCompleted", body=b"{}"
    )
    assert (await runs.store.one(late))[0] == b"fenced"


async def test_stale_scheduler_cannot_end_an_attempt(runs: Runs) -> None:
    """A date that moved since it was read is no proof: the renewed attempt goes on."""
    route = await runs.start("wf")
    p = route.partition
    await runs.decide(route, Ops().activity(p, 1))
    await runs.take_activity(route, 1)
    member = f"a|{route.run_id}|1"
    (score,) = await runs.store.read(("ZSCORE", p.leases, member))
    await shift(runs.store, 5_000)
    renew = attempts.renew_activity(partition=p, run_id=route.run_id, seq="1", token="tok")
    await runs.store.one(renew)
    proof = Proof(state="r/1", member=member, score=bytes(score).decode())
    end = attempts.finish_activity(
        route=route, seq="1", proof=proof, type="ActivityTaskTimedOut", body=b"{}"
    )
    again = attempts.retry_activity(
        partition=p, run_id=route.run_id, seq="1", proof=proof, delay=1, failure=b"{}"
    )
    assert [answer[0] for answer in await runs.store.run(end, again)] == [b"fenced", b"fenced"]
    (moved,) = await runs.store.read(("ZSCORE", p.leases, member))
    fresh = proof._replace(score=bytes(moved).decode())
    end = attempts.finish_activity(
        route=route, seq="1", proof=fresh, type="ActivityTaskTimedOut", body=b"{}"
    )
    assert (await runs.store.one(end))[0] == b"ok"


async def test_nobody_takes_it_in_time(runs: Runs, clock: Clockwork) -> None:
    """A schedule-to-start timeout ends the activity at once, whatever its retry policy says."""
    route = await runs.start("wf")
    ops = Ops().activity(route.partition, 1, options={"s2s": 500, **retry()}, s2s=500)
    await runs.decide(route, ops)
    await clock.after(499)
    assert (await runs.types(route))[-1] == "ActivityTaskScheduled"
    await clock.after(1)
    last = (await runs.events(route))[-1]
    assert last.type == "ActivityTaskTimedOut"
    assert last.body["failure"]["details"]["timeout_type"] == "schedule_to_start"


@pytest.mark.parametrize("running", [False, True])
async def test_schedule_to_close_covers_retries(
    runs: Runs, clock: Clockwork, running: bool
) -> None:
    """At its schedule-to-close timeout an activity ends, running or not, with its last failure."""
    route = await runs.start("wf")
    p = route.partition
    await runs.decide(route, Ops().activity(p, 1, options=retry(), s2e=3_000))
    await runs.take_activity(route, 1)
    failure = {"kind": "Internal", "message": "broken", "retryable": None}
    call = attempts.retry_activity(
        partition=p,
        run_id=route.run_id,
        seq="1",
        proof=Proof(token="tok"),
        delay=100 if running else 60_000,
        failure=orjson.dumps(failure),
    )
    await runs.store.one(call)
    await clock.after(100)
    if running:
        await runs.take_activity(route, 1, "tok2", attempt=2)
    await clock.after(2_899)
    assert (await runs.types(route))[-1] == "ActivityTaskScheduled"
    await clock.after(1)
    last = (await runs.events(route))[-1]
    assert last.type == "ActivityTaskTimedOut"
    assert last.body["failure"]["details"] == {
        "timeout_type": "schedule_to_close",
        "last_failure": failure,
        "_wrapper": "activity",
        "_activity_id": "1",
        "_retry_state": "timeout",
    }
    for key in (p.timers, p.leases, p.pend(route.run_id)):
        left = await runs.store.read(("ZRANGE", key, 0, -1)) if key != p.pend(route.run_id) else []
        assert not any(left)


async def test_canceled_before_it_ran(runs: Runs, clock: Clockwork) -> None:
    """A queued activity whose cancellation is asked for ends as canceled and never runs."""
    route = await runs.start("wf")
    ops = Ops().activity(route.partition, 1).cancel_activity(2, 1)
    await runs.decide(route, ops)
    await clock.settle()
    last = (await runs.events(route))[-1]
    assert (last.type, last.body["failure"]["kind"]) == ("ActivityTaskCanceled", "Canceled")
    with pytest.raises(AssertionError):
        await runs.take_activity(route, 1)


async def test_canceled_attempt_is_not_retried(runs: Runs, clock: Clockwork) -> None:
    """When the worker of an attempt to cancel is lost, the activity ends as canceled."""
    route = await runs.start("wf")
    await runs.decide(route, Ops().activity(route.partition, 1, options=retry()).timer(2, 1))
    await runs.take_activity(route, 1)
    await clock.after(1)
    await runs.decide(route, Ops().cancel_activity(3, 1))
    assert (await runs.record(route, 1)).state == "c"  # type: ignore[union-attr]
    await clock.after(10_000)
    assert (await runs.types(route))[-1] == "ActivityTaskCanceled"


async def test_take_and_start_can_be_repeated(runs: Runs) -> None:
    """A worker or client that lost the answer asks again and gets the same one."""
    route = await runs.start("wf")
    again = transitions.start(route=route, type="t", bundle="b", started=b"{}")
    assert (await runs.store.one(again))[0] == b"started"
    task = await runs.take(route)
    call = transitions.take_workflow(
        partition=route.partition,
        run_id=route.run_id,
        stream=route.partition.workflow_queue("q"),
        turn=task.turn - 1,
        worker="w1",
        entry="1-1",
    )
    answer = await runs.store.one(call)
    assert (answer[0], answer[1]) == (b"ok", task.turn)
    assert (await runs.store.one(call._replace(args=[*call.args[:2], "w2", *call.args[3:]])))[
        0
    ] == b"gone"
    await runs.commit(route, task, Ops().activity(route.partition, 1))
    first = await runs.take_activity(route, 1)
    take = attempts.take_activity(
        partition=route.partition,
        run_id=route.run_id,
        queue="q",
        seq="1",
        attempt=1,
        worker="w1",
        token="tok",
        entry="1-1",
    )
    assert (await runs.store.one(take))[:5] == first[:5]
    assert (await runs.store.one(take._replace(args=[*take.args[:4], "x", "1-1"])))[0] == b"gone"


# -- tasks ---------------------------------------------------------------------------------------


async def test_silent_worker_loses_its_task(runs: Runs, clock: Clockwork) -> None:
    """The task moves to the shared queue under a new turn; the old worker's commit is refused."""
    route = await runs.start("wf")
    task = await runs.take(route)
    await clock.after(9_999)
    assert (await runs.state(route))["task"] == "taken"
    await clock.after(1)
    assert (await runs.state(route))["task"] == "queued"
    with pytest.raises(AssertionError, match="turn"):
        await runs.commit(route, task, Ops())
    await runs.commit(route, await runs.take(route, "w2"), Ops(), worker="w2")
    assert clock.count("luaflow_leases_expired_total", kind="task") == 1


async def test_run_that_kills_its_workers_is_parked(runs: Runs, clock: Clockwork) -> None:
    """Five lost tasks in a row park a run for a minute, and say why."""
    route = await runs.start("wf")
    for _ in range(5):
        await runs.take(route)
        await clock.after(10_000)
    state = await runs.state(route)
    assert state["task"] == "backoff"
    assert "w1" in orjson.loads(state["stuck"])["message"]
    await clock.after(60_000)
    assert (await runs.state(route))["task"] == "queued"


async def test_unread_sticky_task_moves_to_the_queue(runs: Runs, clock: Clockwork) -> None:
    """A sticky task nobody read in time goes to all workers, and its entry is gone."""
    route = await runs.start("wf")
    p = route.partition
    await runs.read(p.sticky("w1"))
    await runs.commit(route, await runs.take(route), Ops().timer(1, 10), sticky="w1")
    await clock.after(10)
    await clock.after(4_999)
    assert (await runs.state(route))["task"] == "sticky"
    await clock.after(1)
    state = await runs.state(route)
    assert (state["task"], state["sticky"]) == ("queued", "")
    (length,) = await runs.store.read(("XLEN", p.sticky("w1")))
    assert length == 0
    assert await runs.take(route, "w2")
    assert clock.count("luaflow_leases_expired_total", kind="sticky") == 1
    assert await drop_workers(runs.store, [(p, "w1")])


async def test_lease_end_opens_the_mailbox(store: Store, runs: Runs, clock: Clockwork) -> None:
    """A mailbox that a closing run shut is open again when its worker is lost."""
    route = await runs.start("wf")
    task = await runs.take(route)
    call = transitions.message(route=route, type="WorkflowExecutionSignaled", body=b"{}")
    for n in range(3):
        assert (await store.one(call))[0] == b"ok"
        with pytest.raises(AssertionError, match="messages"):
            await runs.commit(route, Task(task.turn, task.length + n), Ops().close(route.partition))
    assert (await store.one(call))[0] == b"busy"
    await clock.after(10_000)
    assert (await store.one(call))[0] == b"ok"


# -- closing and retention -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "last"),
    [
        ("terminate", "WorkflowExecutionTerminated"),
        ("request_cancel", "WorkflowExecutionCancelRequested"),
        ("abandon", "WorkflowExecutionStarted"),
    ],
)
async def test_parent_close_policy(
    store: Store, runs: Runs, clock: Clockwork, policy: str, last: str
) -> None:
    """Children of a closed run are ended, asked to cancel or left alone; its records go."""
    parent = await runs.start(names_in(0, 2)[0])
    (name,) = names_in(1, 2)
    me = {"p": 0, "workflow_id": parent.workflow_id, "run_id": parent.run_id}
    start = {"k": "start", "from": me, "seq": 1, "workflow_id": name, "run_id": "kid", "type": "c"}
    start |= {"queue": "q", "bundle": "b", "pid": "p", "started": {"v": 1}}
    start["parent"] = orjson.dumps({**me, "seq": 1, "pid": "p"}).decode()
    note = {"kind": "child", "workflow_id": name, "policy": policy}
    p = parent.partition
    ops = Ops().request(p, 1, 1, start, note).timer(2, 60_000)
    ops.activity(p, 3, s2e=9_999, s2s=9_999)
    await runs.decide(parent, ops)
    await clock.after(1_000)
    assert (await runs.types(parent))[-1] == "ChildWorkflowExecutionStarted"
    await runs.decide(parent, Ops().close(p))
    await clock.after(1_000)
    assert (await runs.types(runs.route(name, "kid")))[-1] == last
    assert await runs.members(p.timers) == []
    assert await runs.members(p.leases) == []
    (left,) = await store.read(("EXISTS", p.pend(parent.run_id)))
    assert left == 0


async def test_child_is_told_once_of_its_parents_end(store: Store, runs: Runs) -> None:
    """Two schedulers that clean the same closed run tell each child once."""
    route = await runs.start("wf")
    p = route.partition
    await runs.decide(route, Ops().request(p, 1, 1, {}, {"kind": "child"}).close(p))
    call = transitions.close_out(
        partition=p, run_id=route.run_id, items=[("c:1", 1, b"{}"), ("x:9", None, b"")]
    )
    assert await store.run(call, call) == [[b"ok", 0], [b"ok", 0]]
    (length,) = await store.read(("XLEN", p.outbox(1)))
    assert length == 2


async def test_children_hear_of_an_end_long_ago(store: Store, runs: Runs, clock: Clockwork) -> None:
    """With closing task and retention due at once, what the run held is cleaned before it goes."""
    route = await runs.start("wf")
    p = route.partition
    await runs.decide(route, Ops().timer(1, 10**12).close(p))
    remove = transitions.remove_run(partition=p, workflow_id="wf", run_id=route.run_id)
    await shift(store, store.settings.retention_ms)
    assert await store.one(remove) == [b"open"]
    await clock.after(1_000)
    assert await runs.members(p.timers) == []
    assert (await store.one(remove))[0] == b"gone"


async def test_large_run_is_closed_out_in_slices(runs: Runs, clock: Clockwork) -> None:
    """A run that waited for more than fits a slice is cleaned to the end."""
    route = await runs.start("wf")
    ops = Ops()
    for n in range(1, 901):
        ops.timer(n, 3_600_000)
    await runs.decide(route, ops.close(route.partition))
    await clock.settle()
    assert await runs.members(route.partition.timers) == []
    assert await runs.members(route.partition.leases) == []


async def test_closed_run_leaves_after_its_retention(
    store: Store, runs: Runs, clock: Clockwork, namespace: str
) -> None:
    """Every key of a closed run goes when its retention ends, not before, and no open run's."""
    route, other = await runs.start("wf"), await runs.start("other")
    p = route.partition
    await runs.decide(route, Ops().timer(1, 60_000).close(p))
    await clock.after(store.settings.retention_ms - 1)
    assert (await runs.types(route))[-1] == "WorkflowExecutionCompleted"
    await clock.after(1)
    keys = (p.run(route.run_id), p.hist(route.run_id), p.pend(route.run_id), p.wf("wf"))
    assert await store.read(*(("EXISTS", key) for key in keys)) == [0, 0, 0, 0]
    assert route.run_id not in "".join(await runs.members(p.vis))
    assert (await runs.state(other))["status"] == "running"
    assert clock.count("luaflow_runs_removed_total") == 1


# -- dates nobody can act on ---------------------------------------------------------------------


async def test_void_dates_go_and_broken_ones_wait(
    store: Store, runs: Runs, clock: Clockwork
) -> None:
    """A date without its run is removed; one that cannot be read is put off and stops nobody."""
    route = await runs.start("wf")
    p = route.partition
    await runs.decide(route, Ops().timer(1, 10))
    await store.read(("ZADD", p.timers, 1, "t|nobody|1", 2, f"c|{route.run_id}|9", 3, "x|none"))
    await store.read(("ZADD", p.leases, 1, "a|nobody|1", 2, f"a|{route.run_id}|8"))
    await store.read(("HSET", p.pend(route.run_id), "a:8", "what|is|this"))
    await clock.after(10)
    assert (await runs.types(route))[-1] == "TimerFired"
    assert await runs.members(p.timers) == [f"c|{route.run_id}|9"]
    assert f"a|{route.run_id}|8" in await runs.members(p.leases)
    assert "a|nobody|1" not in await runs.members(p.leases)


async def test_date_that_moved_is_not_put_off(store: Store, runs: Runs) -> None:
    """A date that was moved since it was read keeps its new time."""
    p = (await runs.start("wf")).partition
    await store.read(("ZADD", p.leases, 7, "z|some"))
    for score, word, now in (("6", b"moved", b"7"), ("7", b"ok", b"1000000009000")):
        call = transitions.put_off(
            partition=p, set_key=p.leases, member="z|some", score=score, delay=9_000
        )
        assert (await store.one(call))[0] == word
        assert await store.read(("ZSCORE", p.leases, "z|some")) == [now]


async def test_broken_run_hurts_only_itself(store: Store, runs: Runs, clock: Clockwork) -> None:
    """A run whose script fails is put off; the timers of others, due with it, fire."""
    first, second = names_in(0, 2, 2)
    bad, good = await runs.start(first), await runs.start(second)
    for route in (bad, good):
        await runs.decide(route, Ops().timer(1, 10))
    await store.read(("DEL", bad.partition.hist(bad.run_id)))
    await store.read(("SET", bad.partition.hist(bad.run_id), "not a stream"))
    await clock.after(10)
    assert (await runs.types(good))[-1] == "TimerFired"
    assert f"t|{bad.run_id}|1" in await runs.members(bad.partition.timers)
    with pytest.raises(LuaflowError, match="WRONGTYPE"):
        await runs.events(bad)
