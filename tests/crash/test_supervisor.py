"""``--processes``: a supervisor ends processes that hang, replaces those that die, cleans up."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.crash.conftest import World
from tests.support.effects import read_effects
from tests.support.processes import Fleet

SERVES = r"^luaflow-worker \w+ \(process (\d+)\) serves"


async def test_hanging_process_is_replaced(fleet: Fleet, effects: Path, world: World) -> None:
    """An activity that holds the interpreter is ended from outside; its run and others go on."""
    client = await world()
    supervisor, _ = await asyncio.gather(
        fleet.worker("--processes", "2", "--hang-timeout", "2"), fleet.scheduler()
    )
    hung = await client.start("app:held", {"activity": "hang"}, id="hung")
    await supervisor.line("effect hang hung 1")
    others = [await client.start("app:order", {"items": 0}) for _ in range(10)]
    killed = await supervisor.line(r"worker process (\d+) gave no sign of life for 2 s: killing it")
    assert (await hung.result(30))["attempt"] == 2
    await asyncio.gather(*(o.result(30) for o in others))
    first, second = [e for e in read_effects(effects) if e.name == "hang"]
    assert first.process == int(killed[1]) != second.process
    await supervisor.line("worker process ended with -9: starting another")
    await supervisor.said(SERVES, 3)
    assert await supervisor.stop() == 0
    await supervisor.silent(10)


async def test_dead_process_is_replaced(fleet: Fleet, world: World) -> None:
    """A process that is killed, again and again, is started again; SIGTERM ends both cleanly."""
    await world()
    supervisor = await fleet.worker("--processes", "2")
    for deaths in range(3):
        serving = await supervisor.said(SERVES, 2 + deaths)
        if deaths < 2:
            os.kill(int(serving[-1][1]), signal.SIGKILL)
    assert await supervisor.stop() == 0
    await supervisor.silent(10)


async def test_stop_while_a_process_hangs(fleet: Fleet, world: World) -> None:
    """SIGTERM does not wait for a process that will never hear it."""
    client = await world()
    options = ("--processes", "2", "--hang-timeout", "1")
    supervisor, _ = await asyncio.gather(fleet.worker(*options), fleet.scheduler())
    await client.start("app:held", {"activity": "hang"}, id="hung")
    await supervisor.line("effect hang hung 1")
    assert await supervisor.stop(within=20) == 0
    await supervisor.silent(10)


async def test_children_go_with_their_supervisor(fleet: Fleet, world: World) -> None:
    """A supervisor that is killed leaves no process behind that works on unwatched."""
    await world()
    supervisor = await fleet.worker("--processes", "2")
    await supervisor.said(SERVES, 2)
    supervisor.send(signal.SIGKILL)
    await supervisor.said("the supervisor is gone: stopping", 2)
    await supervisor.silent(10)
