"""W3: one workflow that runs 100 activities side by side and adds their results up."""

from __future__ import annotations

from measuring import latency, one_by_one

from luaflow.client import Client

N = 20
WIDTH = 100


async def _fan_out(client: Client) -> None:
    assert await client.execute("bench:fan_out", WIDTH) == WIDTH * (WIDTH + 1) // 2


async def warm_up(client: Client, n: int) -> None:
    await one_by_one(lambda: _fan_out(client), min(n, 3))


async def measure(client: Client, n: int) -> dict[str, float]:
    return latency(await one_by_one(lambda: _fan_out(client), n))
