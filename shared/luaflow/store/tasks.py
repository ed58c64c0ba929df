"""Task streams: their consumer groups, and one blocking read over many of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from luaflow.store.keys import GROUP
from luaflow.store.link import Call
from luaflow.store.reader import BLOCK_MS, Reader
from luaflow.store.scripts import load
from luaflow.store.store import Store

Found = tuple[str, str, dict[bytes, bytes]]
"""A stream, the id of an entry in it, its fields."""


def groups(streams: Sequence[str]) -> Call:
    """Make the consumer groups of streams of one partition; those that exist stay as they are."""
    return Call(load("make_groups"), streams, [])


async def make_groups(store: Store, streams: Sequence[str]) -> None:
    """The same for streams of any partitions."""
    together: dict[str, list[str]] = {}
    for stream in streams:
        together.setdefault(stream.partition("}")[0], []).append(stream)
    await store.run(*(groups(part) for part in together.values()))


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
