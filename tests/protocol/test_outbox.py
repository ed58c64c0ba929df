"""The outbox between partitions (design 5.6): once, in order, answered once."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.protocol.hand import Hand, request
from tests.protocol.scenes import dump, fail_over
from tests.support.mutants import mutant, proves, replaced
from tests.support.topology import pretend_server

from luaflow.store import delivery, relay
from luaflow.store.delivery import Stamp
from luaflow.store.link import Call
from luaflow.store.store import Store
from luaflow.store.transitions import Route


def signal(route: Route, number: int, epoch: int = 0, *, oldest: int = 0, name: str = "") -> Call:
    """A signal of partition 3, as the relay would deliver it."""
    body = orjson.dumps({"name": name or str(number), "input": []})
    return delivery.deliver_message(
        route=route,
        stamp=Stamp(3, number, epoch, oldest),
        type="WorkflowExecutionSignaled",
        body=body,
        yes=b"",
        no=b"",
    )


async def heard(hand: Hand, route: Route) -> list[str]:
    """The names of the signals in the run's history."""
    events = await hand.events(route)
    return [e.body["name"] for e in events if e.type == "WorkflowExecutionSignaled"]


async def say(hand: Hand, route: Route, *calls: Call) -> list[bytes]:
    """Deliver in this order, following the run; the first words of the answers."""
    words = []
    for call in calls:
        answer = await hand.store.one(call)
        words.append(bytes(answer[0]))
    return words


@proves(mutant("includes/arrival", "  return 'gap'\n", "  return nil\n"))
async def test_a_gap_is_refused(hand: Hand) -> None:
    """A message behind a missing one writes nothing: order is kept."""
    route, _ = await hand.idle()
    assert await say(hand, route, signal(route, 1), signal(route, 3)) == [b"ok", b"gap"]
    assert await say(hand, route, signal(route, 2), signal(route, 3)) == [b"ok", b"ok"]
    assert await heard(hand, route) == ["1", "2", "3"]


@proves(
    mutant(
        "includes/arrival",
        "if sender_epoch == e and number <= n then return 'duplicate' end",
        "if sender_epoch == e and number < n then return 'duplicate' end",
        ("includes/arrival", "number == n + 1", "number >= n"),
    )
)
async def test_a_duplicate_is_applied_once(hand: Hand) -> None:
    """Whoever delivers again what was delivered is told so."""
    route, _ = await hand.idle()
    words = await say(
        hand, route, signal(route, 1), signal(route, 1), signal(route, 2), signal(route, 1)
    )
    assert words == [b"ok", b"duplicate", b"ok", b"duplicate"]
    assert await heard(hand, route) == ["1", "2"]


@proves(mutant("includes/arrival", "number == oldest or", "false or"))
async def test_the_oldest_of_a_new_epoch_is_applied(hand: Hand) -> None:
    """After a fail-over numbers may begin anywhere: the sender's oldest undeleted one counts."""
    route, _ = await hand.idle()
    calls = (signal(route, 7), signal(route, 7, oldest=7), signal(route, 9, 1, oldest=9))
    assert await say(hand, route, *calls) == [b"gap", b"ok", b"ok"]


@proves(mutant("includes/arrival", "if sender_epoch < e then return 'duplicate' end\n", "\n"))
async def test_an_older_epoch_is_a_duplicate(hand: Hand) -> None:
    """What a deposed primary still sends was sent before, or is gone with it."""
    route, _ = await hand.idle()
    words = await say(hand, route, signal(route, 1, 2, oldest=1), signal(route, 5, 1, oldest=5))
    assert words == [b"ok", b"duplicate"]


@proves(mutant("includes/partition", "if M[3] ~= server then", "if not M[3] then"))
async def test_another_server_raises_the_epoch(hand: Hand) -> None:
    """A script that finds another server's run id in `meta` raises the epoch before it posts."""
    p = hand.store.partition("w")
    letter = {"workflow_id": "x"}
    route, task = await hand.idle("w", *request(1, 3, letter), others=[p.outbox(3)])
    pretend_server(hand.store, "another")
    await hand.tell(route)
    task = await hand.take(route)
    await hand.commit(task, *request(2, 3, letter), others=[p.outbox(3)])
    epochs = [epoch for _, epoch in await hand.outbox(p.number, 3)]
    assert epochs[1] > epochs[0], epochs


