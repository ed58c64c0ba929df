"""Effects are released when what they rest on is confirmed, and not before (design 5.5).

Each test cuts the replica off just where one script ends: its writes are there, and nobody says
that they are safe. The planted violation: that script is taken for one that needs no confirmation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.protocol.hand import Hand, request
from tests.protocol.test_outbox import to
from tests.support.engine import Engine
from tests.support.mutants import patience, proves, replaced

from luaflow.client.client import Client
from luaflow.store import relay
from luaflow.store.link import Call, ConnectionLost, Link
from luaflow.store.store import Store

CALLS = """
local funcs = require("funcs")
local function main() return assert(funcs.call("app:effect")) end
"""
UPDATES = """
local time = require("time")
local workflow = require("workflow")
local function main()
  workflow.on_query("ask", function() return "answer" end)
  time.sleep("1h")
end
"""


class Effects:
    """How often the effect happened, for the test that looks."""

    happened = 0


async def effect() -> int:
    """What is seen outside."""
    Effects.happened += 1
    return Effects.happened


class Cut:
    """The replica is cut off behind some scripts: what they wrote is there, and not confirmed."""

    def __init__(self) -> None:
        self.behind: frozenset[str] = frozenset()
        self._met = 0
        self._again = asyncio.Event()

    def meets(self, command: object) -> bool:
        """Whether this command is one whose confirmation does not come."""
        return isinstance(command, Call) and command.confirmed and self._named(command)

    def _named(self, command: Call) -> bool:
        return command.script.name in self.behind

    def count(self) -> None:
        """Another try went without."""
        self._met += 1
        self._again.set()

    async def tried(self, times: int = 3) -> None:
        """Return when so many tries went without; fail when they do not come."""
        async with asyncio.timeout(patience()):
            while self._met < times:
                self._again.clear()
                await self._again.wait()


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cut]:
    """A cut that no script meets yet."""
    one, send = Cut(), Link._send

    async def sent(self: Link, commands: Any, **how: Any) -> list[Any]:
        answers = await send(self, commands, **how)
        if any(one.meets(command) for command in commands):
            one.count()
            raise ConnectionLost("written, but not confirmed")
        return answers

    monkeypatch.setattr(Link, "_send", sent)
    yield one
    one.behind = frozenset()


def unconfirmed(*names: str) -> Any:
    """A violation: these scripts are answered without waiting for the durability level."""
    rest = Call.confirmed.fget  # type: ignore[attr-defined]
    return replaced(Call, "confirmed", property(lambda c: c.script.name not in names and rest(c)))


async def held_back(engine: Engine, cut: Cut, *scripts: str, start: Any) -> None:
    """Nothing happens outside while one of these scripts is not confirmed; then it does, once."""
    Effects.happened = 0
    cut.behind = frozenset(scripts)
    handle = asyncio.create_task(start())
    try:
        await cut.tried()
        assert Effects.happened == 0
    finally:
        cut.behind = frozenset()
        found = await handle
    assert await found.result(timeout=patience()) == 1
    assert Effects.happened == 1


async def deploy(engine: Engine, *, local: bool = False) -> None:
    """The workflow that causes the effect."""
    python = {"effect": "tests.protocol.test_effects:effect"}
    await engine.deploy({"calls": CALLS}, python=python, local=("effect",) if local else ())


@proves(unconfirmed("commit"))
async def test_an_eager_activity_waits_for_its_decision(engine: Engine, cut: Cut) -> None:
    """The worker that decided runs it at once, and not before the decision is safe."""
    await deploy(engine)
    await engine.worker()
    await held_back(engine, cut, "commit", start=lambda: engine.start("calls"))


@proves(unconfirmed("take_activity"))
async def test_a_taken_activity_waits_for_its_attempt(engine: Engine, cut: Cut) -> None:
    """Its attempt is recorded, and safe, before it runs."""
    await deploy(engine)
    await engine.worker("workflow")
    await engine.worker("activity")
    await held_back(engine, cut, "take_activity", start=lambda: engine.start("calls"))


@proves(unconfirmed("take_workflow"))
async def test_a_local_activity_rests_on_what_is_safe(engine: Engine, cut: Cut) -> None:
    """It runs before anything is written about it: what it was decided on must not vanish."""
    await deploy(engine, local=True)
    await engine.worker()
    await held_back(engine, cut, "take_workflow", start=lambda: engine.start("calls"))


@proves(unconfirmed("take_jobs"))
async def test_a_plain_job_waits_for_its_attempt(engine: Engine, cut: Cut) -> None:
    """The same for a job that no workflow asked for."""
    await deploy(engine)
    await engine.worker()
    await held_back(
        engine, cut, "take_jobs", start=lambda: engine.client.enqueue("app:effect", queue="q")
    )


@proves(unconfirmed("start"))
async def test_a_start_is_told_when_it_is_safe(engine: Engine, cut: Cut) -> None:
    """Who started it goes on with its id: the run must not vanish."""
    await deploy(engine)
    cut.behind = frozenset({"start"})
    starts = asyncio.create_task(engine.start("calls", id="one"))
    await cut.tried()
    assert not starts.done()
    cut.behind = frozenset()
    await engine.worker()
    await (await starts).result(timeout=patience())


@proves(unconfirmed("confirm"))
async def test_a_query_is_answered_when_it_is_safe(
    engine: Engine, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer rests on a history that others must have, too."""
    await engine.deploy({"asked": UPDATES})
    await engine.worker()
    run = await engine.start("asked")
    await engine.until(run, "TimerStarted")
    monkeypatch.setattr(Store, "confirms", property(lambda _: True))
    cut.behind = frozenset({"confirm"})
    asks = asyncio.create_task(run.query("ask"))
    await cut.tried()
    assert not asks.done()
    cut.behind = frozenset()
    assert await asks == "answer"
    await run.terminate()


