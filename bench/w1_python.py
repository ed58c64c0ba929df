"""W1 with activities in Python: coroutines, or plain functions that run on threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from measuring import ORDER, closed_loop
from w1_orders import CLIENTS, N

from luaflow.client import Client

Measure = Callable[[Client, int], Awaitable[dict[str, float]]]


def orders(kind: str) -> tuple[int, Measure, Measure]:
    """How many, the warm-up, and the measurement of orders whose activities are of this kind."""

    async def warm_up(client: Client, n: int) -> dict[str, float]:
        return await measure(client, min(n, 500))

    async def measure(client: Client, n: int) -> dict[str, float]:
        work = lambda: client.execute("bench:order_python", ORDER, kind)  # noqa: E731
        await closed_loop(work, n, CLIENTS)
        return {}

    return N, warm_up, measure
