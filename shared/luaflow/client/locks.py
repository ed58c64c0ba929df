"""The locks a run has or waits for, as ``describe`` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from luaflow.domain.ids import partition_of
from luaflow.domain.locks import member_of
from luaflow.store.keys import Partition
from luaflow.store.store import Store

SHOWN_LOCKS = 100
"""Locks a description lists at most."""


class Want(NamedTuple):
    """A lock that a run asked for: its description, the key, and who the entity knows it as."""

    run: dict[str, Any]
    key: str
    member: str


def wants_of(run: dict[str, Any], p: Partition, pend: Mapping[str, bytes]) -> list[Want]:
    """The locks among what a run waits for, in the order it asked for them."""
    me = {"p": p.number, "run_id": run["run_id"]}
    found = []
    for seq in sorted(int(field[2:]) for field in pend if field.startswith("c:"))[:SHOWN_LOCKS]:
        record = orjson.loads(pend[f"c:{seq}"])
        if record.get("kind") == "lock":
            member = record.get("member") or member_of(me, seq)
            found.append(Want(run, str(record["key"]), member))
    return found


async def add_locks(store: Store, wants: Sequence[Want]) -> None:
    """Say of each lock whether its run has it, or how many stand before it in the line."""
    if not wants:
        return
    commands: list[tuple[Any, ...]] = []
    for _, key, member in wants:
        p = store.partitions[partition_of(key, len(store.partitions))]
        commands += [("ZSCORE", p.held(key), member), ("ZRANK", p.line(key), member)]
    answers = await store.read(*commands)
    for want, held, before in zip(wants, answers[::2], answers[1::2], strict=True):
        # a slot's key has parts: what it is of, and the value that splits the limit
        name = " ".join(part for part in want.key.split("\n") if part)
        lock: dict[str, Any] = {"key": name, "state": "held"}
        if held is None:
            # neither: its request is on the way
            lock |= {"state": "waiting", "before": None if before is None else int(before)}
        want.run["locks"].append(lock)
