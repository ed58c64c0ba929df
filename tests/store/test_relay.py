"""Messages between partitions arrive once, in order, and are answered (design 5.6)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from tests.support.runs import Ops, Runs, names_in, open_store

from luaflow.errors import InvalidArgument
from luaflow.store.courier import Courier
from luaflow.store.link import Arg
from luaflow.store.relay import deliver, drain_outbox
from luaflow.store.store import Store
from luaflow.store.transitions import Route

S, R = 1, 2  # the sender's and the receiver's partition


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    store = await open_store(redis_url, namespace, partitions=4)
    yield store
    await store.close()


@pytest.fixture
def runs(store: Store) -> Runs:
    return Runs(store)


SENDER, TARGET = names_in(S, 4)[0], names_in(R, 4)[0]


def me(route: Route) -> dict[str, Any]:
    return {"p": route.partition.number, "workflow_id": route.workflow_id, "run_id": route.run_id}


def signal(route: Route | None, n: int = 1, to: str = TARGET) -> dict[str, Any]:
    return {
        "k": "message",
        "from": me(route) if route else None,
        "seq": n,
        "workflow_id": to,
        "type": "WorkflowExecutionSignaled",
        "body": {"name": "go", "input": [n]},
        "ok": "ExternalWorkflowExecutionSignaled",
        "failed": "SignalExternalWorkflowExecutionFailed",
    }


def child(route: Route, n: int = 1, **changes: Any) -> dict[str, Any]:
    parent = {**me(route), "seq": n, "pid": "{node@host|child}"}
    return {
        "k": "start",
        "from": me(route),
        "seq": n,
        "workflow_id": TARGET,
        "run_id": f"child{n}",
        "type": "c",
        "queue": "q",
        "bundle": "b",
        "pid": "{node@host|child}",
        "parent": orjson.dumps(parent).decode(),
        "reuse": "allow_duplicate",
        "delay": 0,
        "run_timeout": 0,
        "deadline": 0,
        "started": {"v": 1, "type": "c"},
        "messages": [],
        **changes,
    }


async def outbox(store: Store, sender: int, receiver: int) -> list[tuple[int, int, bytes]]:
    key = store.partitions[sender].outbox(receiver)
    (entries,) = await store.read(("XRANGE", key, "-", "+"))
    return [(int(bytes(i).split(b"-")[0]), int(f[1]), bytes(f[3])) for i, f in entries]


async def test_signal_arrives_and_is_answered(store: Store, runs: Runs) -> None:
    """A message is an event of its target, its answer one of the sender; outboxes are empty."""
    sender, target = await runs.start(SENDER), await runs.start(TARGET)
    await runs.decide(
        sender, Ops().request(sender.partition, 1, R, signal(sender), {"kind": "signal"})
    )
    there = await drain_outbox(store, S, R)
    assert (there.settled, there.left, list(there.replies)) == (1, 0, [S])
    back = await drain_outbox(store, R, S)
    assert (back.settled, back.left) == (1, 0)
    assert (await runs.events(target))[-1].body == {"name": "go", "input": [1]}
    last = (await runs.events(sender))[-1]
    assert (last.type, last.body) == ("ExternalWorkflowExecutionSignaled", {"seq": 1})
    assert await runs.members(store.partitions[S].leases) == []


@pytest.mark.parametrize("gone", [False, True])
async def test_signal_to_nobody_is_answered_so(store: Store, runs: Runs, gone: bool) -> None:
    """A target that never was, or is closed, answers NotFound; no key of it is made."""
    if gone:
        target = await runs.start(TARGET)
        await runs.decide(target, Ops().close(target.partition))
    sender = await runs.start(SENDER)
    await runs.decide(
        sender, Ops().request(sender.partition, 1, R, signal(sender), {"kind": "signal"})
    )
    await drain_outbox(store, S, R)
    await drain_outbox(store, R, S)
    last = (await runs.events(sender))[-1]
    assert last.type == "SignalExternalWorkflowExecutionFailed"
    assert last.body["failure"]["kind"] == "NotFound"
    (exists,) = await store.read(("EXISTS", store.partitions[R].wf(TARGET)))
    assert exists == gone


async def test_messages_arrive_in_order(store: Store, runs: Runs) -> None:
    """A drain delivers many messages in one go, in the order they were sent."""
    sender, target = await runs.start(SENDER), await runs.start(TARGET)
    ops = Ops()
    for n in range(1, 121):
        ops.request(sender.partition, n, R, signal(sender, n), {"kind": "signal"})
    await runs.decide(sender, ops)
    assert (await drain_outbox(store, S, R)).settled == 120
    assert (await drain_outbox(store, R, S)).settled == 120
    got = [e.body["input"][0] for e in await runs.events(target) if e.type.endswith("Signaled")]
    assert got == list(range(1, 121))


async def test_duplicate_changes_nothing(store: Store, runs: Runs) -> None:
    """A message delivered twice is applied once, and answered once."""
    sender, target = await runs.start(SENDER), await runs.start(TARGET)
    await runs.decide(
        sender, Ops().request(sender.partition, 1, R, signal(sender), {"kind": "signal"})
    )
    ((number, epoch, text),) = await outbox(store, S, R)
    assert (await deliver(store, S, number, epoch, text)).word == "ok"
    length = len(await runs.events(target))
    again = await deliver(store, S, number, epoch, text)
    assert (again.word, again.replies, again.settled) == ("duplicate", (), True)
    assert len(await runs.events(target)) == length
    assert len(await outbox(store, R, S)) == 1


async def test_gap_is_not_jumped(store: Store, runs: Runs) -> None:
    """A message after a missing one is not applied, unless it is its sender's oldest."""
    await runs.start(TARGET)
    text = orjson.dumps(signal(None))
    assert (await deliver(store, S, 2, 1, text)).word == "gap"
    assert (await deliver(store, S, 5, 1, text, oldest=4)).word == "gap"
    assert (await deliver(store, S, 5, 1, text, oldest=5)).word == "ok"
    assert (await deliver(store, S, 6, 1, text)).word == "ok"
    assert (await deliver(store, S, 8, 1, text)).word == "gap"