@proves(mutant("includes/partition", "math.max(epoch + 1, server_now)", "epoch + 1"))
async def test_two_quick_fail_overs_name_two_epochs(hand: Hand) -> None:
    """The second one loses the first one's epoch with the rest of its end: it gets another one."""
    hand.excused = True  # the first request is lost with its primary
    target, _ = await hand.idle(hand.id_in(5))
    route, _ = await hand.idle(hand.id_in(0))
    prefix = route.partition.prefix
    before = await dump(hand)
    epochs = []
    for server, time in (("second", 1_790_000_123_457), ("third", 1_790_000_123_999)):
        await fail_over(hand, before, server, prefix=prefix)
        await hand.store.read(("HSET", route.partition.meta, "vtime", time))
        await ask_for(hand, route, target)
        epochs += [epoch for _, epoch in await hand.outbox(0, 5)]
        await relay.drain_outbox(hand.store, 0, 5)
    assert epochs == [1_790_000_123_457, 1_790_000_123_999]
    assert await heard(hand, target) == ["s", "s"]


@proves(
    mutant(
        "includes/outbox",
        "rcall('HINCRBY', meta_key, 'out:' .. receiver, 1)",
        "rcall('HINCRBY', meta_key, 'out:' .. receiver, 2)",
    )
)
async def test_numbers_are_dense(hand: Hand) -> None:
    """Numbers have no hole: a receiver knows what is missing."""
    p = hand.store.partition("w")
    ops = [*request(1, 3, {"workflow_id": "x"}), *request(2, 3, {"workflow_id": "y"})]
    await hand.idle("w", *ops, others=[p.outbox(3)])
    (entries,) = await hand.store.read(("XRANGE", p.outbox(3), "-", "+"))
    assert [bytes(i) for i, _ in entries] == [b"1-0", b"2-0"]


def to(workflow_id: str) -> dict[str, Any]:
    """A signal that wants an answer."""
    names = {
        "ok": "ExternalWorkflowExecutionSignaled",
        "failed": "SignalExternalWorkflowExecutionFailed",
    }
    message = {
        "k": "message",
        "seq": 1,
        "workflow_id": workflow_id,
        "type": "WorkflowExecutionSignaled",
    }
    return {**message, **names, "body": {"name": "s", "input": []}}


async def ask_for(hand: Hand, route: Route, target: Route) -> None:
    """Let a waiting run signal ``target``, and want no answer."""
    letter = {**to(target.workflow_id), "from": None}
    receiver = target.partition.number
    await hand.tell(route)
    answer = await hand.commit(
        await hand.take(route),
        *request(1, receiver, letter),
        others=[route.partition.outbox(receiver)],
    )
    assert answer[0] == b"ok"


async def ask(hand: Hand, target: str) -> tuple[Route, int, int]:
    """A run in partition 0 whose first decision signals ``target``; sender, receiver."""
    sender = hand.id_in(0, but=target)
    receiver = hand.store.partition(target).number
    p = hand.store.partition(sender)
    route = await hand.start(sender)
    me = {"p": p.number, "workflow_id": sender, "run_id": route.run_id}
    letter = {**to(target), "from": me}
    answer = await hand.commit(
        await hand.take(route), *request(1, receiver, letter), others=[p.outbox(receiver)]
    )
    assert answer[0] == b"ok"
    return route, p.number, receiver


@proves(
    mutant("deliver_outcome", "if final == 1 then rcall('HDEL', pend_key, 'c:' .. seq) end\n", "\n")
)
async def test_a_request_gets_one_answer(hand: Hand) -> None:
    """The answer is an event once; what comes again is void, and the request is over."""
    target = await hand.start(hand.id_in(5))
    route, sender, receiver = await ask(hand, target.workflow_id)
    await relay.drain_outbox(hand.store, sender, receiver)
    ((number, epoch),) = await hand.outbox(receiver, sender)
    answer = Stamp(receiver, number + 1, epoch)
    await relay.drain_outbox(hand.store, receiver, sender)
    assert (await hand.types(route)).count("ExternalWorkflowExecutionSignaled") == 1
    again = delivery.deliver_outcome(
        route=route, stamp=answer, seq=1, type="TimerFired", body=b"{}", final=True
    )
    assert await hand.store.one(again) == [b"void"]


