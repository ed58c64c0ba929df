"""A network that loses replies: the server did what it was asked, and nobody was told."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from pathlib import Path

from tests.crash.conftest import APP, NAMESPACE, World
from tests.crash.orders import Orders, Progress
from tests.support.histories import read_histories
from tests.support.processes import Fleet, Gate
from tests.support.proxy import Proxy

from luaflow import Client
from luaflow.embedded import EmbeddedServer
from luaflow.store.scripts import load

SCRIPTS = (
    "start",
    "message",
    "commit",
    "take_workflow",
    "take_activity",
    "finish_activity",
    "fire_timer",
    "due",
)
ORDERS = 130
BETWEEN = 4
"""How much happens between two faults: the connection is made again, work goes on."""


async def test_lost_replies_change_nothing(
    server: EmbeddedServer, gate: Gate, effects: Path, world: World
) -> None:
    """Client, workers and scheduler lose the reply to every kind of request, again and again.

    More than 1,000 requests are made; each is carried out once, whoever repeats it.
    """
    progress = Progress()
    async with (
        Proxy(server.url) as proxy,
        Fleet(proxy.url, NAMESPACE, APP, effects, gate.path, progress.on_line) as fleet,
    ):
        client = await world(proxy.url)
        # one does all by itself, the others one half each: activities go through the queue there
        roles = ("all", "workflow", "activity")
        await asyncio.gather(*(fleet.worker("--role", r) for r in roles), fleet.scheduler())
        shop = Orders(client, progress)
        lost: Counter[str] = Counter()
        losses = asyncio.create_task(lose_replies(proxy, progress, lost))
        await shop.place_many(ORDERS)
        losses.cancel()
        await asyncio.gather(losses, return_exceptions=True)
        assert set(await fleet.stop()) == {0}
        assert await shop.verdict(effects) == []
        assert lost.total() >= 24, f"only {lost} were lost: the test did not test much"
        assert set(lost) == set(SCRIPTS)
        assert not any(shop.unknown.values()), "every request got its answer in the end"
        assert await requests(client) >= 1000


async def requests(client: Client) -> int:
    """How many requests the histories stand for: starts, signals, decisions, outcomes."""
    histories = await read_histories(client)
    kinds = "WorkflowExecutionStarted", "WorkflowExecutionSignaled", "WorkflowTaskCompleted"
    return sum(len(h.of(*kinds, "TimerFired")) for h in histories)


async def lose_replies(proxy: Proxy, progress: Progress, lost: Counter[str]) -> None:
    """Lose the next reply to each kind of request in turn; count them."""
    for name in itertools.cycle(SCRIPTS):
        await proxy.lose_reply(to=load(name).sha).wait()
        lost[name] += 1
        await progress.reach(progress.count + BETWEEN)
