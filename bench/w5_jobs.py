"""W5: plain jobs, started in bulk while one worker runs them, until the last one has ended."""

from __future__ import annotations

import time

from luaflow import Job
from luaflow.client import Client

N = 20_000
BULK = 8_000
"""Jobs of one call: 500, what a script takes, for each of 16 partitions."""


async def _run(client: Client, n: int) -> float:
    """Start so many jobs and wait for all; the seconds that starting took."""
    since = time.perf_counter()
    for first in range(0, n, BULK):
        jobs = [Job("bench:echo", (number,)) for number in range(first, min(n, first + BULK))]
        await client.enqueue_many(jobs, queue="bench")
    started = time.perf_counter() - since
    while left := await client.list_jobs(limit=1):
        await client.get_job(left[0]["job_id"]).result()
    return started


async def warm_up(client: Client, n: int) -> None:
    await _run(client, min(n, 2000))


async def measure(client: Client, n: int) -> dict[str, float]:
    return {"start_rate": round(n / await _run(client, n), 1)}
