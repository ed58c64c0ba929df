"""Updates (contract 13, design 5.3 and 5.12): each is answered, whatever happens to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import orjson
import pytest
from tests.protocol import gates
from tests.protocol.hand import Answer, Hand, close
from tests.support.engine import PATIENCE, Engine, within
from tests.support.mutants import kernel_mutant, mutant, patience, proves, replaced

from luaflow.client import asking, updates
from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.domain.events import Event
from luaflow.errors import (
    InvalidArgument,
    NoAnswer,
    NotFound,
    Refused,
    UpdateFailed,
    UpdateRejected,
)
from luaflow.lua.vm import Engine as LuaEngine
from luaflow.registry.app import load_app
from luaflow.registry.bundle import bundle_entry
from luaflow.replay.decider import Execution, NonDeterminism
from luaflow.replay.loading import pid_of, run_info, source_of
from luaflow.store import transitions
from luaflow.store.keys import Partition
from luaflow.store.store import Store
from luaflow.store.transitions import Route

PYTHON = {"gate": "tests.protocol.gates:gate", "note": "tests.protocol.gates:note"}
ADMITTED = "WorkflowExecutionUpdateAdmitted"
ACCEPTED = "WorkflowExecutionUpdateAccepted"
REJECTED = "WorkflowExecutionUpdateRejected"
COMPLETED = "WorkflowExecutionUpdateCompleted"

ACCOUNT = """
local workflow = require("workflow")
local funcs = require("funcs")
local function main(balance)
    local open = true
    workflow.on_update("add", function(n)
        if n == 0 then return nil, errors.new({ message = "nothing", kind = "Odd" }) end
        balance = balance + n
        return balance
    end)
    workflow.on_update("take", function(n)
        balance = balance - n
        return balance
    end, function(n)
        if n > balance then return nil, "only " .. balance .. " are left" end
    end)
    workflow.on_update("slowly", function(n)
        funcs.call("app:gate", "slowly")
        balance = balance + n
        return balance
    end)
    workflow.on_update("close", function() open = false return "closed" end)
    workflow.await(function() return not open end)
    return balance
end
"""
BY_HAND = """
local workflow = require("workflow")
local function main()
    local orders = process.listen("order", { message = true })
    local go = process.listen("go")
    while true do
        local case = channel.select({ orders:case_receive(), go:case_receive() })
        if case.channel == go then
            if case.value == "again" then return workflow.continue_as_new() end
            return case.value
        end
        local m = case.value
        local from, how = m:from(), m:payload():data()
        if how == "nak" then process.send(from, "nak", "not today") end
        if how == "ack" or how == "both" then process.send(from, "ack") end
        if how == "both" then process.send(from, "ok", { done = true }) end
    end
end
"""


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


async def account(engine: Engine, balance: int = 10, **how: Any) -> Handle:
    """An account that waits for updates; a worker serves it."""
    await engine.deploy({"account": ACCOUNT}, python=PYTHON)
    await engine.worker()
    return await engine.start("account", balance, **how)


async def by_hand(engine: Engine) -> Handle:
    """A workflow that answers as the update says."""
    await engine.deploy({"hand": BY_HAND})
    await engine.worker()
    return await engine.start("hand")


def task(work: Awaitable[Any]) -> asyncio.Task[Any]:
    """Do it in the background."""
    return asyncio.ensure_future(work)


class Looks:
    """How often clients have looked for the outcome of an update."""

    def __init__(self, state: Any) -> None:
        self.seen: list[str] = []
        self._state = state
        self._more = asyncio.Event()

    async def __call__(self, *args: Any) -> Any:
        """Look, and count."""
        found = await self._state(*args)
        self.seen.append(args[-1])
        self._more.set()
        return found

    async def at(self, count: int) -> None:
        """Wait until they have looked so often."""
        while len(self.seen) < count:
            self._more.clear()
            await self._more.wait()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Count how often clients look: each waits then."""
    one = Looks(updates._state)
    monkeypatch.setattr(updates, "_state", one)
    return one


