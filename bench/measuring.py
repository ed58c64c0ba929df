"""Doing things many times over, and what to say about the times they took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from luaflow.client import Client, Handle

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


async def start_many(client: Client, n: int, type: str, *args: Any, **how: Any) -> list[Handle]:
    """So many runs of a type, started by 100 clients."""
    found: list[Handle] = []

    async def one() -> None:
        found.append(await client.start(type, *args, **how))

    await closed_loop(one, n, 100)
    return found


async def settled(client: Client, handles: Sequence[Handle]) -> None:
    """Wait until the code of these runs has seen all there is, and waits for messages only."""
    store, left = client.store, list(handles)
    while left:
        some, p = left[-500:], store.partition
        states = await store.read(
            *(("HMGET", p(h.workflow_id).run(str(h.run_id)), "task", "news") for h in some),
            *(("HLEN", p(h.workflow_id).pend(str(h.run_id))) for h in some),
        )
        pairs = zip(some, states[: len(some)], states[len(some) :], strict=True)
        left[-500:] = [h for h, state, waits in pairs if state != [b"", b"0"] or waits]
        await asyncio.sleep(0.01)
