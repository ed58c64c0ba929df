"""W2: the same order, one at a time: from the call of start to the result in the client's hands."""

from __future__ import annotations

from measuring import ORDER, latency, one_by_one

from luaflow.client import Client

N = 300


async def warm_up(client: Client, n: int) -> None:
    await one_by_one(lambda: client.execute("bench:order", ORDER), min(n, 50))


async def measure(client: Client, n: int) -> dict[str, float]:
    return latency(await one_by_one(lambda: client.execute("bench:order", ORDER), n))
