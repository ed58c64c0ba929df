"""SIGTERM: a worker reads nothing new, ends what it can, hands back what it cannot, and goes."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from tests.crash.conftest import World
from tests.support.effects import read_effects
from tests.support.histories import effect_problems, leftovers, problems_of, read_histories
from tests.support.processes import Fleet, Gate

from luaflow import Client


async def test_running_activity_may_end(
    fleet: Fleet, gate: Gate, effects: Path, world: World
) -> None:
    """A worker that is asked to stop finishes its activity, takes no new task, and exits with 0."""
    client = await world(lease_ms=20_000)
    old, _ = await asyncio.gather(fleet.worker(), fleet.scheduler())
    first = await client.start("app:held", {"activity": "hold"}, id="first")
    await old.line("effect hold first 1")
    old.send(signal.SIGTERM)
    await old.line("takes nothing new; activities running: 1")
    second = await client.start("app:order", {"items": 0}, id="second")
    gate.let_first()
    assert await old.ended(10) == 0
    assert (await first.result(10))["process"] == old.pid
    assert [e.workflow_id for e in read_effects(effects)] == ["first"]
    new = await fleet.worker()
    assert await second.result(30) == {"numbers": []}
    assert {e.process for e in read_effects(effects) if e.workflow_id == "second"} == {new.pid}
    assert set(await fleet.stop()) == {0}
    assert await complaints(client, effects) == []


async def test_next_activity_is_for_others(fleet: Fleet, gate: Gate, world: World) -> None:
    """What a run asks for while its worker drains is not begun there."""
    client = await world(lease_ms=20_000)
    old, _ = await asyncio.gather(fleet.worker(), fleet.scheduler())
    handle = await client.start("app:held", {"activity": "hold", "then": "reserve"}, id="run")
    await old.line("effect hold run 1")
    old.send(signal.SIGTERM)
    await old.line("takes nothing new")
    gate.let_first()
    assert await old.ended(10) == 0
    assert not [line for line in old.lines if line.startswith("effect reserve")]
    new = await fleet.worker()
    assert (await handle.result(30))["process"] == new.pid


async def test_long_activity_is_handed_back(
    fleet: Fleet, gate: Gate, effects: Path, world: World
) -> None:
    """An activity longer than the drain is a failed attempt at once; nobody waits for it.

    The lease is longer than the test, so nothing but the hand-over can make another attempt.
    """
    client = await world(lease_ms=100_000)
    old, _ = await asyncio.gather(fleet.worker("--drain-timeout", "0.5"), fleet.scheduler())
    handle = await client.start("app:held", {"activity": "hold"}, id="long")
    await old.line("effect hold long 1")
    new = await fleet.worker()
    begun = time.monotonic()
    assert await old.stop(within=10) == 0
    assert time.monotonic() - begun < 5
    await new.line("effect hold long 2")
    (pending,) = (await handle.describe())["pending_activities"]
    assert pending["last_failure"]["details"] == {"timeout_type": "worker_lost"}
    assert pending["last_failure"]["retryable"] is True
    gate.let_later()
    assert (await handle.result(30))["attempt"] == 2
    assert set(await fleet.stop()) == {0}
    assert await complaints(client, effects) == []


async def complaints(client: Client, effects: Path) -> list[str]:
    """Everything that is wrong with what is left."""
    histories = await read_histories(client)
    problems = [p for history in histories for p in problems_of(history)]
    problems += effect_problems(histories, read_effects(effects))
    return problems + [f"left: {key}" for key in await leftovers(client, histories)]
