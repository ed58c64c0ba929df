"""W1: orders of three activities, as many as get through while 200 clients wait for theirs."""

from __future__ import annotations

from measuring import ORDER, closed_loop

from luaflow.client import Client

N = 3000
CLIENTS = 200


async def warm_up(client: Client, n: int) -> None:
    await closed_loop(lambda: client.execute("bench:order", ORDER), min(n, 500), CLIENTS)


async def measure(client: Client, n: int) -> dict[str, float]:
    await closed_loop(lambda: client.execute("bench:order", ORDER), n, CLIENTS)
    return {}
