"""W8: memory: what an open idle run and a closed order take, on the server and in the worker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from measuring import ORDER, closed_loop, settled, start_many
from stack import Setup, Stack, running

from luaflow.client import Client
from luaflow.store.namespaces import update_namespace

N = 2000
NODES = {"1 KB": "1024", "4 KB": "4096"}
"""stream-node-max-bytes: of the embedded server, and of one that was told nothing."""


async def rounds(setup: Setup, n: int) -> list[dict[str, Any]]:
    return [await _measure(setup, n, name, size) for name, size in NODES.items()]


async def _measure(setup: Setup, n: int, name: str, size: str) -> dict[str, Any]:
    setup = replace(
        setup,
        cache=2 * n,
        settings={**setup.settings, "settle_after_ms": 0},
        options=(*setup.options, "--stream-node-max-bytes", size),
    )
    async with running(setup) as stack:
        await _orders(stack, 300)
        row: dict[str, Any] = {"work": f"W8 stream nodes of {name}", "n": n}
        memory, resident = (await stack.bytes())[0], stack.resident()
        await settled(stack.client, await start_many(stack.client, n, "bench:listener", 1))
        now = (await stack.bytes())[0]
        row["open_bytes"] = round((now - memory) / n)
        row["cached_bytes"] = round((stack.resident() - resident) / n)
        memory = now
        await _orders(stack, n)
        now = (await stack.bytes())[0]
        row["closed_bytes"] = round((now - memory) / n)
        memory = now
        await update_namespace(stack.client.store.link, "default", settle_after_ms=1)
        await _orders(stack, n)
        await _packed(stack.client)
        row["packed_bytes"] = round(((await stack.bytes())[0] - memory) / n)
        return row


async def _orders(stack: Stack, n: int) -> None:
    await closed_loop(lambda: stack.client.execute("bench:order", ORDER), n, 100)


async def _packed(client: Client) -> None:
    """Wait until schedulers have packed the history of every run that is to be packed."""
    store = client.store
    while True:
        found = await store.read(*(("ZRANGE", p.gc, 0, -1) for p in store.partitions))
        if not any(bytes(member).startswith(b"p|") for some in found for member in some):
            return
        await asyncio.sleep(0.1)
