"""W4: workflows that are started all at once and sleep one second each; how late they wake."""

from __future__ import annotations

import asyncio

from measuring import latency

from luaflow.client import Client

N = 1000


async def _naps(client: Client, n: int) -> list[float]:
    late = await asyncio.gather(*(client.execute("bench:nap") for _ in range(n)))
    return [ms / 1000 for ms in late]


async def warm_up(client: Client, n: int) -> None:
    await _naps(client, min(n, 20))


async def measure(client: Client, n: int) -> dict[str, float]:
    return latency(await _naps(client, n))
