"""A request that a fail-over lost, or its answer, is settled: no run waits for ever.

What a lost write takes away is taken away by hand; messages are carried by hand, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from tests.protocol.hand import Hand, request
from tests.support.engine import Engine, within
from tests.support.mutants import mutant, proves, replaced

from luaflow.client.handle import Handle
from luaflow.domain import locks
from luaflow.store.courier import Courier
from luaflow.store.link import Arg, Call
from luaflow.store.relay import drain_outbox
from luaflow.store.transitions import COMMIT_KEYS, Route
from luaflow_scheduler.everywhere import look_everywhere
from luaflow_scheduler.lost_requests import LostRequests

PARENT = """
local function main(id)
  local there = process.with_options({ ["workflow.id"] = id })
  local value, err = there:exec("app:child", "app:worker", 1)
  if err then return err:kind() end
  return value
end
"""
CHILD = """
local function main(n)
  process.listen("go"):receive()
  return n + 41
end
"""


async def never(*_: Any, **__: Any) -> bool:
    """Nothing is on its way."""
    return False


async def nothing(*_: Any) -> None:
    """Nothing is found."""


async def look(hand: Hand | Engine, route: Route) -> list[Call]:
    """What a scheduler finds that has just begun."""
    lost = LostRequests(hand.store)
    if isinstance(hand, Hand):
        await hand.check()
        hand.excused = True  # a lock stays with a run that nobody ends
    epochs = (await look_everywhere(hand.store)).epochs
    return await lost.find(route.partition, [route.run_id], epochs, last=True)


async def lose(hand: Hand | Engine, sender: int, receiver: int) -> None:
    """Let a server lose what is in an outbox."""
    outbox = hand.store.partitions[sender].outbox(receiver)
    (gone,) = await hand.store.read(("XTRIM", outbox, "MAXLEN", 0))
    assert gone


# -- locks -----------------------------------------------------------------------------------------


def lock_request(route: Route, key: str) -> list[Arg]:
    """A run of partition 3 asks for a lock of partition 5."""
    me = {"p": 3, "workflow_id": route.workflow_id, "run_id": route.run_id}
    body = orjson.dumps({"seq": 1, "key": key, "limit": 1, "wait": True})
    record = orjson.dumps({"kind": "lock", "key": key, "limit": 1})
    message = locks.ask(me, 1, key, 1, wait=True)
    return ["C", 1, "LockRequested", body, COMMIT_KEYS + 1, 5, message, record]


async def asking(hand: Hand) -> Route:
    """A run whose request is in the outbox."""
    route = await hand.start(hand.id_in(3))
    task = await hand.take(route)
    outbox = route.partition.outbox(5)
    answer = await hand.commit(task, *lock_request(route, hand.id_in(5)), others=[outbox])
    assert answer[0] == b"ok"
    return route


@proves(
    mutant("ask_again", "~= sent then", "== '' then"),
    mutant("ask_again", "return { 'ok', post(outbox_key, receiver, message) }", "return { 'ok' }"),
)
async def test_a_lost_request_for_a_lock_is_made_again_once(hand: Hand) -> None:
    """By two schedulers that found it at the same time."""
    route = await asking(hand)
    await lose(hand, 3, 5)
    calls = [*await look(hand, route), *await look(hand, route)]
    answers = await hand.store.apart(*calls)
    assert [bytes(a[0]) for a in answers if isinstance(a, list)] == [b"ok", b"void"]
    await drain_outbox(hand.store, 3, 5)
    await drain_outbox(hand.store, 5, 3)
    assert (await hand.types(route)).count("LockGranted") == 1
    assert await look(hand, route) == []


@proves(
    mutant("settle_request", "r.len ~= len", "false"),
    mutant("settle_request", "tell(r, type, body)", "save_run(r)"),
)
async def test_a_lost_grant_is_told_once(hand: Hand) -> None:
    """The entity has it down for the run."""
    route = await asking(hand)
    await drain_outbox(hand.store, 3, 5)
    await lose(hand, 5, 3)
    calls = [*await look(hand, route), *await look(hand, route)]
    answers = await hand.store.apart(*calls)
    assert [bytes(a[0]) for a in answers if isinstance(a, list)] == [b"ok", b"void"]
    assert (await hand.types(route)).count("LockGranted") == 1
    assert await look(hand, route) == []


@proves(replaced(LostRequests, "_under_way", never))
async def test_what_is_on_its_way_is_left_alone(hand: Hand) -> None:
    """A healthy server, at each moment of a request."""
    route = await asking(hand)
    assert await look(hand, route) == []
    await drain_outbox(hand.store, 3, 5)
    assert await look(hand, route) == []
    await drain_outbox(hand.store, 5, 3)
    assert await look(hand, route) == []
    assert (await hand.types(route)).count("LockGranted") == 1


async def test_what_was_heard_meanwhile_is_not_told_again(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that overtakes the scheduler counts, whatever that has read."""
    monkeypatch.setattr(LostRequests, "_under_way", never)
    route = await asking(hand)
    await drain_outbox(hand.store, 3, 5)
    calls = await look(hand, route)
    assert calls
    await drain_outbox(hand.store, 5, 3)
    assert await hand.store.apart(*calls) == [[b"void"]]
    assert (await hand.types(route)).count("LockGranted") == 1