@proves(
    mutant(
        "deliver_message", "local answer = open and yes or no", "local answer = open and yes or ''"
    )
)
async def test_a_message_to_nobody_is_answered(hand: Hand) -> None:
    """A missing workflow answers NotFound and no key is made for it."""
    route, sender, receiver = await ask(hand, hand.id_in(5))
    await relay.drain_outbox(hand.store, sender, receiver)
    await relay.drain_outbox(hand.store, receiver, sender)
    *_, answer = await hand.events(route)
    assert answer.type == "SignalExternalWorkflowExecutionFailed"
    assert answer.body["failure"]["kind"] == "NotFound"
    (there,) = await hand.store.read(("EXISTS", hand.store.partitions[5].wf(hand.id_in(5))))
    assert there == 0


@proves(mutant("deliver_message", "local open = r and r.status == 'running'", "local open = r"))
async def test_a_message_to_a_closed_run_changes_nothing(hand: Hand) -> None:
    """Nothing is written behind a run's last event."""
    target = await hand.start(hand.id_in(5))
    await hand.end(target)
    route, sender, receiver = await ask(hand, target.workflow_id)
    await relay.drain_outbox(hand.store, sender, receiver)
    await relay.drain_outbox(hand.store, receiver, sender)
    assert (await hand.types(route))[-1] == "SignalExternalWorkflowExecutionFailed"


async def _forgetful(*args: Any) -> list[relay.Verdict]:
    return [relay.Verdict("ok") for _ in args[3]]


@proves(replaced(relay, "_carry", _forgetful))
async def test_a_message_is_deleted_after_it_arrived(hand: Hand) -> None:
    """The outbox is emptied by what the receiver confirmed, and by nothing else."""
    target, _ = await hand.idle(hand.id_in(5))
    _, sender, receiver = await ask(hand, target.workflow_id)
    drained = await relay.drain_outbox(hand.store, sender, receiver)
    assert (drained.settled, drained.left) == (1, 0)
    assert await heard(hand, target) == ["s"]


def _no_note(*_: Any) -> Any:
    raise LookupError("nobody takes note of it")


