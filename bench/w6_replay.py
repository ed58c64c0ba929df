"""W6: a run with a long history, replayed: by itself, read from the server, asked by a worker."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from statistics import median
from typing import Any, NoReturn

from measuring import Work, one_by_one, settled
from stack import Setup, running

from luaflow.client import Client, Handle
from luaflow.deploy import load_bundle
from luaflow.domain.events import Event
from luaflow.loops import settle
from luaflow.lua import Engine
from luaflow.replay.decider import Execution
from luaflow.replay.loading import bundle_of, pid_of, run_info, source_of

N = 10_000
TIMES = 5


async def rounds(setup: Setup, n: int) -> list[dict[str, Any]]:
    async with running(setup) as stack:
        client = stack.client
        handle = await grown(client, n)
        events = [event async for event in handle.history()]
        replayer = await _replayer(client, handle, events)

        async def alone() -> None:
            replayer(events)

        async def read_and_replayed() -> None:
            replayer([event async for event in handle.history()])

        with _as_a_worker():
            alone_s, ready_s = await _median(alone), await _median(read_and_replayed)
        query_s = await _median(lambda: handle.query("seen", timeout=60))
        return [
            {
                "work": "W6",
                "n": len(events),
                "events_rate": round(len(events) / alone_s),
                "replay_ms": round(alone_s * 1000, 1),
                "ready_ms": round(ready_s * 1000, 1),
                "query_ms": round(query_s * 1000, 1),
            }
        ]


@contextlib.contextmanager
def _as_a_worker() -> Iterator[None]:
    """Who replays is a worker: with a collector that is not set so, that is what is measured."""
    before = gc.get_threshold()
    settle()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


async def grown(client: Client, events: int) -> Handle:
    """A run that has so many events at least, and waits for messages."""
    handle = await client.start("bench:listener", 1_000_000_000)
    await settled(client, [handle])
    while (missing := events - (await handle.describe())["history_length"]) > 0:
        for _ in range(max(1, min(10, missing // 200))):
            await handle.signal("work")
        await settled(client, [handle])
    return handle


async def _median(work: Work) -> float:
    await work()
    return median(await one_by_one(work, TIMES))


async def _replayer(client: Client, handle: Handle, events: list[Event]) -> Any:
    started, store = events[0].body, client.store
    bundle = await load_bundle(store, bundle_of(events))
    engine = Engine(source_of(bundle))
    places = (store.namespace, handle.workflow_id, str(handle.run_id))

    def replay(history: list[Event]) -> None:
        run = engine.open(run_info(*places, started, bundle, pid_of(started)))
        # a body is read once and kept: a history that was read just now has read none
        fresh = [Event(e.id, e.ts, e.type, e.raw) for e in history]
        Execution(run, _made_up).replay(fresh)
        run.close()

    return replay


def _made_up(name: str) -> NoReturn:
    raise AssertionError(f"a replay made a value of its own: {name}")
