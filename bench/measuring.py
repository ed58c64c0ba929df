"""Doing things many times over, and what to say about the times they took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

ORDER = {
    "order_id": "ord-000001",
    "customer": {"id": 4711, "name": "Ada Lovelace"},
    "items": [{"sku": "A-1", "qty": 2}, {"sku": "B-7", "qty": 1}],
    "amount": 129.5,
    "currency": "EUR",
    "note": "leave at the door please, thank you very much",
}
"""The input of an order, about 240 bytes of JSON."""

Work = Callable[[], Awaitable[Any]]


async def one_by_one(work: Work, times: int) -> list[float]:
    """Do it so many times, one after the other; the seconds each took."""
    took = []
    for _ in range(times):
        since = time.perf_counter()
        await work()
        took.append(time.perf_counter() - since)
    return took


async def closed_loop(work: Work, times: int, clients: int) -> None:
    """Do it so many times; each of the clients waits for its result before it goes on."""
    left = iter(range(times))

    async def client() -> None:
        for _ in left:
            await work()

    await asyncio.gather(*(client() for _ in range(clients)))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of all is below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def latency(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum, in milliseconds."""
    parts = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    return {name: round(percentile(seconds, share) * 1000, 2) for name, share in parts.items()}
