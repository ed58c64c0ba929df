"""What autoscalers ask a scheduler that runs as it does anywhere."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from pathlib import Path

import orjson
from tests.support.commands import Commands
from tests.support.processes import Program

from luaflow.client import Client


async def get(url: str) -> tuple[int, bytes]:
    def ask() -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return await asyncio.to_thread(ask)


async def test_a_scheduler_tells_the_backlog_of_a_queue(
    redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """On its metrics port, for any queue; it ends as fast as ever while somebody asks."""
    made = await asyncio.to_thread(Commands(redis_url, namespace), "namespace", "create", namespace)
    assert made.code == 0, made
    async with await Client.connect(redis_url, namespace) as client:
        for n in range(3):
            await client.enqueue("app:work", n, queue="orders")
    scheduler = Program("scheduler", "looks after")
    try:
        where = ("--redis", redis_url, "--namespace", namespace, "--metrics-port", "0")
        await scheduler.start("luaflow_scheduler.cli", *where)
        found = await scheduler.line(r"metrics on (http://\S+)/metrics")
        await scheduler.line(scheduler.ready)
        status, text = await get(f"{found[1]}/api/v1/queues/orders/backlog")
        assert status == 200
        assert orjson.loads(text)["activity"] == {"queued": 3, "in_flight": 0, "backlog": 3}
        assert (await get(f"{found[1]}/api/v1/queues/-/backlog"))[0] == 400
        assert (await get(f"{found[1]}/api/v1/queues/orders"))[0] == 404
        assert await scheduler.stop() == 0
    finally:
        await scheduler.kill()
