"""Queries (design 5.12): asked of a run that is rebuilt and thrown away; nothing is written."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar
from unittest.mock import patch

import orjson
import pytest
from prometheus_client import CollectorRegistry
from tests.protocol import gates
from tests.protocol.hand import Hand
from tests.support.engine import Engine, within
from tests.support.mutants import Violation, mutant, patience, proves, replaced

from luaflow.client import SyncClient, asking
from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.domain.events import Event
from luaflow.errors import InvalidArgument, NoAnswer, NotFound, QueryFailed, Refused
from luaflow.lua.vm import Run
from luaflow.replay.decider import Execution
from luaflow.store import asking as store_asking
from luaflow.store import keys
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow_worker import asks, stretches
from luaflow_worker.asks import Asks
from luaflow_worker.engines import Engines
from luaflow_worker.metrics import WorkerMetrics
from luaflow_worker.worker import Worker, WorkerConfig

PYTHON = {"gate": "tests.protocol.gates:gate"}
COUNTER = """
local workflow = require("workflow")
local funcs = require("funcs")
local function main(again)
    local n = 0
    workflow.on_query("count", function(plus) return n + (plus or 0) end)
    workflow.on_query("greedy", function() n = n + 1 return n end)
    workflow.on_query("bad", function()
        return nil, errors.new({ message = "not now", kind = "Busy", details = { n = n } })
    end)
    workflow.on_query("endless", function() while true do end end)
    local add = process.listen("add")
    while true do
        local what = add:receive()
        if what == "stop" then return n end
        if what == "again" then return workflow.continue_as_new(true) end
        if what == "wait" then funcs.call("app:gate", "x") else n = n + what end
    end
end
"""


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.reset()


async def counter(engine: Engine, **how: Any) -> Handle:
    """A workflow that counts, not served by anybody yet."""
    await engine.deploy({"counter": COUNTER}, python=PYTHON, **how)
    return await engine.start("counter")


async def waiting(engine: Engine) -> int:
    """How many questions wait for a worker."""
    (count,) = await engine.store.read(("LLEN", keys.asks(engine.store.namespace, "q")))
    return int(count)


# -- what an answer includes -----------------------------------------------------------------------


async def test_a_query_is_answered(engine: Engine) -> None:
    """With arguments; an error of the code is one of the query, with its kind."""
    handle = await counter(engine)
    await engine.worker()
    assert await within(handle.query("count")) == 0
    assert await within(handle.query("count", 5)) == 5
    with pytest.raises(QueryFailed, match="not now") as failed:
        await within(handle.query("bad"))
    assert (failed.value.kind, failed.value.details) == ("Busy", {"n": 0})
    with pytest.raises(NotFound, match="no query 'nix'; it has bad, count, endless, greedy"):
        await within(handle.query("nix"))
    assert await within(handle.query("__stack_trace")) == "counter.lua:14: waits in receive"


@proves(replaced(asks, "NEWS", frozenset[str]()))
async def test_a_worker_says_that_it_is_behind(engine: Engine) -> None:
    """The length that the question names is not decided yet: it is no answer."""
    handle = await counter(engine)
    worker = await engine.worker()
    await within(handle.query("count"))
    await engine.retire(worker)
    await handle.signal("add", 5)
    engines = Engines(engine.store, cpu_seconds=1.0)
    service = Asks(engine.store, ["q"], engines, WorkerMetrics(CollectorRegistry()))
    question = {"kind": "query", "name": "count", "input": [], "id": "x"}
    question |= {"workflow_id": handle.workflow_id, "run_id": str(handle.run_id)}
    try:
        assert (await service._answer({**question, "length": 2})).keys() == {"result"}
        for length in (3, 4):
            assert await service._answer({**question, "length": length}) == {"behind": True}
    finally:
        await service.close()


async def test_a_query_sees_what_was_sent_before(engine: Engine) -> None:
    """A signal is in the history: the answer includes it, although nobody had decided on it."""
    handle = await counter(engine)
    await handle.signal("add", 5)
    asked = asyncio.create_task(handle.query("count"))
    await engine.worker()
    assert await within(asked) == 5
    for n in range(6, 20):
        await handle.signal("add", 1)
        assert await within(handle.query("count")) == n


async def _at_once(store: Store, route: Any) -> int:
    """Do not wait for a decision."""
    (length,) = await store.read(("HGET", route.partition.run(route.run_id), "len"))
    return int(length)


NOBODY_WAITS = Violation(
    "nobody waits for the decision",
    lambda: patch.object(asking, "settled", _at_once),
    lambda: patch.object(asks, "NEWS", frozenset[str]()),
)


@proves(NOBODY_WAITS)
async def test_no_query_during_a_decision(engine: Engine) -> None:
    """While a decision is being made (a local activity runs in it) nothing of it is told."""
    handle = await counter(engine, local=("gate",))
    await engine.worker()
    assert await within(handle.query("count")) == 0
    await handle.signal("add", 7)
    await within(handle.query("count"))
    await handle.signal("add", "wait")
    await within(gates.began["x"].wait())
    asked = asyncio.create_task(handle.query("count"))
    try:
        with pytest.raises(NoAnswer):
            await handle.query("count", timeout=0.2)
        assert not asked.done()
    finally:
        gates.open_["x"].set()
        assert await within(asked) == 7


class _Kept(Execution):
    """A replayed run that is asked again and again."""

    kept: ClassVar[dict[str, Execution]] = {}

    def replay(self, events: Any) -> None:
        """Replay once."""
        if self.upto == 0:
            super().replay(events)


async def _keep_run(service: Asks, route: Any, events: Sequence[Event]) -> Execution:
    if route.run_id not in _Kept.kept:
        fresh = await _begin(service, route, events)
        _Kept.kept[route.run_id] = _Kept(fresh.run, fresh._make_value)
    return _Kept.kept[route.run_id]


_begin = Asks._begin
NEVER_DISCARDED = Violation(
    "the run that was asked is asked again",
    lambda: patch.object(Asks, "_begin", _keep_run),
    lambda: patch.object(Run, "close", lambda _: None),
)


@proves(NEVER_DISCARDED)
async def test_a_query_writes_nothing(engine: Engine) -> None:
    """Not in the history, not in the run's state; its cached coroutine goes on as it was."""
    handle = await counter(engine)
    worker = await engine.worker()
    await handle.signal("add", 1)
    await within(handle.query("count"))
    before, events = await engine.fields(handle), await engine.history(handle)
    cached = worker.workflows.cache.get(str(handle.run_id))
    assert [await within(handle.query("greedy")) for _ in range(3)] == [2, 2, 2]
    assert await within(handle.query("count")) == 1
    assert await engine.fields(handle) == before
    assert len(await engine.history(handle)) == len(events)
    assert worker.workflows.cache.get(str(handle.run_id)) is cached
    await handle.signal("add", "stop")
    assert await within(handle.result()) == 1


