"""For each script a moment at which it does its whole work, and the call that does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from tests.protocol.hand import (
    LEASE,
    QUEUE,
    Hand,
    activity,
    close,
    completed,
    eager,
    request,
    timer,
)
from tests.protocol.scenes_entity import ENTITY_SCENES
from tests.support.keys import keys_like
from tests.support.topology import pretend_server

from luaflow.domain.events import CLOSING_EVENT
from luaflow.domain.schedules import Plan, State
from luaflow.store import (
    asking,
    attempts,
    delivery,
    inboxes,
    jobs,
    liveness,
    tasks,
    transitions,
    upkeep,
)
from luaflow.store.attempts import Proof
from luaflow.store.chains import continue_slice, retry_run
from luaflow.store.child_starts import child_start
from luaflow.store.delivery import Stamp
from luaflow.store.keeping import keep_run
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.schedules import Schedule, change_schedule, parent_of, tell_schedule
from luaflow.store.transitions import Indexed, RequestId, Route

Scene = Callable[[Hand], Awaitable[Call]]
ASK = RequestId("session", 3, 1, "signal:mine")
STAMP = Stamp(3, 1, 1)
NEXT = "n" * 32
ATTRIBUTES = Indexed(b"@a\0s1\1@b\0b1", b'{"a":"1","b":true}')


async def _start(hand: Hand) -> Call:
    p = hand.store.partition("w")
    return transitions.start(
        route=Route(p, "w", "r", QUEUE),
        type="t",
        bundle="b",
        started=b"{}",
        messages=[("WorkflowExecutionSignaled", b"{}")],
        run_timeout=1000,
        deadline=-2000,
        indexed=ATTRIBUTES,
        request=ASK,
    )


async def _message(hand: Hand) -> Call:
    route, _ = await hand.idle()
    kind = "WorkflowExecutionSignaled"
    return transitions.message(
        route=route, type=kind, body=b"{}", more=[(kind, b"{}")], request=ASK
    )


async def _update(hand: Hand) -> Call:
    route, _ = await hand.idle()
    return transitions.update(route=route, update_id="u1", body=b"{}")


async def _ask(hand: Hand) -> Call:
    return asking.ask(namespace=hand.store.namespace, queue=QUEUE, text=b"{}")


async def _take_workflow(hand: Hand) -> Call:
    route = await hand.start()
    state = await hand.state(route)
    return transitions.take_workflow(
        partition=route.partition,
        run_id=route.run_id,
        stream=route.partition.workflow_queue(QUEUE),
        turn=int(state["turn"]),
        worker="a",
        entry=state["entry"],
    )


def _commit_of(hand: Hand, route: Route, turn: int, seen: int, *ops: object, **how: object) -> Call:
    p = route.partition
    return transitions.commit(
        route=route,
        cid=hand.cid("a"),
        turn=turn,
        seen=seen,
        worker="a",
        decision=b"{}",
        operations=ops,  # type: ignore[arg-type]
        others=[p.activity_queue(QUEUE), p.outbox(3)],
        **{"fused": False, "sticky": "a", "results": (), **how},  # type: ignore[arg-type]
    )


async def _commit(hand: Hand) -> Call:
    """Every operation but the end, after a refusal and with news."""
    route = await hand.start()
    task = await hand.take(route)
    ops = [*timer(1, 50), *eager(2), *activity(3, 10, start_limit=1000)]
    answer = await hand.commit(task, *ops, others=[route.partition.activity_queue(QUEUE)])
    await hand.tell(route)
    task = await hand.take(route)
    await hand.tell(route)
    await hand.commit(task, *close())
    ops = [*activity(4, 10, start_limit=1000), *eager(5, "a.5"), *timer(6, 5)]
    ops += ["t", 7, b"{}", 1, "R", 8, b"{}", 2, "R", 9, b"{}", 3, "E", "MarkerRecorded", b"{}"]
    ops += ["N", "u1", "k", "WorkflowExecutionUpdateAccepted", b"{}"]
    ops += ["H", "memo", b"{}", "I", b"@a\0s2", *request(10, 3, {"workflow_id": "x"}, 11)]
    assert answer[0] == b"ok"
    return _commit_of(hand, route, task.turn, task.seen, *ops)


async def _commit_step(hand: Hand) -> Call:
    """The usual step: one result, one activity more."""
    route, task = await hand.idle("w", *eager(1), sticky="a")
    now = (await hand.events(route))[-1].ts
    results = [completed(1, "a.t", now)]
    return _commit_of(hand, route, task.turn, task.seen, *eager(2), fused=True, results=results)


async def _commit_close(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50))
    await hand.tell(route)
    task = await hand.take(route)
    end = ["Z", "completed", CLOSING_EVENT["completed"], b"{}", 11, 3, b"{}", "close"]
    return _commit_of(hand, route, task.turn, task.seen, *end)


async def _commit_fused(hand: Hand) -> Call:
    route, task = await hand.idle("w", *eager(1))
    now = (await hand.events(route))[-1].ts
    return _commit_of(
        hand, route, task.turn, task.seen, fused=True, results=[completed(1, "a.t", now)]
    )


async def _continue(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50), run_timeout=1000, deadline=-5000)
    await hand.tell(route)
    task = await hand.take(route)
    await hand.tell(route, cancel=True)
    body = b"{}"
    return transitions.continue_as_new(
        route=route,
        cid="a.c",
        turn=task.turn,
        seen=task.seen,
        worker=task.worker,
        decision=body,
        closing=body,
        next_run=NEXT,
        type="t",
        bundle="b",
        attempt=1,
        run_timeout=1000,
        started=body,
        unread=[task.seen],
        operations=timer(2, 5),
        others=(),
    )


async def _continuing(hand: Hand) -> tuple[Route, Call]:
    """A run that has 501 messages to carry over, some of them late; the call that made it so."""
    route, _ = await hand.idle("w", *timer(1, 50), run_timeout=1000, deadline=-5000)
    await hand.tell_many(route, ["s"] * 500)
    task = await hand.take(route)
    await hand.tell(route, cancel=True)
    call = hand.continuing(task, NEXT, unread=range(task.seen - 499, task.seen + 1))
    return route, call


async def _continue_many(hand: Hand) -> Call:
    _, call = await _continuing(hand)
    return call


async def _slice(hand: Hand) -> Call:
    route, call = await _continuing(hand)
    await hand.store.one(call)
    return continue_slice(route=route, next_run=NEXT, cursor=0)


async def _last_slice(hand: Hand) -> Call:
    route, call = await _continuing(hand)
    await hand.store.one(call)
    assert await hand.slice(route) == [b"ok", 1, 0]
    return continue_slice(route=route, next_run=NEXT, cursor=1)


async def _close_out_half(hand: Hand) -> Call:
    route, call = await _continuing(hand)
    await hand.store.one(call)
    await hand.slice(route)
    await hand.end(route)
    items = [("n:next", None, NEXT.encode()), ("n:started", None, b"")]
    return transitions.close_out(partition=route.partition, run_id=route.run_id, items=items)


async def _renew_task(hand: Hand) -> Call:
    task = await hand.take(await hand.start())
    p, run_id = task.route.partition, task.route.run_id
    return transitions.renew_task(partition=p, run_id=run_id, turn=task.turn, worker="a")


async def _release(hand: Hand) -> Call:
    task = await hand.take(await hand.start())
    return transitions.release_task(route=task.route, turn=task.turn, worker="a")


async def _fail(hand: Hand) -> Call:
    task = await hand.take(await hand.start())
    return transitions.fail_task(
        route=task.route, turn=task.turn, worker="a", delay=1000, reason=b"{}"
    )


async def _fire(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50))
    await hand.shift(50)
    return transitions.fire_timer(route=route, seq="1", body=b"{}")


async def _wake(hand: Hand) -> Call:
    route = await hand.start(delay=50)
    await hand.shift(50)
    return transitions.wake_run(route=route, kind="d")


async def _expire(hand: Hand) -> Call:
    task = await hand.take(await hand.start())
    await hand.shift(LEASE)
    return transitions.expire_task(
        route=task.route, score=await _score(hand, task.route, "leases", "w|"), reason=b"{}"
    )


async def _score(hand: Hand, route: Route, name: str, kind: str) -> str:
    key = getattr(route.partition, name)
    (score,) = await hand.store.read(("ZSCORE", key, kind + route.run_id))
    return bytes(score).decode()


async def _requeue(hand: Hand) -> Call:
    route = await hand.start()
    state = await hand.state(route)
    return transitions.requeue_task(route=route, turn=int(state["turn"]), entry=state["entry"])


async def _end_run(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50))
    return transitions.end_run(
        route=route,
        kind="",
        status="terminated",
        type=CLOSING_EVENT["terminated"],
        body=b"{",
        receiver=3,
        message=b"{}",
        request=ASK,
    )


async def _close_out(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50), *eager(2))
    await hand.end(route)
    return transitions.close_out(
        partition=route.partition,
        run_id=route.run_id,
        items=[("t:1", 3, b"{}"), ("a:2", None, b"")],
    )


async def _remove(hand: Hand) -> Call:
    route, _ = await hand.idle()
    await hand.end(route)
    await hand.shift(hand.store.settings.retention_ms)
    return transitions.remove_run(partition=route.partition, workflow_id="w", run_id=route.run_id)


async def _compact(hand: Hand) -> Call:
    route, _ = await hand.idle()
    await hand.end(route)
    return await hand.packing(route)


async def _keep(hand: Hand) -> Call:
    route, _ = await hand.idle()
    await hand.end(route)
    return keep_run(partition=route.partition, run_id=route.run_id, verb="settle", ms=1)


async def _due(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50))
    return transitions.due(partition=route.partition, limit=10, latest=1000)


async def _settings(hand: Hand) -> Call:
    return upkeep.settings(partition=hand.store.partitions[0], version=9, fields=("lease", 1))


async def _head_room(hand: Hand) -> Call:
    return upkeep.head_room(partition=hand.store.partitions[0], percent=90)


async def _shift(hand: Hand) -> Call:
    p, to = hand.store.partitions[0], 1_000_000_000_005
    return upkeep.shift_clock(partition=p, to=to, simulated=True)


async def _may(hand: Hand) -> Call:
    return upkeep.may(partition=hand.store.partitions[0], commands=["HSET", "XGROUP CREATE"])


async def _confirm(hand: Hand) -> Call:
    return upkeep.confirm(partition=hand.store.partitions[0])


async def _drop(hand: Hand) -> Call:
    p = hand.store.partition("w")
    await hand.store.one(tasks.groups([p.sticky("a")]))
    route, _ = await hand.idle(sticky="a")
    await hand.tell(route)
    task = ((await hand.state(route))["entry"], route)
    return transitions.drop_worker(partition=p, worker="a", queues=[QUEUE], tasks=[task])


async def _announce(hand: Hand) -> Call:
    return liveness.announce(namespace=hand.store.namespace, worker="a", record=b"{}")


async def _lead(hand: Hand) -> Call:
    return liveness.lead(namespace=hand.store.namespace, scheduler="a", ms=60_000)


async def _make_groups(hand: Hand) -> Call:
    p = hand.store.partitions[0]
    return tasks.groups([p.workflow_queue(QUEUE), p.sticky("a")])


async def _put_off(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50))
    p, member = route.partition, f"t|{route.run_id}|1"
    (score,) = await hand.store.read(("ZSCORE", p.timers, member))
    return transitions.put_off(
        partition=p, set_key=p.timers, member=member, score=bytes(score).decode(), delay=1000
    )


async def _queued(hand: Hand, **limits: int) -> Route:
    route = await hand.start()
    task = await hand.take(route)
    others = [route.partition.activity_queue(QUEUE)]
    await hand.commit(task, *activity(1, 10, **limits), others=others)
    return route


async def _take_activity(hand: Hand) -> Call:
    route = await _queued(hand)
    entry = attempts.parse_record(await hand.pending(route, "a:1")).token
    return attempts.take_activity(
        partition=route.partition,
        run_id=route.run_id,
        queue=QUEUE,
        seq="1",
        attempt=1,
        worker="a",
        token="a.t",
        entry=entry,
    )


async def _finish(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *eager(1))
    return attempts.finish_activity(
        route=route, seq="1", proof=Proof("a.t"), type="ActivityTaskCompleted", body=b"{}"
    )


async def _retry(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *eager(1))
    p = route.partition
    return attempts.retry_activity(
        partition=p, run_id=route.run_id, seq="1", proof=Proof("a.t"), delay=5, failure=b"{}"
    )


async def _queue_activity(hand: Hand) -> Call:
    call = await _retry(hand)
    await hand.store.one(call)
    await hand.shift(5)
    p, run_id = hand.store.partition("w"), str(call.args[0])
    return attempts.queue_activity(
        partition=p,
        run_id=run_id,
        queue=QUEUE,
        seq="1",
        attempt=2,
        state="b",
        schedule_to_start=9,
        entry="1-1",
    )


async def _renew_activity(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *eager(1))
    return attempts.renew_activity(
        partition=route.partition,
        run_id=route.run_id,
        seq="1",
        token="a.t",
        beat=True,
        details=b"1",
    )


async def _deliver_outcome(hand: Hand) -> Call:
    p = hand.store.partition("w")
    route, _ = await hand.idle("w", *request(1, 3, {"workflow_id": "x"}), others=[p.outbox(3)])
    return delivery.deliver_outcome(
        route=route,
        stamp=STAMP,
        seq=1,
        type="ExternalWorkflowExecutionSignaled",
        body=b"{}",
        final=True,
    )


async def _deliver_message(hand: Hand) -> Call:
    route, _ = await hand.idle()
    return delivery.deliver_message(
        route=route, stamp=STAMP, type="WorkflowExecutionSignaled", body=b"{}", yes=b"{}", no=b"{}"
    )


async def _deliver_end(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50))
    return delivery.deliver_end(
        route=route, stamp=STAMP, body=b"{", receiver=5, message=b"{}", yes=b"{}", no=b"{}"
    )


async def _deliver_start(hand: Hand) -> Call:
    p = hand.store.partition("w")
    return delivery.deliver_start(
        route=Route(p, "w", "r", QUEUE),
        stamp=STAMP,
        type="t",
        bundle="b",
        parent=orjson.dumps({"p": 3}).decode(),
        reuse="allow_duplicate",
        delay=0,
        run_timeout=1000,
        deadline=-2000,
        yes=b"{}",
        no=b"{}",
        started=b"{}",
        messages=[("WorkflowExecutionSignaled", b"{}")],
    )


CHILD = {
    "k": "start",
    "from": {"p": 3, "workflow_id": "x", "run_id": "x"},
    "seq": 1,
    "pid": "p",
    "workflow_id": "w",
    "run_id": NEXT,
    "messages": [["WorkflowExecutionSignaled", {"name": "s", "input": []}]],
}


def _child_of(route: Route, conflict: str) -> Call:
    mail, parent = {**CHILD, "conflict": conflict}, {"p": 3, "seq": 1, "pid": "p"}
    parent |= {"workflow_id": "x", "run_id": "x"}
    return child_start(STAMP, mail, route, running=True, parent=parent, no=b"")[0]


async def _existing(hand: Hand) -> Call:
    route, _ = await hand.idle("w", sticky="a")
    return _child_of(route._replace(sticky="a"), "use_existing")


async def _way(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50), run_timeout=1000, deadline=-5000)
    await hand.tell(route)
    return _child_of(route, "terminate_existing")


def _out_of_time(route: Route) -> Call:
    return retry_run(
        route=route,
        next_run=NEXT,
        type="t",
        bundle="b",
        attempt=2,
        run_timeout=1000,
        started=b"{}",
        closing=b"{}",
        at=-1000,
        indexed=ATTRIBUTES,
    )


async def _retry_run(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50), run_timeout=1000, deadline=-5000)
    await hand.tell(route)
    task = await hand.take(route)
    await hand.commit(task, "U", str(task.seen))
    await hand.tell(route)
    await hand.shift(1000)
    return _out_of_time(route)


async def _retry_run_many(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *timer(1, 50), run_timeout=1000)
    await hand.tell_many(route, ["s"] * 501)
    await hand.shift(1000)
    return _out_of_time(route)


async def _forget(hand: Hand) -> Call:
    p = hand.store.partition("w")
    await hand.idle("w", *request(1, 3, {"workflow_id": "x"}), others=[p.outbox(3)])
    waiting = await hand.outbox(p.number, 3)
    return delivery.forget_messages(partition=p, receiver=3, delivered=waiting)


NODE = "n0123456789ab"


async def _keep_inbox(hand: Hand) -> Call:
    return inboxes.keep_inbox(partition=inboxes.home(hand.store, NODE), node=NODE)


async def _post_inbox(hand: Hand) -> Call:
    await hand.store.one(await _keep_inbox(hand))
    p = inboxes.home(hand.store, NODE)
    return inboxes.post_inbox(
        partition=p, node=NODE, letter=b"{}", request=RequestId("session", 3, 1)
    )


async def _deliver_inbox(hand: Hand) -> Call:
    await hand.store.one(await _keep_inbox(hand))
    p = inboxes.home(hand.store, NODE)
    return inboxes.deliver_inbox(partition=p, node=NODE, stamp=STAMP, letter=b"{}")


async def _register_name(hand: Hand) -> Call:
    p = inboxes.home(hand.store, "counter")
    return inboxes.register_name(partition=p, name="counter", pid="{n@h|1}")


async def _unregister_name(hand: Hand) -> Call:
    await hand.store.one(await _register_name(hand))
    p = inboxes.home(hand.store, "counter")
    return inboxes.unregister_name(partition=p, name="counter", pid="{n@h|1}")


async def _defer(hand: Hand) -> Call:
    route, _ = await hand.idle("w", *eager(1))
    return attempts.defer_activity(
        partition=route.partition, run_id=route.run_id, seq="1", token="a.t"
    )


async def _start_jobs(hand: Hand) -> Call:
    how = jobs.How(QUEUE, b"{}", 1000, 0, 500, 5000, 0, 60_000)
    p = hand.store.partition("w")
    other = hand.id_in(p.number, but="w")
    new = [jobs.NewJob(i, f"r-{i}", "app:f", b'{"input":[]}') for i in ("w", other)]
    return jobs.start_jobs(partition=p, how=how, jobs=new)


async def _cancel_job(hand: Hand) -> Call:
    await hand.store.one(await _start_jobs(hand))
    return jobs.cancel_job(partition=hand.store.partition("w"), job_id="w")


async def _take_jobs(hand: Hand) -> Call:
    call = await _start_jobs(hand)
    await hand.store.one(call)
    p, ids = hand.store.partition("w"), [key.rpartition(":")[2] for key in call.keys[5:]]
    texts = await hand.store.read(*(("HGET", p.job(i), "a:1") for i in ids))
    tasks = [
        jobs.Take(i, 1, f"a.{i}", attempts.parse_record(text).token)
        for i, text in zip(ids, texts, strict=True)
    ]
    return jobs.take_jobs(partition=p, queue=QUEUE, worker="a", tasks=tasks)


async def _finish_jobs(hand: Hand) -> Call:
    call = await _take_jobs(hand)
    await hand.store.one(call)
    ids = [key.rpartition(":")[2] for key in call.keys[3:]]
    ends = [jobs.End(i, Proof(f"a.{i}"), "ActivityTaskCompleted", b"{}") for i in ids]
    return jobs.finish_jobs(partition=hand.store.partition("w"), ends=ends)


async def _scheduled(hand: Hand) -> Schedule:
    """A schedule one of whose runs runs."""
    state = State(uid="u", created=0, updated=0, next=1, due=1)
    state.running = [{"number": 1, "workflow_id": "w", "run_id": "r", "asked": ""}]
    plan = Plan("t", {"interval": "1h"})
    made = Schedule("s", hand.store.partition("s"), "", plan, state)
    call = change_schedule(made, plan=plan, date=1)
    assert (await hand.store.one(call))[0] == b"ok"
    return made._replace(version=str(call.args[2]))


async def _change_schedule(hand: Hand) -> Call:
    made = await _scheduled(hand)
    return change_schedule(made, plan=made.plan, date=-1, latest=1, messages=[(3, b"{}")])


async def _to_schedule(hand: Hand) -> Call:
    made = await _scheduled(hand)
    texts = (orjson.dumps(one.to_json()).decode() for one in (made.plan, made.state))
    mail = parent_of(made, 1) | {"type": "ChildWorkflowExecutionCompleted", "body": {}}
    return tell_schedule(made.partition, STAMP, mail, made.version, *texts)


SCENES: dict[str, Scene] = {
    "change_schedule": _change_schedule,
    "deliver_to_schedule": _to_schedule,
    "start": _start,
    "message": _message,
    "update": _update,
    "ask": _ask,
    "take_workflow": _take_workflow,
    "commit": _commit,
    "commit step": _commit_step,
    "commit closing": _commit_close,
    "commit fused": _commit_fused,
    "continue_as_new": _continue,
    "continue_as_new with many": _continue_many,
    "continue_slice": _slice,
    "continue_slice last": _last_slice,
    "renew_task": _renew_task,
    "release_task": _release,
    "fail_task": _fail,
    "fire_timer": _fire,
    "wake_run": _wake,
    "expire_task": _expire,
    "requeue_task": _requeue,
    "end_run": _end_run,
    "close_out": _close_out,
    "close_out half-made": _close_out_half,
    "remove_run": _remove,
    "compact_run": _compact,
    "keep_run": _keep,
    "due": _due,
    "settings": _settings,
    "head_room": _head_room,
    "shift_clock": _shift,
    "confirm": _confirm,
    "may": _may,
    "drop_worker": _drop,
    "announce": _announce,
    "lead": _lead,
    "make_groups": _make_groups,
    "put_off": _put_off,
    "take_activity": _take_activity,
    "finish_activity": _finish,
    "retry_activity": _retry,
    "queue_activity": _queue_activity,
    "renew_activity": _renew_activity,
    "defer_activity": _defer,
    "start_jobs": _start_jobs,
    "cancel_job": _cancel_job,
    "take_jobs": _take_jobs,
    "finish_jobs": _finish_jobs,
    "deliver_outcome": _deliver_outcome,
    "deliver_message": _deliver_message,
    "deliver_end": _deliver_end,
    "deliver_start": _deliver_start,
    "forget_messages": _forget,
    "retry_run": _retry_run,
    "retry_run with many": _retry_run_many,
    "deliver_to_existing": _existing,
    "make_way": _way,
    "keep_inbox": _keep_inbox,
    "post_inbox": _post_inbox,
    "deliver_inbox": _deliver_inbox,
    "register_name": _register_name,
    "unregister_name": _unregister_name,
    **ENTITY_SCENES,
}
"""By script name, a word behind it for a second scene of the same script."""

GOOD = {"take_activity": b"ok", "start": b"started", "make_way": b"ended"}


def script_of(scene: str) -> str:
    """The script of a scene."""
    return scene.split(maxsplit=1)[0]


async def dump(hand: Hand) -> dict[str, bytes]:
    """Every key of the namespace with its content, byte for byte."""
    store = hand.store
    ordered = await keys_like(store, f"lf:{{{store.namespace}[:}}]*")
    contents = await store.read(*(("DUMP", key) for key in ordered)) if ordered else []
    return {key: bytes(content) for key, content in zip(ordered, contents, strict=True)}


async def contents(hand: Hand) -> dict[str, Any]:
    """Every key of the namespace with its content, to be compared.

    Fields of a hash have no order: a look at a large one moves them in what DUMP says of it.
    """
    store, found = hand.store, dict[str, Any](await dump(hand))
    kinds = await store.read(*(("TYPE", key) for key in found)) if found else []
    hashes = [key for key, kind in zip(found, kinds, strict=True) if bytes(kind) == b"hash"]
    for key in hashes:
        fields, ttl = await store.read(("HGETALL", key), ("PTTL", key))
        flat = [bytes(one) for one in fields]
        found[key] = sorted(zip(flat[::2], flat[1::2], strict=True)), ttl > 0
    return found


async def fail_over(
    hand: Hand, before: dict[str, bytes], server: str = "", *, prefix: str = ""
) -> None:
    """Go back to what a replica had (``dump``), as a fail-over does that lost acknowledged writes.

    ``server`` is the run id of the new primary, where it matters that there is one; ``prefix`` is
    that of the one partition that fails over.
    """
    lost = {key: ("DEL", key) for key in await dump(hand)}
    kept = {key: ("RESTORE", key, 0, value) for key, value in before.items()}
    for commands in (lost, kept):
        await hand.store.read(*(c for key, c in commands.items() if key.startswith(prefix)))
    if server:
        pretend_server(hand.store, server)


def partition_of_call(hand: Hand, call: Call) -> Partition:
    """The partition whose keys a call names."""
    return next(p for p in hand.store.partitions if call.keys[0].startswith(p.prefix))
