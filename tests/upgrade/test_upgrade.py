"""Workers and schedulers of the last release and of this tree, together on the same data."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from tests.crash.orders import Progress
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


async def _travel(journeys: Journeys, seconds: float) -> None:
    """Begin journeys, 24 at a time, for so long; return when all have ended."""
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        async with asyncio.TaskGroup() as group:
            for _ in range(48):
                number += 1
                group.create_task(journeys.make(f"trip-{number}"))


@pytest.mark.heavy
@pytest.mark.timeout(SECONDS * 3 + 240)
@pytest.mark.parametrize("maker", AGES)
async def test_two_releases_share_the_work(
    trees: Trees, server: EmbeddedServer, tmp_path: Path, maker: Age
) -> None:
    """Whoever made the namespace, whoever dies: every history is right and replays on both."""
    began = time.monotonic()
    await trees.check()
    await trees.tell(maker, "create", server.url, NAMESPACE)
    effects = tmp_path / "effects.jsonl"
    progress = Progress()
    async with (
        await Client.connect(server.url, NAMESPACE) as client,
        MixedFleet(trees, server.url, NAMESPACE, APP, effects) as fleet,
    ):
        journeys = Journeys(client, progress)
        roller = Roller(fleet, progress, seed=AGES.index(maker))
        await roller.begin()
        travel = asyncio.ensure_future(_travel(journeys, SECONDS))
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
    assert len(roller.moves) >= 2, roller.moves
    counts = {
        "upgrade_workflows": len(new),
        "upgrade_signals": len(journeys.results) * LEGS * SIGNALS,
        "upgrade_replacements": roller.moves.total(),
    }
    figures.record(
        "upgrade",
        counts,
        repeat="make upgrade",
        server=server_name(server.url),
        seconds=time.monotonic() - began,
        notes={"moves": dict(roller.moves), "namespace_made_by": maker},
    )