# -- which run -------------------------------------------------------------------------------------


async def test_closed_runs_answer(engine: Engine) -> None:
    """Completed or terminated: its history is there, and a worker."""
    handle = await counter(engine)
    await engine.worker()
    await handle.signal("add", 3)
    await handle.signal("add", "stop")
    assert await within(handle.result()) == 3
    assert await within(handle.query("count", 1)) == 4
    other = await engine.start("counter")
    await within(other.query("count"))
    await other.terminate()
    assert await within(other.query("count", 1)) == 1


async def test_a_query_follows_the_chain(engine: Engine) -> None:
    """A handle of a run that continued as new asks the one that goes on."""
    handle = await counter(engine)
    await engine.worker()
    await handle.signal("add", 3)
    await handle.signal("add", "again")
    assert await within(handle.query("count")) == 0
    await handle.signal("add", 2)
    for one in (handle, engine.client.get_handle(handle.workflow_id)):
        assert await within(one.query("count")) == 2


# -- nobody answers --------------------------------------------------------------------------------


async def _keep(_store: Store, _queue: str, _text: bytes) -> bool:
    """Leave a question where it is."""
    return False


@proves(replaced(asking, "forget_ask", _keep))
async def test_no_worker_is_said(engine: Engine) -> None:
    """The error names the queue; the question is taken back, and would go by itself."""
    handle = await counter(engine)
    with pytest.raises(NoAnswer, match=r"no answer within 0.05 s: no worker polls.*'q'"):
        await handle.query("count", timeout=0.05)
    worker = await engine.worker()
    await within(handle.query("count"))
    await engine.kill(worker)
    with pytest.raises(NoAnswer, match="the workers of the task queue 'q' are busy, or just gone"):
        await handle.query("count", timeout=0.05)
    assert await waiting(engine) == 0
    with pytest.raises(TimeoutError):
        await handle.query("count", timeout=0.01)