# -- messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("runs", "kind"), [(True, "Unavailable"), (False, "NotFound")])
@proves(mutant("settle_request", "if final == 1 then", "if false then"))
async def test_a_lost_message_is_answered(hand: Hand, runs: bool, kind: str) -> None:
    """Whether it arrived nobody knows, unless its target is not there."""
    target = hand.id_in(5)
    if runs:
        await hand.idle(target)
    route = await hand.start(hand.id_in(3))
    task = await hand.take(route)
    mail = {"k": "message", "workflow_id": target}
    outbox = route.partition.outbox(5)
    await hand.commit(task, *request(1, 5, mail), others=[outbox])
    await lose(hand, 3, 5)
    answers = await hand.store.apart(*await look(hand, route))
    assert answers == [[b"ok"]]
    (told,) = (e for e in await hand.events(route) if e.type.endswith("WorkflowExecutionFailed"))
    assert told.type == "SignalExternalWorkflowExecutionFailed"
    assert told.body["failure"]["kind"] == kind
    assert await hand.pending(route, "c:1") == b""


# -- children --------------------------------------------------------------------------------------


@pytest.fixture
def nobody_carries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Messages stay in their outboxes until a test carries them."""
    with monkeypatch.context() as patch:
        patch.setattr(Courier, "tell", lambda *_, **__: None)
        yield


async def family(engine: Engine) -> tuple[Handle, Route, Handle, int]:
    """A parent that asked for its child: its handle and place, the child's handle and partition."""
    await engine.deploy({"parent": PARENT, "child": CHILD})
    await engine.worker()
    wid = engine.id_in(5, "child")
    parent = await engine.start("parent", wid, id=engine.id_in(3))
    await engine.until(parent, "StartChildWorkflowExecutionInitiated")
    route = await engine.store.route(parent.workflow_id)
    return parent, route, engine.client.get_handle(wid), 5


async def settle(engine: Engine, route: Route) -> list[bytes]:
    """Do what a scheduler would; the first words of the answers."""
    answers = await engine.store.apart(*await look(engine, route))
    return [bytes(a[0]) for a in answers if isinstance(a, list)]


async def test_a_child_whose_start_was_lost_is_answered(
    engine: Engine, nobody_carries: None
) -> None:
    parent, route, _, there = await family(engine)
    assert await settle(engine, route) == []
    await lose(engine, route.partition.number, there)
    assert await settle(engine, route) == [b"ok"]
    assert await within(parent.result()) == "NotFound"


@proves(replaced(LostRequests, "_of_child", nothing))
async def test_what_a_parent_did_not_hear_of_its_child_it_is_told(
    engine: Engine, nobody_carries: None
) -> None:
    """Its start, and its end, are in the child's partition."""
    parent, route, child, there = await family(engine)
    here = route.partition.number
    await drain_outbox(engine.store, here, there)
    assert await settle(engine, route) == []
    await lose(engine, there, here)
    assert await settle(engine, route) == [b"ok"]
    assert await settle(engine, route) == []
    await child.signal("go")
    await within(child.result())
    assert await settle(engine, route) == []
    await lose(engine, there, here)
    assert await settle(engine, route) == [b"ok"]
    assert await within(parent.result()) == 42


async def test_a_parent_hears_that_its_child_is_lost(engine: Engine, nobody_carries: None) -> None:
    """It had begun; its server failed over to one that knew nothing of it."""
    parent, route, child, there = await family(engine)
    here = route.partition.number
    await drain_outbox(engine.store, here, there)
    await drain_outbox(engine.store, there, here)
    p, at = engine.store.partitions[there], await engine.store.route(child.workflow_id)
    await engine.until(engine.client.get_handle(at.workflow_id, at.run_id), "WorkflowTaskCompleted")
    await engine.store.read(
        ("DEL", p.wf(child.workflow_id), p.run(at.run_id), p.hist(at.run_id), p.pend(at.run_id))
    )
    (members,) = await engine.store.read(("ZRANGE", p.vis, 0, -1))
    own = [m for m in members if bytes(m).endswith(at.run_id.encode())]
    await engine.store.read(("ZREM", p.vis, *own))
    assert await settle(engine, route) == [b"ok"]
    assert await within(parent.result()) == "NotFound"
