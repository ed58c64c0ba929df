"""Task streams: their consumer groups, and one blocking read over many of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from luaflow.store.keys import GROUP
from luaflow.store.reader import BLOCK_MS, Reader
from luaflow.store.store import Store

Found = tuple[str, str, dict[bytes, bytes]]
"""A stream, the id of an entry in it, its fields."""


async def make_groups(store: Store, streams: Sequence[str]) -> None:
    """Make the consumer groups of streams; those that exist stay as they are."""
    commands = (("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM") for stream in streams)
    for answer in await store.ask(*commands):
        if isinstance(answer, ResponseError) and "BUSYGROUP" not in str(answer):
            raise answer


async def read_tasks(
    store: Store,
    reader: Reader,
    worker: str,
    streams: Sequence[str],
    count: int,
    *,
    block: bool = True,
) -> list[Found]:
    """Return tasks, at most ``count`` from each stream (COUNT is per stream); wait for some."""
    command = ("XREADGROUP", "GROUP", GROUP, worker, "COUNT", count)
    wait = ("BLOCK", BLOCK_MS) if block else ()
    try:
        answer = await reader.read(*command, *wait, "STREAMS", *streams, *(">" for _ in streams))
    except ResponseError as error:
        if "NOGROUP" not in str(error):
            raise
        await make_groups(store, streams)
        return []
    return [
        (bytes(stream).decode(), bytes(entry).decode(), _fields(fields))
        for stream, entries in answer or []
        for entry, fields in entries
    ]


def _fields(flat: list[Any]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