async def test_a_start_delay_is_said(engine: Engine) -> None:
    """Nobody decides before it is over, so nobody can tell."""
    await counter(engine)
    late = await engine.start("counter", options={"workflow.start_delay": "1h"})
    with pytest.raises(NoAnswer, match="waits for its start delay"):
        await late.query("count", timeout=0.05)


@proves(replaced(asking, "AGAIN_SECONDS", (60.0,)))
async def test_a_lost_question_is_asked_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that took it died: another one answers, whoever asked notices nothing."""
    if asking.AGAIN_SECONDS[0] < 60:
        monkeypatch.setattr(asking, "AGAIN_SECONDS", (0.1,))
    handle = await counter(engine)
    worker = await engine.worker()
    await within(handle.query("count"))
    await engine.retire(worker)
    asked = asyncio.create_task(handle.query("count", 1, timeout=2 * patience()))
    names = keys.asks(engine.store.namespace, "q")
    thief = Reader(engine.store.url)
    try:
        assert await within(store_asking.take_ask(thief, [names]))
        await engine.worker()
        assert await within(asyncio.shield(asked)) == 1
    finally:
        await thief.close()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


async def test_a_lost_answer_is_asked_for_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push connection broke at the wrong moment: a query costs nothing, it is asked again."""
    monkeypatch.setattr(asking, "AGAIN_SECONDS", (0.1,))
    handle = await counter(engine)
    await engine.worker()
    answers = itertools.count()
    tell = store_asking.tell_answer

    async def lossy(store: Store, ask_id: str, text: bytes) -> None:
        if next(answers) > 1:
            await tell(store, ask_id, text)

    monkeypatch.setattr(asks, "tell_answer", lossy)
    assert await within(handle.query("count", 1)) == 1


