"""The server dies under load and comes back on the same data."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.crash.conftest import APP, NAMESPACE, World
from tests.crash.orders import Orders, Progress
from tests.support.histories import problems_of, read_histories, signal_problems
from tests.support.processes import Fleet, Gate

from luaflow import Client
from luaflow.embedded import EmbeddedServer
from luaflow.errors import Unavailable, Unknown

RUNS = 40
NUMBERS = 30
DEATHS = 5


class Talker:
    """Starts a run, waits for its end, and sends it numbers until then; keeps what it was told."""

    def __init__(self, client: Client, name: str, progress: Progress) -> None:
        self._client = client
        self._progress = progress
        self.name = name
        self.acknowledged: list[int] = []
        self.unknown: list[int] = []
        self.heard: list[int] = []

    async def talk(self) -> None:
        """Do all of it; the wait is there before the first number, and outlives the server."""
        handle = await self._client.start("app:listener", id=self.name, request_id=self.name)
        self._progress.tick()
        async with asyncio.TaskGroup() as group:
            wait: asyncio.Task[Any] = group.create_task(handle.result(100))
            for number in range(NUMBERS):
                try:
                    await handle.signal("number", number)
                    self.acknowledged.append(number)
                except (Unknown, Unavailable):
                    self.unknown.append(number)
                self._progress.tick()
            await handle.signal("stop")
        self.heard = wait.result()["heard"]


async def test_nothing_acknowledged_is_lost(
    server: EmbeddedServer, fleet: Fleet, world: World
) -> None:
    """Killed five times while clients start, signal and wait: all they were told is true."""
    client = await world()
    await asyncio.gather(fleet.worker(), fleet.scheduler())
    progress = Progress()
    talkers = {name: Talker(client, name, progress) for name in map("run-{}".format, range(RUNS))}
    async with asyncio.TaskGroup() as group:
        for talker in talkers.values():
            group.create_task(talker.talk())
        for death in range(DEATHS):
            await progress.reach((death + 1) * RUNS * NUMBERS // (DEATHS + 1))
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.to_thread(server.restart)
    assert set(await fleet.stop()) == {0}
    histories = await read_histories(client)
    assert {h.workflow_id for h in histories} == set(talkers)
    problems: list[str] = []
    for history in histories:
        talker = talkers[history.workflow_id]
        problems += problems_of(history)
        numbers = history._replace(
            events=[e for e in history.events if e.body.get("name") == "number"]
        )
        problems += signal_problems(numbers, talker.acknowledged, talker.unknown, talker.heard)
    assert problems == []


@pytest.mark.heavy
@pytest.mark.timeout(300)
async def test_silence_beyond_all_patience(
    server: EmbeddedServer, gate: Gate, effects: Path, world: World
) -> None:
    """The server hangs until workers give up what they had begun; then every order goes on."""
    client = await world()
    progress = Progress()
    shop = Orders(client, progress, at_once=60, patience=200)
    async with Fleet(server.url, NAMESPACE, APP, effects, gate.path, progress.on_line) as fleet:
        a, b, _ = await asyncio.gather(fleet.worker(), fleet.worker(), fleet.scheduler())
        async with asyncio.TaskGroup() as group:
            group.create_task(shop.place_many(60))
            await progress.reach(150)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                # begun after the stop, with the same patience: what was under way gave up before
                gave_up = "presence crashed"
                await asyncio.gather(a.line(gave_up, 150), b.line(gave_up, 150))
            finally:
                os.kill(server.pid, signal.SIGCONT)
        assert set(await fleet.stop()) == {0}
        assert await shop.verdict(effects) == []