async def test_epochs_keep_two_primaries_apart(store: Store, runs: Runs) -> None:
    """After a failover older epochs are duplicates, a new one begins with the oldest number."""
    target = await runs.start(TARGET)
    text = orjson.dumps(signal(None))
    assert (await deliver(store, S, 1, 1, text)).word == "ok"
    assert (await deliver(store, S, 2, 1, text)).word == "ok"
    # the new primary lost 2, and gives the number again
    assert (await deliver(store, S, 2, 2, text)).word == "gap"
    assert (await deliver(store, S, 2, 2, text, oldest=2)).word == "ok"
    assert (await deliver(store, S, 3, 1, text, oldest=3)).word == "duplicate"
    assert (await deliver(store, S, 3, 2, text)).word == "ok"
    assert len(await runs.events(target)) == 5


async def test_outbox_of_two_epochs_is_drained(store: Store, runs: Runs) -> None:
    """A drain passes the border between epochs without losing or repeating a message."""
    sender, target = await runs.start(SENDER), await runs.start(TARGET)
    p = sender.partition
    await runs.decide(sender, Ops().request(p, 1, R, signal(sender, 1), {"kind": "signal"}))
    await store.read(("HSET", p.meta, "server", "another"))  # what a failover looks like
    await runs.store.read(("HSET", p.run(sender.run_id), "task", "taken", "worker", "w1"))
    turn = int((await runs.state(sender))["turn"])
    task = (turn, len(await runs.events(sender)))
    from tests.support.runs import Task

    await runs.commit(
        sender, Task(*task), Ops().request(p, 2, R, signal(sender, 2), {"kind": "signal"})
    )
    (old, new) = (epoch for _, epoch, _ in await outbox(store, S, R))
    assert old < new
    assert (await drain_outbox(store, S, R)).settled == 2
    got = [e.body["input"][0] for e in await runs.events(target) if e.type.endswith("Signaled")]
    assert got == [1, 2]


