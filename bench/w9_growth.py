"""W9: growth: what a step costs beside many runs, events, partitions and queues."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from measuring import ORDER, closed_loop, latency, one_by_one, settled, start_many
from stack import Setup, Stack, running
from w6_replay import grown

from luaflow import loops

N = 10_000
"""The most open runs, and events of a history, that are tried; 300,000 takes some minutes."""
EVENTS = 50_000
PARTITIONS = (1, 16, 64)
QUEUES = 200
POLLED = 10
ORDERS = 2000
TICKS = 400

Row = dict[str, Any]
T = TypeVar("T")


async def rounds(setup: Setup, n: int) -> list[Row]:
    axes: Sequence[Callable[[Setup, int], AsyncIterator[Row]]] = (_runs, _events, _spread, _queues)
    return [row for axis in axes async for row in axis(setup, n)]


def _steps(first: int, most: int) -> list[int]:
    """Ten times more each time, up to the most."""
    found = [first]
    while found[-1] < most:
        found.append(min(most, found[-1] * 10))
    return found


async def _runs(setup: Setup, n: int) -> AsyncIterator[Row]:
    """Orders beside more and more open runs."""
    async with running(setup) as stack:
        there = 0
        for runs in _steps(min(1000, n), n):
            more = await start_many(stack.client, runs - there, "bench:listener", 1)
            await settled(stack.client, more)
            there = runs
            del more
            loops.settle()  # what the client holds of them is not looked through meanwhile
            await stack.rewritten()
            yield {"work": f"W9 open runs {runs}", **await _orders(stack, n)}


async def _events(setup: Setup, n: int) -> AsyncIterator[Row]:
    """Updates of one run whose history, which the worker has in memory, grows."""
    async with running(setup) as stack:
        for events in _steps(10, min(n, EVENTS)):
            handle = await grown(stack.client, events)
            tick = partial(handle.update, "tick")
            ticks = min(TICKS, n)
            await one_by_one(tick, 20)
            row, times = await _cost(stack, ticks, one_by_one(tick, ticks))
            row |= latency(times)
            yield {"work": f"W9 events {events}", **row}


async def _spread(setup: Setup, n: int) -> AsyncIterator[Row]:
    """Orders in a namespace of more and more partitions."""
    for partitions in PARTITIONS:
        changed = replace(setup, settings={**setup.settings, "partitions": partitions})
        async with running(changed) as stack:
            yield {"work": f"W9 partitions {partitions}", **await _orders(stack, n)}


async def _queues(setup: Setup, n: int) -> AsyncIterator[Row]:
    """Orders while the worker polls ten queues, in a namespace with ten, and with 200."""
    names = tuple(f"other-{number}" for number in range(1, QUEUES))
    async with running(replace(setup, queues=("bench", *names[: POLLED - 1]))) as stack:
        for there in (POLLED, QUEUES):
            for name in names[: there - 1]:
                await start_many(stack.client, 16, "bench:listener", 1, task_queue=name)
            yield {"work": f"W9 queues {there}", **await _orders(stack, n)}


async def _orders(stack: Stack, n: int) -> Row:
    """What an order costs: CPU while 50 clients ask, the time when it is alone."""
    orders = min(ORDERS, n)

    async def order() -> Any:
        return await stack.client.execute("bench:order", ORDER)

    await closed_loop(order, orders // 2, 50)
    row, _ = await _cost(stack, orders, closed_loop(order, orders, 50))
    return row | latency(await one_by_one(order, min(100, orders)))


async def _cost(stack: Stack, n: int, work: Awaitable[T]) -> tuple[Row, T]:
    """CPU and wall clock of so many steps, and what the work returns."""
    cpu, since = stack.cpu(), time.perf_counter()
    found = await work
    row: Row = {"n": n, "rate": round(n / (time.perf_counter() - since), 1)}
    row["cpu_ms"] = {role: round((s - cpu[role]) * 1000 / n, 3) for role, s in stack.cpu().items()}
    return row, found
