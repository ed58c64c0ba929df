"""Closing: what a closed run still waited for is cleaned, and its children hear of its end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import orjson

from luaflow.domain.ids import partition_of
from luaflow.domain.locks import give_back, member_of
from luaflow.domain.messages import parent_closed
from luaflow.errors import LuaflowError
from luaflow.observe.logs import run_fields
from luaflow.store import transitions
from luaflow.store.courier import Courier
from luaflow.store.keys import Partition
from luaflow.store.store import Store
from luaflow_scheduler.dates import BROKEN_MS, SOON_MS, Date, run_apart

log = logging.getLogger(__name__)

SLICE = 100
"""Fields of a closed run that are cleaned in one go."""

Item = tuple[str, int | None, bytes]


async def close_out(
    store: Store, p: Partition, due: Sequence[Date], courier: Courier
) -> list[tuple[Date, int]]:
    """Clean one slice of each closed run; return the dates nobody could act on."""
    if not due:
        return []
    pages = await store.read(*(("HSCAN", p.pend(d.run_id), 0, "COUNT", SLICE) for d in due))
    sliced = [
        _items(p, date.run_id, page[1], len(store.partitions))
        for date, page in zip(due, pages, strict=True)
    ]
    calls = [
        transitions.close_out(partition=p, run_id=date.run_id, items=items)
        for date, items in zip(due, sliced, strict=True)
    ]
    left = []
    for date, items, answer in zip(due, sliced, await run_apart(store, calls), strict=True):
        if isinstance(answer, LuaflowError):
            text, extra = "closing of the run %s: %s", run_fields(date.run_id)
            log.error(text, date.run_id, answer, extra=extra)
            left.append((date, BROKEN_MS))
        elif answer[0] != b"ok":
            left.append((date, SOON_MS))
        else:
            courier.tell(p.number, {receiver for _, receiver, _ in items if receiver is not None})
    return left


def _items(p: Partition, run_id: str, pairs: Sequence[Any], partitions: int) -> list[Item]:
    """What to clean, from fields and values of ``pend``; children with what they are told.

    Locks go back to where they came from, and so do places in line.
    """
    found = zip(pairs[: 2 * SLICE : 2], pairs[1::2], strict=False)
    return [_item(p, run_id, bytes(field).decode(), value, partitions) for field, value in found]


def _item(p: Partition, run_id: str, field: str, value: bytes, partitions: int) -> Item:
    if field == "n:next":
        return field, None, value
    if not field.startswith("c:"):
        return field, None, b""
    try:
        record = orjson.loads(value)
        if record["kind"] == "lock":
            member = record.get("member") or member_of({"p": p.number, "run_id": run_id}, field[2:])
            key = record["key"]
            return field, partition_of(key, partitions), give_back(key, member)
        message = (
            parent_closed(record, run_id, int(field[2:])) if record["kind"] == "child" else None
        )
        receiver = partition_of(record["workflow_id"], partitions) if message else None
    except (LookupError, TypeError, ValueError) as error:
        text, extra = "run %s: its request %s cannot be read: %r", run_fields(run_id)
        log.warning(text, run_id, field, error, extra=extra)
        return field, None, b""
    return field, receiver, message or b""
