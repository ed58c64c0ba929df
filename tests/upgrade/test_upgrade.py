"""Workers and schedulers of the last release and of this tree, together on the same data."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.crash.orders import Progress
from tests.support.old_tree import altered_tree
from tests.support.versions import server_name
from tests.upgrade.doing import APP
from tests.upgrade.journeys import LEGS, SIGNALS, Journeys
from tests.upgrade.rolling import Roller, rolled
from tests.upgrade.trees import AGES, Age, MixedFleet, Trees
from tools import figures

from luaflow import Client
from luaflow.embedded import EmbeddedServer

NAMESPACE = "upgrade"
SECONDS = float(os.environ.get("UPGRADE_SECONDS", "20"))
"""How long new journeys begin, for each tree that makes the namespace."""
EVERY = 100
"""Ticks of progress between two replacements."""


async def _travel(journeys: Journeys, seconds: float, batch: int) -> None:
    """Begin journeys, 24 at a time, for so long; return when all have ended."""
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        async with asyncio.TaskGroup() as group:
            for _ in range(batch):
                number += 1
                group.create_task(journeys.make(f"trip-{number}"))


class Shared(NamedTuple):
    """What two trees did together."""

    runs: int
    journeys: int
    moves: Counter[str]


async def _share(
    trees: Trees,
    server: EmbeddedServer,
    folder: Path,
    maker: Age,
    *,
    seconds: float,
    at_first: Sequence[Age] = AGES,
    batch: int = 48,
) -> Shared:
    """Let both trees serve journeys for so long; whatever is wrong afterwards is raised."""
    await trees.check()
    await trees.tell(maker, "create", server.url, NAMESPACE)
    effects = folder / "effects.jsonl"
    progress = Progress()
    async with (
        await Client.connect(server.url, NAMESPACE) as client,
        MixedFleet(trees, server.url, NAMESPACE, APP, effects) as fleet,
    ):
        journeys = Journeys(client, progress)
        roller = Roller(fleet, progress, seed=AGES.index(maker))
        await roller.begin(at_first)
        travel = asyncio.ensure_future(_travel(journeys, seconds, batch))
        await rolled(roller, travel, EVERY)
        codes = await fleet.stop()
        problems = await journeys.verdict(effects)
        problems += [line for p in fleet.programs for line in p.lines if "Traceback" in line]
    assert (codes.count(0), problems[:20]) == (len(codes), [])
    old, new = [await trees.tell(age, "replay", server.url, NAMESPACE) for age in AGES]
    assert old == new
    assert len(new) == 2 * LEGS * len(journeys.results)
    listed = [await trees.tell(age, "list", server.url, NAMESPACE) for age in AGES]
    assert listed[0] == listed[1]
    return Shared(len(new), len(journeys.results), roller.moves)


@pytest.mark.heavy
@pytest.mark.timeout(SECONDS * 3 + 240)
@pytest.mark.parametrize("maker", AGES)
async def test_two_releases_share_the_work(
    trees: Trees, server: EmbeddedServer, tmp_path: Path, maker: Age
) -> None:
    """Whoever made the namespace, whoever dies: every history is right and replays on both."""
    began = time.monotonic()
    found = await _share(trees, server, tmp_path, maker, seconds=SECONDS)
    assert len(found.moves) >= 2, found.moves
    counts = {
        "upgrade_workflows": found.runs,
        "upgrade_signals": found.journeys * LEGS * SIGNALS,
        "upgrade_replacements": found.moves.total(),
    }
    figures.record(
        "upgrade",
        counts,
        repeat="make upgrade",
        server=server_name(server.url),
        seconds=time.monotonic() - began,
        notes={"moves": dict(found.moves), "namespace_made_by": maker},
    )


@pytest.mark.heavy
@pytest.mark.timeout(240)
async def test_a_release_that_the_last_one_cannot_read_is_found(
    old_tree: Path, server: EmbeddedServer, tmp_path: Path
) -> None:
    """Planted: a tree that calls one of its events otherwise, and gets on with itself."""
    altered = altered_tree(tmp_path / "altered", "TimerStarted", "TimerBegun")
    trees = Trees(old_tree, altered)
    with pytest.raises(AssertionError, match=r"timers \[\] fired"):
        await _share(trees, server, tmp_path, "new", seconds=0.1, at_first=("new",), batch=4)
    with pytest.raises(AssertionError, match=r"NonDeterminism: .* the code asked for timer"):
        await trees.tell("old", "replay", server.url, NAMESPACE)
    assert await trees.tell("new", "replay", server.url, NAMESPACE)