async def count(engine: Engine, handle: Handle, kind: str) -> int:
    """How many events of a type there are."""
    return (await engine.types(handle)).count(kind)


# -- the protocol ----------------------------------------------------------------------------------


async def test_an_update_is_answered_in_the_same_decision(engine: Engine) -> None:
    """Admitted as a message, accepted and completed by the commit that saw it."""
    handle = await account(engine)
    assert await within(handle.update("add", 5, update_id="u1")) == 15
    *_, admitted, decided, accepted, completed = await engine.history(handle)
    assert (admitted.type, decided.type) == (ADMITTED, "WorkflowTaskCompleted")
    assert admitted.body == {"name": "add", "input": [5], "update_id": "u1"}
    assert (accepted.type, completed.type) == (ACCEPTED, COMPLETED)
    assert completed.body == {"seq": 2, "update_id": "u1", "result": 15}
    assert await within(handle.update("close")) == "closed"
    assert await within(handle.result()) == 15


async def test_an_error_of_the_handler_is_the_answer(engine: Engine) -> None:
    """With its kind; the workflow goes on."""
    handle = await account(engine)
    with pytest.raises(UpdateFailed, match="nothing") as failed:
        await within(handle.update("add", 0))
    assert (failed.value.kind, failed.type) == ("Odd", UpdateFailed)
    assert await within(handle.update("add", 1)) == 11


async def test_accepted_is_not_completed(engine: Engine) -> None:
    """Who waits for accepted hears of a rejection, and of no failure, whenever that comes."""
    handle = await account(engine)
    failing = await within(handle.start_update("add", 0))
    with pytest.raises(UpdateFailed, match="nothing"):
        await within(failing.result())
    with pytest.raises(UpdateRejected):
        await within(handle.start_update("take", 99))


async def test_code_answers_by_hand(engine: Engine) -> None:
    """nak rejects; ack, then ok."""
    handle = await by_hand(engine)
    with pytest.raises(UpdateRejected, match="not today") as rejected:
        await within(handle.update("order", "nak"))
    assert (rejected.value.kind, rejected.value.retryable) == ("Invalid", False)
    assert await within(handle.update("order", "both")) == {"done": True}
    update = await within(handle.start_update("order", "ack", update_id="u1"))
    assert await within(handle.update("order", "ack", update_id="u1", wait="accepted")) is None
    with pytest.raises(NoAnswer, match="the update 'u1'"):
        await update.result(timeout=0.05)


NEWS_OF_UPDATE = "rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'update:'"


@proves(mutant("includes/other_operations", NEWS_OF_UPDATE, "string.len('' .. 'update:'"))
async def test_whoever_waits_is_woken(engine: Engine, looks: Looks) -> None:
    """The answer comes long after it was asked for: by push, nobody looks again and again."""
    handle = await account(engine)
    update = await within(handle.start_update("slowly", 5))
    await within(gates.began["slowly"].wait())
    looks.seen.clear()
    waiting = task(update.result())
    await within(looks.at(1))
    gates.open_["slowly"].set()
    try:
        assert await within(asyncio.shield(waiting)) == 15
    finally:
        waiting.cancel()


async def test_bad_updates_are_refused_at_the_edge(engine: Engine) -> None:
    """Nothing is written of one without a name, with a bad id, of nobody's workflow."""
    handle = await account(engine)
    for name, update_id in (("", "u"), ("add", "{u}"), ("add", "a|b"), ("add", "u" * 201)):
        with pytest.raises(InvalidArgument):
            await handle.update(name, 1, update_id=update_id)
    with pytest.raises(NotFound, match="no workflow with the id 'nobody'"):
        await engine.client.get_handle("nobody").update("add", 1)
    with pytest.raises(NotFound, match="knows no update 'u9'"):
        await handle.get_update("u9").result(timeout=PATIENCE)
    assert await count(engine, handle, ADMITTED) == 0


# -- validators ------------------------------------------------------------------------------------