@proves(
    mutant("ask", "if redis.call('LLEN', asks_key) >= limit then return { 'full' } end\n", "\n"),
    mutant("ask", "redis.call('PEXPIRE', asks_key, ms)", "local _"),
)
async def test_questions_have_a_bound(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue nobody serves keeps a bounded number of them, for a minute."""
    monkeypatch.setattr(store_asking, "MOST_ASKS", 3)
    how = {"namespace": hand.store.namespace, "queue": "q", "text": b"x"}
    answers = [(await hand.store.one(store_asking.ask(**how)))[0] for _ in range(4)]  # type: ignore[arg-type]
    assert answers == [b"ok", b"ok", b"ok", b"full"]
    (left,) = await hand.store.read(("PTTL", keys.asks(hand.store.namespace, "q")))
    assert 0 < left <= store_asking.ASK_MS


async def test_too_many_questions_are_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to do."""
    handle = await counter(engine)
    worker = await engine.worker()
    await within(handle.query("count"))
    await engine.retire(worker)
    monkeypatch.setattr(store_asking, "MOST_ASKS", 0)
    with pytest.raises(Refused, match=r"too many questions wait.*workflow.set_view"):
        await handle.query("count", 1)


# -- a bad query hurts only itself -----------------------------------------------------------------


async def test_an_endless_query_hurts_only_itself(engine: Engine) -> None:
    """It is stopped, whoever asked is told; the run and its cached coroutine are as they were."""
    handle = await counter(engine)
    worker = await engine.worker()
    await within(handle.query("count"))
    cached = worker.workflows.cache.get(str(handle.run_id))
    with pytest.raises(Refused, match=r"cannot be asked:.*ran too long without waiting"):
        await within(handle.query("endless"))
    assert worker.workflows.cache.get(str(handle.run_id)) is cached
    await handle.signal("add", 4)
    assert await within(handle.query("count")) == 4


async def test_a_question_that_cannot_be_read_is_answered(engine: Engine) -> None:
    """Whatever goes wrong with it: whoever asked hears of it, and the next one is answered."""
    handle = await counter(engine)
    await engine.worker()
    assert await within(handle.query("count", 1)) == 1
    with patch.object(asks, "OPS", {}), pytest.raises(Refused, match="cannot be asked: KeyError"):
        await within(handle.query("count", 2))
    assert await within(handle.query("count", 3)) == 3


async def test_an_answer_has_a_bound(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what the namespace allows a payload to have; the question, too."""
    handle = await counter(engine)
    worker = await engine.worker()
    assert await within(handle.query("count", 1)) == 1
    monkeypatch.setattr(
        worker.store, "settings", replace(worker.store.settings, payload_max_bytes=20)
    )
    with pytest.raises(Refused, match="the limit is 20: ask for less"):
        await within(handle.query("__stack_trace"))
    monkeypatch.setattr(engine.store, "settings", worker.store.settings)
    with pytest.raises(Refused, match="the query 'count' has"):
        await handle.query("count", "x" * 30)
    with pytest.raises(InvalidArgument):
        await handle.query("\ud800")


async def test_code_that_is_gone_cannot_be_asked(engine: Engine) -> None:
    """The reason is that of the replay."""
    handle = await counter(engine)
    await engine.worker()
    await within(handle.query("count"))
    bundle = (await handle.describe())["bundle"]
    worker = engine.workers[0]
    service = next(s for s in worker._services if isinstance(s, Asks))
    service._engines._engines.clear()
    key = keys.bundle(engine.store.namespace, bundle)
    (text,) = await engine.store.read(("GET", key))
    await engine.store.read(("DEL", key))
    with pytest.raises(Refused, match=r"cannot be asked: the code bundle"):
        await within(handle.query("count", 1))
    await engine.store.read(("SET", key, text))


# -- who asks --------------------------------------------------------------------------------------

ASKER = """
local function main(id)
    local pid = "{app:client@app:worker|" .. id .. "}"
    local n = process.query(pid, "count", 2)
    local _, none = process.query(pid, "nix")
    local _, bad = process.query(pid, "bad")
    return { n, none:kind(), bad:kind() }
end
"""
ASKS = """
local funcs = require("funcs")
local function main(id) return funcs.call("app:asker", id) end
"""


async def test_functions_ask(engine: Engine) -> None:
    """process.query waits for the answer."""
    workflows = {"counter": COUNTER, "asks": ASKS}
    await engine.deploy(workflows, activities={"asker": ASKER}, python=PYTHON)
    await engine.worker()
    await engine.start("counter", id="c")
    assert await engine.execute("asks", "c") == [2, "NotFound", "Busy"]


async def test_code_without_a_loop_asks(engine: Engine) -> None:
    """The blocking client has the same verbs."""
    handle = await counter(engine)
    await engine.worker()

    def ask() -> list[Any]:
        with SyncClient.connect(engine.store.url, engine.store.namespace) as client:
            one = client.get_handle(handle.workflow_id)
            return [one.query("count", 3), one.query("count", 4, timeout=5)]

    assert await within(asyncio.to_thread(ask)) == [3, 4]


async def test_a_long_history_is_replayed_in_parts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each begins with a decision; all of them together are the history."""
    monkeypatch.setattr(stretches, "PART", 3)
    handle = await counter(engine)
    await engine.worker()
    for n in range(10):
        await handle.signal("add", 1)
        assert await within(handle.query("count")) == n + 1
    events = await engine.history(handle)
    cut = list(stretches.parts(events))
    assert [e.id for part in cut for e in part] == [e.id for e in events]
    assert len(cut) > 3
    assert {part[0].type for part in cut[1:]} == {"WorkflowTaskCompleted"}


async def test_a_question_is_answered_once(engine: Engine) -> None:
    """Asked again while its history is replayed, it is not replayed a second time."""
    handle = await counter(engine)
    worker = await engine.worker()
    await within(handle.query("count"))
    service = next(s for s in worker._services if isinstance(s, Asks))
    question = {"kind": "query", "name": "count", "input": [], "id": "x", "length": 1}
    question |= {"workflow_id": handle.workflow_id, "run_id": str(handle.run_id)}
    told: list[str] = []

    async def tell(_store: Store, ask_id: str, _text: bytes) -> None:
        told.append(ask_id)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asks, "tell_answer", tell)
        await asyncio.gather(*(service._serve(orjson.dumps(question)) for _ in range(3)))
    assert told == ["x"]


async def test_questions_are_measured(engine: Engine) -> None:
    """How many, of which kind, how long they took."""
    handle = await counter(engine)
    store = await Store.open(engine.store.url, engine.store.namespace)
    registry = CollectorRegistry()
    worker = Worker(store, WorkerConfig(("q",), app=engine.folder), registry)
    engine.workers.append(worker)
    await worker.start()
    for n in range(3):
        assert await within(handle.query("count", n)) == n
    counted = registry.get_sample_value("luaflow_question_seconds_count", {"kind": "query"})
    assert counted == 3


async def test_many_ask_at_once(engine: Engine) -> None:
    """More than there are slots, by several clients: each gets its own answer."""
    handle = await counter(engine)
    await engine.worker()
    clients = [Client(engine.store).get_handle(handle.workflow_id) for _ in range(3)]
    asked = (clients[n % 3].query("count", n) for n in range(60))
    assert await within(asyncio.gather(*asked)) == list(range(60))