async def test_child_starts_signals_and_ends(store: Store, runs: Runs) -> None:
    """A child's start and a signal behind it arrive together; parent hears of start and end."""
    parent = await runs.start(SENDER)
    ops = Ops().request(
        parent.partition, 1, R, child(parent), {"kind": "child", "workflow_id": TARGET}
    )
    ops.request(parent.partition, 2, R, signal(parent, 2), {"kind": "signal"})
    await runs.decide(parent, ops)
    assert (await drain_outbox(store, S, R)).settled == 2
    assert (await drain_outbox(store, R, S)).settled == 2
    route = runs.route(TARGET, "child1")
    assert await runs.types(route) == ["WorkflowExecutionStarted", "WorkflowExecutionSignaled"]
    task = await runs.take(route)
    told = {"k": "outcome", **{k: v for k, v in me(parent).items() if k != "p"}, "seq": 1}
    told |= {"type": "ChildWorkflowExecutionCompleted", "body": {"seq": 1, "result": 7}, "final": 1}
    await runs.commit(
        route, task, Ops().close(route.partition, receiver=S, message=orjson.dumps(told))
    )
    assert (await drain_outbox(store, R, S)).settled == 1
    assert (await runs.types(parent))[-3:] == [
        "ChildWorkflowExecutionStarted",
        "ExternalWorkflowExecutionSignaled",
        "ChildWorkflowExecutionCompleted",
    ]
    (left,) = await store.read(("HLEN", parent.partition.pend(parent.run_id)))
    assert left == 0


async def test_child_with_a_taken_id_fails_to_start(store: Store, runs: Runs) -> None:
    """The parent is told AlreadyExists; the run that has the id is not touched."""
    holder, parent = await runs.start(TARGET), await runs.start(SENDER)
    await runs.decide(
        parent, Ops().request(parent.partition, 1, R, child(parent), {"kind": "child"})
    )
    await drain_outbox(store, S, R)
    await drain_outbox(store, R, S)
    last = (await runs.events(parent))[-1]
    assert last.type == "StartChildWorkflowExecutionFailed"
    assert last.body["failure"]["kind"] == "AlreadyExists"
    assert await runs.types(holder) == ["WorkflowExecutionStarted"]


async def test_message_in_a_childs_start_beats_its_delay(store: Store, runs: Runs) -> None:
    """A child started with a delay and a message does not wait."""
    parent = await runs.start(SENDER)
    message = ["WorkflowExecutionSignaled", {"name": "hi", "input": []}]
    start = child(parent, delay=60_000, messages=[message])
    await runs.decide(parent, Ops().request(parent.partition, 1, R, start, {"kind": "child"}))
    await drain_outbox(store, S, R)
    assert (await runs.state(runs.route(TARGET, "child1")))["task"] == "queued"


async def test_termination_tells_sender_and_parent(store: Store, runs: Runs) -> None:
    """An ended run lists what it left unread, its parent hears, the sender gets its answer."""
    parent = await runs.start(names_in(3, 4)[0])
    tale = {**me(parent), "seq": 9, "pid": "{n@h|c}"}
    target = await runs.start(TARGET, parent=orjson.dumps(tale).decode())
    sender = await runs.start(SENDER)
    end = {
        "k": "end",
        "from": me(sender),
        "seq": 2,
        "workflow_id": TARGET,
        "body": {"reason": "no"},
    }
    ops = Ops().request(sender.partition, 1, R, signal(sender), {"kind": "signal"})
    await runs.decide(sender, ops.request(sender.partition, 2, R, end, {"kind": "terminate"}))
    assert (await drain_outbox(store, S, R)).replies == {S, 3}
    last = (await runs.events(target))[-1]
    assert (last.type, last.body) == (
        "WorkflowExecutionTerminated",
        {"reason": "no", "unread": [2]},
    )
    assert (await runs.state(target))["status"] == "terminated"
    await drain_outbox(store, R, S)
    assert (await runs.types(sender))[-1] == "ExternalWorkflowExecutionTerminated"
    ((_, _, text),) = await outbox(store, R, 3)
    told = orjson.loads(text)
    assert (told["type"], told["body"]["seq"]) == ("ChildWorkflowExecutionTerminated", 9)
    assert told["body"]["failure"]["message"] == "workflow terminated"