@proves(
    kernel_mutant(
        "modules/handlers", 'note(run, "validators", nil, codec.encode(validated))', "local _ = 1"
    )
)
async def test_a_rejection_leaves_no_trace(engine: Engine) -> None:
    """The validator runs on a throw-away replay before anything is recorded."""
    handle = await account(engine)
    await within(handle.update("add", 5))
    before = await engine.fields(handle)
    with pytest.raises(UpdateRejected, match="only 15 are left") as rejected:
        await within(handle.update("take", 16))
    assert rejected.value.kind == "Invalid"
    assert await engine.fields(handle) == before
    assert await within(handle.update("take", 15)) == 0


@proves(
    kernel_mutant(
        "modules/handlers", "local why = handler.validate and", "local why = handler.none and"
    )
)
async def test_the_validator_judges_again_in_the_run(engine: Engine) -> None:
    """What is recorded all the same (the state changed meanwhile) is rejected in history."""
    handle = await account(engine)
    await within(handle.update("take", 8))
    route = await engine.store.route(handle.workflow_id)
    body = orjson.dumps({"name": "take", "input": [5], "update_id": "u1"})
    await engine.store.reach(
        route, lambda r: transitions.update(route=r, update_id="u1", body=body)
    )
    with pytest.raises(UpdateRejected, match="only 2 are left"):
        await within(handle.get_update("u1").result())
    assert (await engine.types(handle))[-1] == REJECTED


async def _at_once(*_: Any) -> None:
    """Do not wait."""


@proves(replaced(updates, "_first_decision", _at_once))
async def test_code_that_has_not_begun_is_waited_for(engine: Engine) -> None:
    """Nobody knows yet whether there is a validator: the update is not recorded before."""
    await engine.deploy({"account": ACCOUNT}, python=PYTHON)
    handle = await engine.start("account", 1)
    update = task(handle.update("take", 2))
    await engine.worker()
    with pytest.raises(UpdateRejected):
        await within(update)
    assert await count(engine, handle, ADMITTED) == 0


async def test_nobody_judges(engine: Engine) -> None:
    """Without a worker it says so, names the queue, and nothing is recorded."""
    await engine.deploy({"account": ACCOUNT}, python=PYTHON)
    handle = await engine.start("account", 1)
    with pytest.raises(NoAnswer, match=r"not recorded.*no worker polls the task queue 'q'"):
        await handle.update("take", 2, timeout=0.05)
    worker = await engine.worker(cache=0)
    assert await within(handle.update("add", 2)) == 3
    await engine.kill(worker)
    await engine.store.read(("DEL", f"lf:{{{engine.store.namespace}}}:worker:{worker.id}"))
    with pytest.raises(
        NoAnswer,
        match=r"the validator of the update 'take' had.*no worker polls the task queue 'q'",
    ):
        await handle.update("take", 2, timeout=0.05)
    with pytest.raises(NoAnswer, match=r"the workflow has got.*no worker polls"):
        await handle.update("add", 2, timeout=0.05, update_id="u1")
    await engine.worker()
    assert await within(handle.update("add", 2, update_id="u1")) == 5


# -- one id, one update ----------------------------------------------------------------------------

KNOWN_HERE = "if rcall('HEXISTS', run_key, 'u:' .. update_id) == 1 then return"
KNOWN_IN_CHAIN = "if got then return { 'known', got } end\n"


@proves(mutant("update", KNOWN_HERE, "if false then return", ("update", KNOWN_IN_CHAIN, "\n")))
async def test_updates_of_one_id_are_one(engine: Engine) -> None:
    """Whoever sends it, however often, also at the same time: done once, one answer for all."""
    handle = await account(engine)
    other = Client(engine.store).get_handle(handle.workflow_id)
    sent = (h.update("add", 5, update_id="u1") for h in (handle, other, handle))
    assert await within(asyncio.gather(*sent)) == [15, 15, 15]
    assert await count(engine, handle, ADMITTED) == 1


async def tell(hand: Hand, route: Route, update_id: str = "u1") -> Answer:
    """Send an update, wherever its run is."""
    body = orjson.dumps({"name": "x", "input": [], "update_id": update_id})
    _, answer = await hand.store.reach(
        route, lambda r: transitions.update(route=r, update_id=update_id, body=body)
    )
    return answer


