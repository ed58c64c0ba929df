"""Task streams: their consumer groups, and one blocking read over many of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from luaflow.errors import Unavailable
from luaflow.store.keys import GROUP
from luaflow.store.link import Arg, Call
from luaflow.store.reader import Reader
from luaflow.store.refused import TRANSIENT, error_code, is_transient
from luaflow.store.scripts import load
from luaflow.store.spread import is_spread
from luaflow.store.store import Store
from luaflow.store.waiting import BLOCK_MS, BRIEF_SECONDS, Read, place_of

_READ = "luaflow-read-tasks"
Found = tuple[str, str, dict[bytes, bytes]]
"""A stream, the id of an entry in it, its fields."""


def groups(streams: Sequence[str]) -> Call:
    """Make the consumer groups of streams of one partition; those that exist stay as they are."""
    return Call(load("make_groups"), streams, [])


async def make_groups(store: Store, streams: Sequence[str]) -> None:
    """The same for streams of any partitions.

    Of a cluster's partitions those that are away are left out: whoever reads there comes again.
    """
    calls = [groups(part) for part in _by_partition(streams).values()]
    if not is_spread(store):
        await store.run(*calls)
        return
    for answer in await store.at_once(*calls):
        if isinstance(answer, ResponseError) and not is_transient(answer):
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
    if reader.spread:
        return await _read_spread(store, reader, worker, streams, count, block=block)
    try:
        wait = ("BLOCK", BLOCK_MS) if block else ()
        return _found(await reader.read(*_command(worker, streams, count, *wait)))
    except ResponseError as error:
        if "NOGROUP" not in str(error):
            raise
        await make_groups(store, streams)
        return []


async def _read_spread(
    store: Store,
    reader: Reader,
    worker: str,
    streams: Sequence[str],
    count: int,
    *,
    block: bool,
) -> list[Found]:
    """The same on a cluster, where one command reads the streams of one partition.

    Waiting takes nothing (``Reader.wait``): what a blocked XREADGROUP is given while its worker is
    busy with the tasks of another partition, no other worker could have.
    """
    found, again = await _look(store, reader, worker, streams, count)
    if block and not found:
        await reader.waits.wait(list(_by_partition(streams).values()), briefly=again)
        found, _ = await _look(store, reader, worker, streams, count)
    return found


async def _look(
    store: Store, reader: Reader, worker: str, streams: Sequence[str], count: int
) -> tuple[list[Found], bool]:
    """What is there where something may be; and whether to look again soon.

    A partition whose server is away or hangs, or whose slot moves, keeps nobody from the others'.
    """
    reads = reader.waits.reads
    new: dict[str, Read] = {
        name: (part, asyncio.create_task(store.at_once(_command(worker, part, count)), name=_READ))
        for name, part in _by_partition(reader.waits.hot(streams)).items()
        if name not in reads
    }
    reads.update(new)
    if new:
        await asyncio.wait([read for _, read in new.values()], timeout=BRIEF_SECONDS)
    found: list[Found] = []
    again = False
    for name, (part, read) in list(reads.items()):
        if not read.done():  # what it brings is found by a later look
            again = True
            continue
        del reads[name]
        (answer,) = read.result()
        if isinstance(answer, Unavailable):
            again = True
        elif not isinstance(answer, ResponseError):
            tasks = _found(answer)
            reader.waits.looked(part, {stream for stream, _, _ in tasks})
            found += tasks
        elif "NOGROUP" in str(answer):
            await make_groups(store, part)
            again = True
        elif error_code(answer) in TRANSIENT:
            again = True
        else:
            raise answer
    return found, again


def _command(worker: str, streams: Sequence[str], count: int, *wait: Arg) -> tuple[Arg, ...]:
    begin = ("XREADGROUP", "GROUP", GROUP, worker, "COUNT", count)
    return (*begin, *wait, "STREAMS", *streams, *(">" for _ in streams))


def _by_partition(streams: Sequence[str]) -> dict[str, list[str]]:
    together: dict[str, list[str]] = {}
    for stream in streams:
        together.setdefault(place_of(stream), []).append(stream)
    return together


def _found(answer: Sequence[Any] | None) -> list[Found]:
    return [
        (bytes(stream).decode(), bytes(entry).decode(), _fields(fields))
        for stream, entries in answer or []
        for entry, fields in entries
    ]


def _fields(flat: list[Any]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