async def test_answer_nobody_waits_for_is_void(store: Store, runs: Runs) -> None:
    """An answer to a request that is over, or of a run that ended, leaves no event."""
    route = await runs.start(TARGET)
    body = {"seq": 1}
    text = orjson.dumps(
        {**me(route), "k": "outcome", "seq": 1, "type": "TimerFired", "body": body, "final": 1}
    )
    assert (await deliver(store, S, 1, 1, text)).word == "void"
    assert await runs.types(route) == ["WorkflowExecutionStarted"]
    await runs.decide(route, Ops().close(route.partition))
    assert (await deliver(store, S, 2, 1, text)).word == "void"


async def test_message_for_a_child_spares_a_later_run(store: Store, runs: Runs) -> None:
    """What a closed parent tells its child does not hit another run of the same workflow id."""
    later = await runs.start(TARGET)
    mail = {
        "k": "end",
        "from": None,
        "seq": 1,
        "workflow_id": TARGET,
        "child_of": {"run_id": "gone", "seq": 1},
        "body": {"reason": "its parent workflow closed"},
    }
    assert (await deliver(store, S, 1, 1, orjson.dumps(mail))).settled
    assert await runs.types(later) == ["WorkflowExecutionStarted"]


@pytest.mark.parametrize(
    ("broken", "answer"),
    [
        ({"k": "start"}, "StartChildWorkflowExecutionFailed"),
        ({"k": "message", "failed": "SignalExternalWorkflowExecutionFailed"}, "SignalExternal"),
        ({"k": "what"}, ""),
    ],
)
async def test_unreadable_message_is_answered_and_skipped(
    store: Store, runs: Runs, broken: dict[str, Any], answer: str
) -> None:
    """A message that can never be applied stops nobody behind it; who asked is told."""
    sender, target = await runs.start(SENDER), await runs.start(TARGET)
    mail = {"from": me(sender), "seq": 1, "workflow_id": TARGET, **broken}
    ops = Ops().request(sender.partition, 1, R, mail, {"kind": "signal"})
    await runs.decide(sender, ops.request(sender.partition, 2, R, signal(sender, 2), {"kind": "x"}))
    assert (await drain_outbox(store, S, R)).left == 0
    await drain_outbox(store, R, S)
    assert (await runs.types(target))[-1] == "WorkflowExecutionSignaled"
    got = [t for t in await runs.types(sender) if t.startswith(answer)] if answer else [1]
    assert len(got) == 1