@proves(mutant("update", KNOWN_HERE, "if false then return"))
async def test_a_run_knows_its_updates(hand: Hand) -> None:
    """Also when its workflow id has forgotten the request (it remembers the last 1,000)."""
    route, _ = await hand.idle()
    assert await tell(hand, route) == [b"ok", 3, route.run_id.encode()]
    await hand.store.read(("HDEL", route.partition.wf("w"), f"q:update:{route.run_id}:u1"))
    assert await tell(hand, route) == [b"known", route.run_id.encode()]
    assert (await hand.types(route)).count(ADMITTED) == 1


@proves(mutant("update", KNOWN_IN_CHAIN, "\n"))
async def test_a_chain_knows_its_updates(hand: Hand) -> None:
    """The run that got it has continued as new: asked again, it is not done again."""
    route, _ = await hand.idle()
    await tell(hand, route)
    await hand.carry_on(await hand.take(route), "n" * 32)
    following = route._replace(run_id="n" * 32)
    assert await tell(hand, following) == [b"known", route.run_id.encode()]
    assert await hand.types(following) == ["WorkflowExecutionStarted"]


@proves(mutant("update", "'update:' .. r.first .. ':' .. update_id", "'update:' .. update_id"))
async def test_another_chain_does_not_know_them(hand: Hand) -> None:
    """The workflow id was started anew: an update of the same id is another one."""
    route, _ = await hand.idle()
    await tell(hand, route)
    await hand.end(route)
    other = await hand.start()
    assert (await tell(hand, other))[0] == b"ok"


async def test_a_client_asks_again(engine: Engine) -> None:
    """The one that sent it is gone: another one gets the answer by the id, while it lasts."""
    handle = await account(engine)
    first = task(handle.update("slowly", 5, update_id="u1"))
    await engine.until(handle, ACCEPTED)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    gates.open_["slowly"].set()
    other = Client(engine.store).get_handle(handle.workflow_id)
    assert await within(other.get_update("u1").result()) == 15
    await within(handle.update("close"))
    assert await within(handle.result()) == 15
    assert await within(other.get_update("u1").result()) == 15
    assert await within(other.update("slowly", 5, update_id="u1")) == 15


# -- closing ---------------------------------------------------------------------------------------


@proves(mutant("includes/run", "WorkflowExecutionUpdateAdmitted = true,", ""))
async def test_a_run_does_not_close_over_an_update(hand: Hand) -> None:
    """A closing commit is refused while an update after `seen` exists (5.3)."""
    route = await hand.start()
    task_ = await hand.take(route)
    await tell(hand, route)
    assert (await hand.commit(task_, *close()))[0] == b"messages"
    assert (await hand.commit(task_, *close(), seen=task_.seen + 1))[0] == b"ok"


@proves(mutant("update", "if r.shut then return { 'busy' } end\n", "\n"))
async def test_a_shut_mailbox_takes_no_update(hand: Hand) -> None:
    """After three refusals the next close is not refused: updates wait with their clients."""
    route = await hand.start()
    task_ = await hand.take(route)
    for n in range(3):
        await tell(hand, route, f"u{n}")
        assert (await hand.commit(task_, *close(), seen=task_.seen + n))[0] == b"messages"
    assert (await tell(hand, route, "late"))[0] == b"busy"
    assert (await hand.commit(task_, *close(), seen=task_.seen + 3))[0] == b"ok"
    assert await tell(hand, route, "late") == [b"closed", b"completed"]