@proves(mutant("forget_messages", "read_epoch == 0 or read_epoch == epoch", "true"))
async def test_what_the_old_primary_was_brought_is_brought_to_the_new_one(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message was delivered, and that was lost; it does not leave the outbox for it."""
    target, _ = await hand.idle(hand.id_in(5))
    route, _ = await hand.idle(hand.id_in(0))
    await ask_for(hand, route, target)
    before = await dump(hand)
    carry = relay._carry

    async def carry_and_fail_over(*args: Any) -> Any:
        verdicts = await carry(*args)
        monkeypatch.setattr(relay, "_carry", carry)
        await fail_over(hand, before, "the new primary")
        return verdicts

    monkeypatch.setattr(relay, "_carry", carry_and_fail_over)
    await relay.drain_outbox(hand.store, 0, 5)
    await relay.drain_outbox(hand.store, 0, 5)
    assert await heard(hand, target) == ["s"]


@proves(mutant("includes/arrival", "read_on ~= '' and read_on ~= server", "false"))
async def test_what_was_read_on_the_old_primary_is_not_brought_to_the_new_one(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one does not know of the message, nor of the decision that sent it."""
    hand.excused = True  # the first request is lost with its primary
    target, _ = await hand.idle(hand.id_in(5))
    route, _ = await hand.idle(hand.id_in(0))
    before = await dump(hand)
    await ask_for(hand, route, target)
    carry = relay._carry

    async def fail_over_and_carry(*args: Any) -> Any:
        await fail_over(hand, before, "the new primary")
        return await carry(*args)

    with monkeypatch.context() as patch:
        patch.setattr(relay, "_carry", fail_over_and_carry)
        await relay.drain_outbox(hand.store, 0, 5)
    assert await heard(hand, target) == []
    await ask_for(hand, route, target)
    await relay.drain_outbox(hand.store, 0, 5)
    assert await heard(hand, target) == ["s"]


@proves(replaced(relay, "_to_nobody", _no_note))
async def test_a_message_that_cannot_be_read_is_skipped(hand: Hand) -> None:
    """One that can never be applied is taken note of; those behind it arrive."""
    target, _ = await hand.idle(hand.id_in(5))
    sender = await hand.start(hand.id_in(0))
    p = sender.partition
    ops = [
        *request(1, 5, {"k": "nonsense", "workflow_id": target.workflow_id}),
        *request(2, 5, {**to(target.workflow_id), "from": None}),
    ]
    await hand.commit(await hand.take(sender), *ops, others=[p.outbox(5)])
    drained = await relay.drain_outbox(hand.store, 0, 5)
    assert drained.settled == 2
    assert await heard(hand, target) == ["s"]


@proves(mutant("forget_messages", "if entry and entry[2][2] == ARGV[i + 1] then", "if entry then"))
async def test_a_slow_relay_spares_the_next_primarys_message(hand: Hand) -> None:
    """A number given again after a fail-over is another message: the first one's end is not its."""
    hand.excused = True  # the first request is lost with its primary
    target, _ = await hand.idle(hand.id_in(5))
    route, _ = await hand.idle(hand.id_in(0))
    before = await dump(hand)
    await ask_for(hand, route, target)
    delivered = await hand.outbox(0, 5)  # a relay has read it, and delivers it …
    await fail_over(hand, before, "the new primary")
    await ask_for(hand, route, target)
    assert [n for n, _ in await hand.outbox(0, 5)] == [n for n, _ in delivered]
    forget = delivery.forget_messages(partition=route.partition, receiver=5, delivered=delivered)
    assert (await hand.store.one(forget))[1] == 1
    await relay.drain_outbox(hand.store, 0, 5)
    assert await heard(hand, target) == ["s"]


@proves(replaced(relay, "_to_nobody", _no_note), replaced(Store, "apart", Store.run))
async def test_one_broken_target_is_answered_and_skipped(hand: Hand) -> None:
    """One that makes its script fail can never be applied: who is behind it does not wait (3.6)."""
    target, _ = await hand.idle(hand.id_in(5))
    broken = await hand.start(hand.id_in(5, but=target.workflow_id))
    sender = await hand.start(hand.id_in(0))
    p, history = sender.partition, broken.partition.hist(broken.run_id)
    await hand.store.read(("XADD", history, "99-0", "a", "b"))
    me = {"p": p.number, "workflow_id": sender.workflow_id, "run_id": sender.run_id}
    ops = [
        *request(1, 5, {**to(broken.workflow_id), "from": me}),
        *request(2, 5, {**to(target.workflow_id), "from": None}),
    ]
    await hand.commit(await hand.take(sender), *ops, others=[p.outbox(5)])
    await relay.drain_outbox(hand.store, 0, 5)
    await relay.drain_outbox(hand.store, 5, 0)
    assert await heard(hand, target) == ["s"]
    last = (await hand.events(sender))[-1]
    assert last.type == "SignalExternalWorkflowExecutionFailed"
    assert "XADD" in last.body["failure"]["message"]
    await hand.store.read(("XDEL", history, "99-0"))


def child(hand: Hand, number: int, run_id: str, reuse: str = "allow_duplicate") -> Call:
    """A start that partition 3 asks for; its answers name what became of it."""
    return delivery.deliver_start(
        route=Route(hand.store.partition("w"), "w", run_id, "q"),
        stamp=Stamp(3, number, 0),
        type="t",
        bundle="b",
        parent="",
        reuse=reuse,
        delay=0,
        run_timeout=0,
        deadline=0,
        yes=b"yes",
        no=b"no",
        started=b"{}",
        messages=(),
    )


@proves(mutant("deliver_start", "local taken = old[2] == 'running' or", "local taken ="))
async def test_a_child_starts_once_and_each_request_is_answered(hand: Hand) -> None:
    """A repeat is a duplicate, an id that runs is answered AlreadyExists: one answer each."""
    hand.excused = True  # the answers are words, not messages
    words = [
        (await hand.store.one(call))[0]
        for call in (child(hand, 1, "r1"), child(hand, 1, "r1"), child(hand, 2, "r2"))
    ]
    assert words == [b"ok", b"duplicate", b"no"]
    (answers,) = await hand.store.read(("XRANGE", hand.store.partition("w").outbox(3), "-", "+"))
    assert [bytes(fields[3]) for _, fields in answers] == [b"yes", b"no"]
