"""W9: growth: what a step costs beside many runs, events, partitions and queues.

A point of an axis is measured in rounds that alternate with rounds at the first point, on a stack
of its own: a machine drifts by more in some minutes than what is asked for.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any, TypeVar

from measuring import ORDER, closed_loop, latency, one_by_one, settled, start_many
from stack import Setup, Stack, running
from w6_replay import grown

from luaflow import loops
from luaflow.client import Handle

N = 10_000
"""The most open runs, and events of a history, that are tried; 300,000 takes some minutes."""
EVENTS = 50_000
PARTITIONS = (1, 16, 64)
QUEUES = 200
POLLED = 10
ORDERS = 1500
TICKS = 200
SHORT = 20
"""Runs of few events that take turns, so that none grows much."""
ALONE = 30
ROUNDS = 7

Row = dict[str, Any]
Measure = Callable[[], Awaitable[Row]]
T = TypeVar("T")


async def rounds(setup: Setup, n: int) -> list[Row]:
    # what is packed a minute after it ended would be packed while something else is measured
    setup = replace(setup, settings={"settle_after_ms": 0, **setup.settings})
    axes: Sequence[Callable[[Setup, int], AsyncIterator[Row]]] = (_runs, _events, _spread, _queues)
    return [row for axis in axes async for row in axis(setup, n)]


def _steps(first: int, most: int) -> list[int]:
    """Ten times more each time, up to the most."""
    found = [first]
    while found[-1] < most:
        found.append(min(most, found[-1] * 10))
    return found


async def _in_turn(name: str, first: Measure, now: Measure | None = None) -> Row:
    """Medians of the rounds at a point, and how much of the CPU at the first point a step takes."""
    rows, shares = [], []
    for _ in range(ROUNDS):
        before = await first()
        row = await now() if now else before
        rows.append(row)
        shares.append(sum(row["cpu_ms"].values()) / (sum(before["cpu_ms"].values()) or 1))
    told: Row = {"work": f"W9 {name}", "of_first": round(median(shares), 3)}
    for key in ("n", "rate", "p50_ms", "p99_ms"):
        told[key] = median(row[key] for row in rows)
    roles = rows[0]["cpu_ms"]
    return told | {"cpu_ms": {r: round(median(row["cpu_ms"][r] for row in rows), 3) for r in roles}}


async def _runs(setup: Setup, n: int) -> AsyncIterator[Row]:
    """Orders beside more and more open runs."""
    steps = _steps(min(1000, n), n)
    async with running(setup) as few, running(setup) as many:
        await _open(few, steps[0])
        first = partial(_orders, few, n)
        yield await _in_turn(f"open runs {steps[0]}", first)
        for before, runs in zip([0, *steps[1:]], steps[1:], strict=False):
            await _open(many, runs - before)
            yield await _in_turn(f"open runs {runs}", first, partial(_orders, many, n))


async def _open(stack: Stack, runs: int) -> None:
    """So many runs more that wait for messages."""
    more = await start_many(stack.client, runs, "bench:listener", 1)
    await settled(stack.client, more)
    del more
    loops.settle()  # what the client holds of them is not looked through meanwhile
    await stack.rewritten()


async def _events(setup: Setup, n: int) -> AsyncIterator[Row]:
    """Updates of one run whose history, which the worker has in memory, grows."""
    steps, ticks = _steps(10, min(n, EVENTS)), min(TICKS, n)
    async with running(setup) as stack:

        async def first() -> Row:
            # some new runs each time: the updates, too, are events of a history
            short = [await grown(stack.client, steps[0]) for _ in range(SHORT)]
            return await _ticks(stack, short, ticks)

        yield await _in_turn(f"events {steps[0]}", first)
        for events in steps[1:]:
            now = partial(_ticks, stack, [await grown(stack.client, events)], ticks)
            yield await _in_turn(f"events {events}", first, now)


async def _ticks(stack: Stack, handles: Sequence[Handle], ticks: int) -> Row:
    turns = itertools.cycle(handles)

    async def tick() -> Any:
        return await next(turns).update("tick")

    await one_by_one(tick, len(handles))
    row, times = await _cost(stack, ticks, one_by_one(tick, ticks))
    return row | latency(times)


async def _spread(setup: Setup, n: int) -> AsyncIterator[Row]:
    """Orders in a namespace of more and more partitions."""
    async with AsyncExitStack() as stacks:
        first: Measure | None = None
        for partitions in PARTITIONS:
            changed = replace(setup, settings={**setup.settings, "partitions": partitions})
            stack = await stacks.enter_async_context(running(changed))
            now = partial(_orders, stack, n)
            yield await _in_turn(f"partitions {partitions}", first or now, first and now)
            first = first or now


async def _queues(setup: Setup, n: int) -> AsyncIterator[Row]:
    """Orders while the worker polls ten queues, in a namespace with ten, and with 200."""
    names = tuple(f"other-{number}" for number in range(1, QUEUES))
    polling = replace(setup, queues=("bench", *names[: POLLED - 1]))
    async with running(polling) as few, running(polling) as many:
        for stack, there in ((few, POLLED), (many, QUEUES)):
            for name in names[: there - 1]:
                await start_many(stack.client, 16, "bench:listener", 1, task_queue=name)
        first = partial(_orders, few, n)
        yield await _in_turn(f"queues {POLLED}", first)
        yield await _in_turn(f"queues {QUEUES}", first, partial(_orders, many, n))


async def _orders(stack: Stack, n: int) -> Row:
    """What an order costs: CPU while 50 clients ask, the time when it is alone."""
    orders = min(ORDERS, n)

    async def order() -> Any:
        return await stack.client.execute("bench:order", ORDER)

    await closed_loop(order, orders // 5, 50)
    row, _ = await _cost(stack, orders, closed_loop(order, orders, 50))
    return row | latency(await one_by_one(order, min(ALONE, orders)))


async def _cost(stack: Stack, n: int, work: Awaitable[T]) -> tuple[Row, T]:
    """CPU and wall clock of so many steps, and what the work returns."""
    cpu, since = stack.cpu(), time.perf_counter()
    found = await work
    row: Row = {"n": n, "rate": round(n / (time.perf_counter() - since), 1)}
    row["cpu_ms"] = {role: round((s - cpu[role]) * 1000 / n, 3) for role, s in stack.cpu().items()}
    return row, found