@proves(replaced(Partition, "done", lambda _self, run_id: f"nowhere:{run_id}"))
async def test_whoever_waits_hears_of_the_end(engine: Engine, looks: Looks) -> None:
    """Updates that a run leaves unanswered are answered by its end: accepted or not."""
    handle = await by_hand(engine)
    update = await within(handle.start_update("order", "ack", update_id="ack"))
    looks.seen.clear()
    waiting = [task(handle.update("order", "later", update_id="later")), task(update.result())]
    await within(looks.at(2))
    await handle.signal("go", "end")
    done, left = await asyncio.wait(waiting, timeout=patience())
    for one in left:
        one.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    said = sorted(str(one.exception()) for one in done)
    assert [line.partition("did not answer")[2] for line in said] == [
        " the update 'ack', which it had accepted",
        " the update 'later'",
    ]
    assert all(isinstance(one.exception(), Refused) for one in done)
    (end,) = (e for e in await engine.history(handle) if e.type == "WorkflowExecutionCompleted")
    assert len(end.body["unread"]) == 1


async def test_a_terminated_run_answers_too(engine: Engine) -> None:
    """From outside, without its code; and a closed run takes no more."""
    handle = await by_hand(engine)
    waiting = task(handle.update("order", "later", update_id="u1"))
    await engine.until(handle, ADMITTED)
    await handle.terminate()
    with pytest.raises(Refused, match="is terminated: it did not answer the update 'u1'"):
        await within(waiting)
    with pytest.raises(Refused, match="not running, it is terminated"):
        await handle.update("order", "later")


# -- continue-as-new -------------------------------------------------------------------------------


@proves(kernel_mutant("mailbox", "if run.unread[entry] and not entry.update then", "if true then"))
async def test_an_update_goes_with_the_next_run(engine: Engine) -> None:
    """The code took it and did not answer: the next run gets it, whoever waits follows."""
    handle = await by_hand(engine)
    waiting = task(handle.update("order", "later", update_id="u1"))
    try:
        await engine.until(handle, ADMITTED)
        await handle.signal("go", "again")
        await engine.until(handle, "WorkflowExecutionContinuedAsNew")
        now = Client(engine.store).get_handle(handle.workflow_id)
        carried = [e.body["update_id"] for e in await engine.history(now) if e.type == ADMITTED]
        assert carried == ["u1"]
        route = await engine.store.route(handle.workflow_id)
        named = engine.client.get_handle(handle.workflow_id, route.run_id)
        await named.signal("go", "end")
        with pytest.raises(Refused, match="is completed: it did not answer the update 'u1'"):
            await within(asyncio.shield(waiting))
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


LATE = """
local workflow = require("workflow")
local function main(n)
    if n == 0 then
        process.listen("go"):receive()
        return workflow.continue_as_new(1)
    end
    workflow.on_update("order", function(what) return what end)
    process.listen("end"):receive()
    return n
end
"""