BROKEN: dict[str, Callable[[Route], tuple[Arg, ...]]] = {
    "a history out of order": lambda r: ("XADD", r.partition.hist(r.run_id), "99-0", "a", "b"),
    "a run of a wrong type": lambda r: ("SET", r.partition.run(r.run_id), "x"),
    "a workflow id of a wrong type": lambda r: ("SET", r.partition.wf(r.workflow_id), "x"),
    "a run without its fields": lambda r: ("HDEL", r.partition.run(r.run_id), "turn"),
    "a parent nobody can read": lambda r: ("HSET", r.partition.run(r.run_id), "parent", "{"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_broken_target_stops_nobody(store: Store, runs: Runs, broken: str) -> None:
    """Whatever is wrong with its keys: who asked is told, once, and the others are served."""
    sick, well = names_in(R, 4, 2)
    sender, patient = await runs.start(SENDER), await runs.start(sick)
    target = await runs.start(well)
    ops = Ops()
    for n, (to, mail) in enumerate(
        (
            (well, signal(sender, 1, well)),
            (sick, signal(sender, 2, sick)),
            (sick, {"k": "end", "from": me(sender), "seq": 3, "workflow_id": sick, "body": {}}),
            (sick, {**child(sender, 4), "workflow_id": sick}),
            (well, signal(sender, 5, well)),
        ),
        1,
    ):
        record = {"kind": "signal", "workflow_id": to}
        ops.request(sender.partition, n, R, mail, record)
    await store.read(("DEL", patient.partition.wf(sick)) if "workflow id" in broken else ("PING",))
    await store.read(BROKEN[broken](patient))
    await runs.decide(sender, ops)
    done = await drain_outbox(store, S, R)
    assert (done.settled, done.left) == (5, 0)
    await drain_outbox(store, R, S)
    assert (await runs.types(target))[1:] == ["WorkflowExecutionSignaled"] * 2
    answers = [e for e in await runs.events(sender) if e.body.get("seq") and "Init" not in e.type]
    assert [e.body["seq"] for e in answers] == [1, 2, 3, 4, 5]


async def test_message_without_json_is_skipped(store: Store, runs: Runs) -> None:
    """Bytes nobody can read leave the outbox; what is behind them arrives."""
    p, target = store.partitions[S], await runs.start(TARGET)
    await store.read(("XADD", p.outbox(R), "1-0", "e", 0, "m", b"\xff"))
    await store.read(("XADD", p.outbox(R), "2-0", "e", 0, "m", orjson.dumps(signal(None))))
    assert (await drain_outbox(store, S, R)).settled == 2
    assert (await runs.types(target))[-1] == "WorkflowExecutionSignaled"
    with pytest.raises(InvalidArgument, match="without a workflow id"):
        await deliver(store, S, 3, 0, b"\xff")


async def test_busy_target_stops_the_outbox(store: Store, runs: Runs) -> None:
    """A run that takes no messages now keeps its sender's outbox waiting, in order."""
    sender, target = await runs.start(SENDER), await runs.start(TARGET)
    await store.read(("HSET", target.partition.run(target.run_id), "shut", "1"))
    ops = Ops().request(sender.partition, 1, R, signal(sender), {"kind": "signal"})
    await runs.decide(
        sender, ops.request(sender.partition, 2, R, signal(sender, 2, "other"), {"kind": "x"})
    )
    done = await drain_outbox(store, S, R)
    assert (done.settled, done.left) == (0, 2)
    await store.read(("HSET", target.partition.run(target.run_id), "shut", "0"))
    assert (await drain_outbox(store, S, R)).settled == 2


async def test_two_relays_at_once_are_one(store: Store, runs: Runs) -> None:
    """Many drains of the same outbox at once deliver each message once."""
    sender, target = await runs.start(SENDER), await runs.start(TARGET)
    ops = Ops()
    for n in range(1, 61):
        ops.request(sender.partition, n, R, signal(sender, n), {"kind": "signal"})
    await runs.decide(sender, ops)
    couriers = [Courier(store) for _ in range(3)]
    for courier in couriers:
        courier.tell(S)
        courier.tell(S, [R])
    for courier in couriers:
        await courier.settle()
    got = [e.body["input"][0] for e in await runs.events(target) if e.type.endswith("Signaled")]
    assert got == list(range(1, 61))
    assert len(await runs.events(sender)) == 2 + 60 + 60
    for courier in couriers:
        await courier.close()


async def test_message_within_a_partition(store: Store, runs: Runs) -> None:
    """Sender and receiver may share a partition: the outbox leads to itself."""
    one, two = names_in(S, 4, 2)
    sender, target = await runs.start(one), await runs.start(two)
    await runs.decide(
        sender, Ops().request(sender.partition, 1, S, signal(sender, 1, two), {"kind": "x"})
    )
    courier = Courier(store)
    courier.tell(S, [S])
    await courier.settle()
    assert (await runs.types(target))[-1] == "WorkflowExecutionSignaled"
    assert (await runs.types(sender))[-1] == "ExternalWorkflowExecutionSignaled"
