"""W7: signals into 1,000 open runs: from the first one sent to the last one handled."""

from __future__ import annotations

import asyncio
import itertools
import time

from measuring import closed_loop, settled, start_many

from luaflow.client import Client

N = 20_000
RUNS = 1000
SENDERS = 200


async def _run(client: Client, n: int) -> dict[str, float]:
    runs = min(RUNS, n)
    share, more = divmod(n, runs)
    handles = await start_many(client, runs - more, "bench:listener", share)
    handles += await start_many(client, more, "bench:listener", share + 1)
    await settled(client, handles)
    turns = itertools.cycle(handles[-more:] + handles[:-more] if more else handles)
    since = time.perf_counter()
    await closed_loop(lambda: next(turns).signal("note", 1), n, SENDERS)
    sent = time.perf_counter()
    await asyncio.gather(*(handle.result() for handle in handles))
    handled = time.perf_counter()
    return {"signal_rate": round(n / (handled - since)), "sent_rate": round(n / (sent - since))}


async def warm_up(client: Client, n: int) -> None:
    await _run(client, min(n, 1000))


async def measure(client: Client, n: int) -> dict[str, float]:
    return await _run(client, n)