@pytest.mark.parametrize("signals", [0, 600])
async def test_the_next_run_answers(engine: Engine, signals: int) -> None:
    """Nobody listened in the first run; also where the messages are carried over in slices."""
    await engine.deploy({"late": LATE})
    await engine.worker()
    await engine.scheduler()
    handle = await engine.start("late", 0)
    waiting = task(handle.update("order", "tea", update_id="u1"))
    await engine.until(handle, ADMITTED)
    for _ in range(signals // 100):
        await asyncio.gather(*(handle.signal("noise", 1) for _ in range(100)))
    await handle.signal("go")
    assert await within(waiting) == "tea"
    assert await within(handle.update("order", "milk", update_id="u1")) == "tea"
    await handle.signal("end")
    assert await within(handle.result()) == 1
    # the same at any later time, by the run that got it and by the workflow id
    for run_id in (handle.run_id, None):
        asked = engine.client.get_handle(handle.workflow_id, run_id).get_update("u1")
        assert await within(asked.result()) == "tea"


async def test_an_accepted_update_ends_with_its_run(engine: Engine) -> None:
    """Its handler may have done half of its work: it is not done again, whoever waits is told."""
    handle = await by_hand(engine)
    update = await within(handle.start_update("order", "ack", update_id="u1"))
    waiting = task(update.result())
    await handle.signal("go", "again")
    with pytest.raises(Refused, match=r"is continued_as_new.*which it had accepted"):
        await within(waiting)
    now = Client(engine.store).get_handle(handle.workflow_id)
    assert await count(engine, now, ADMITTED) == 0
    await now.signal("go", "end")
    assert await within(now.result()) == "end"


# -- crashes and replay ----------------------------------------------------------------------------


async def test_a_worker_dies_between_accepted_and_completed(engine: Engine) -> None:
    """Another one replays, and the handler goes on where it was: accepted once, answered once."""
    await engine.deploy({"account": ACCOUNT}, python=PYTHON)
    first = await engine.worker("workflow", cache=0)
    await engine.worker("activity")
    handle = await engine.start("account", 10)
    waiting = task(handle.update("slowly", 5))
    await within(gates.began["slowly"].wait())
    await engine.kill(first)
    await engine.worker("workflow")
    gates.open_["slowly"].set()
    async with asyncio.timeout(PATIENCE):
        assert await waiting == 15
    assert await count(engine, handle, ACCEPTED) == 1
    assert await count(engine, handle, COMPLETED) == 1


def replay(events: list[Event], source: str, engine: Engine) -> None:
    """Replay a history with other code."""
    (engine.folder / "account.lua").write_text(f"{source}\nreturn {{ main = main }}\n")
    bundle = bundle_entry(load_app(engine.folder), "app:account")
    started = events[0].body
    where = (engine.store.namespace, started["workflow_id"], started["run_id"])
    run = LuaEngine(source_of(bundle)).open(run_info(*where, started, bundle, pid_of(started)))
    Execution(run, lambda _: None).replay(events)


async def test_a_replay_compares_answers(engine: Engine) -> None:
    """Code that would reject what was accepted, or answer what was left open, is found."""
    handle = await account(engine)
    await within(handle.update("take", 5, update_id="u1"))
    events = await engine.history(handle)
    replay(events, ACCOUNT, engine)
    with pytest.raises(NonDeterminism, match=r"accept_update #1 \(u1\).*asked for reject_update"):
        replay(events, ACCOUNT.replace("if n > balance", "if true"), engine)
    with pytest.raises(NonDeterminism, match="accept_update"):
        replay(events, ACCOUNT.replace('on_update("take"', 'on_update("other"'), engine)


# -- from Lua --------------------------------------------------------------------------------------

SENDER = """
local function main(id)
    local pid = "{app:client@app:worker|" .. id .. "}"
    local sum, err = process.update(pid, "add", 7)
    if err then return nil, err end
    local _, small = process.update(pid, "take", 100)
    local _, none = process.update("{h|nobody}", "add", 1)
    local _, nothing = process.update(pid, "add", 0)
    return { sum, small:kind(), small:message(), none:kind(), nothing:kind() }
end
"""
ASKS = """
local funcs = require("funcs")
local function main(id) return funcs.call("app:sender", id) end
"""


async def test_functions_send_updates(engine: Engine) -> None:
    """process.update waits for the answer; rejected, failed and not found are errors of a kind."""
    workflows = {"account": ACCOUNT, "asks": ASKS}
    await engine.deploy(workflows, activities={"sender": SENDER}, python=PYTHON)
    await engine.worker()
    handle = await engine.start("account", 1, id="acc")
    said = await engine.execute("asks", "acc")
    assert said == [8, "Invalid", "only 8 are left", "NotFound", "Odd"]
    admitted = next(e for e in await engine.history(handle) if e.type == ADMITTED)
    assert admitted.body["from"].startswith("{")


async def test_an_update_is_confirmed_where_it_must_be(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told of an update rests on what others have (5.5)."""
    handle = await account(engine)
    confirmed: list[int] = []

    async def noted(self: Store, p: Partition, *commands: tuple[Any, ...]) -> list[Any]:
        confirmed.append(p.number)
        return await self.read(*commands)

    monkeypatch.setattr(Store, "confirms", property(lambda _: True))
    monkeypatch.setattr(Store, "confirmed", noted)
    update = await within(handle.start_update("add", 5))
    confirmed.clear()
    assert await within(update.result()) == 15
    assert confirmed
    assert asking.ASK_SECONDS == 10.0