@proves(unconfirmed("confirm"))
async def test_a_description_is_given_when_it_is_safe(
    hand: Hand, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads that a run has ended may act on it."""
    route = await hand.start()
    monkeypatch.setattr(Store, "confirms", property(lambda _: True))
    cut.behind = frozenset({"confirm"})
    handle = Client(hand.store).get_handle(route.workflow_id)
    asks = asyncio.create_task(handle.describe())
    await cut.tried()
    assert not asks.done()
    cut.behind = frozenset()
    assert (await asks)["status"] == "running"


async def letter(hand: Hand) -> tuple[int, int, str]:
    """A run sends a message to one of another partition: sender, receiver, the outbox."""
    target = await hand.start(hand.id_in(5))
    route = await hand.start(hand.id_in(0))
    me = {"p": 0, "workflow_id": route.workflow_id, "run_id": route.run_id}
    ops = request(1, 5, {**to(target.workflow_id), "from": me})
    box = route.partition.outbox(5)
    assert (await hand.commit(await hand.take(route), *ops, others=[box]))[0] == b"ok"
    return 0, 5, box


@proves(unconfirmed("forget_messages"))
async def test_a_message_leaves_when_its_sender_is_safe(hand: Hand, cut: Cut) -> None:
    """What the receiver gets must not be of a decision that vanishes: it would be made anew."""
    sender, receiver, _ = await letter(hand)
    mark = hand.store.partitions[receiver].mark(sender)
    cut.behind = frozenset({"forget_messages"})
    carries = asyncio.create_task(relay.drain_outbox(hand.store, sender, receiver))
    await cut.tried()
    assert await hand.store.read(("EXISTS", mark)) == [0]
    cut.behind = frozenset()
    assert (await carries).left == 0


@proves(unconfirmed("deliver_message"))
async def test_a_message_is_kept_until_its_receiver_is_safe(hand: Hand, cut: Cut) -> None:
    """It is deleted when the receiver cannot lose it any more."""
    sender, receiver, box = await letter(hand)
    cut.behind = frozenset({"deliver_message"})
    carries = asyncio.create_task(relay.drain_outbox(hand.store, sender, receiver))
    await cut.tried()
    assert await hand.store.read(("XLEN", box)) == [1]
    cut.behind = frozenset()
    assert (await carries).left == 0
