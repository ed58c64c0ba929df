"""Who has a lock, or a slot, and who stands in its line; and whether they are still there."""

from __future__ import annotations

from typing import NamedTuple

from luaflow.domain.ids import partition_of
from luaflow.store.entities import FIRST, disown
from luaflow.store.link import Call
from luaflow.store.store import Store


class Holder(NamedTuple):
    """A run as the lock knows it; ``gone``: it is over, or was lost, and so is its chain."""

    member: str
    workflow_id: str
    gone: bool

    @property
    def run_id(self) -> str:
        """The run that asked; of a slot, the first one of its chain."""
        return self.member.split("|")[1]


async def holders(store: Store, key: str, *, line: bool = False) -> list[Holder]:
    """The first of those that have the lock, or of its line."""
    entity = store.partitions[partition_of(key, len(store.partitions))]
    name = entity.line(key) if line else entity.held(key)
    (found,) = await store.read(("ZRANGE", name, 0, FIRST - 1))
    members = [bytes(member).decode() for member in found]
    if not members:
        return []
    fields = (f"i:{member}" for member in members)
    (names,) = await store.read(("HMGET", entity.lock(key), *fields))
    both = zip(members, (bytes(n or b"").decode() for n in names), strict=True)
    return [Holder(member, who, await _is_gone(store, member, who)) for member, who in both]


def give_back(store: Store, key: str, holder: Holder) -> Call:
    """The call that gives back what a run has that is gone; the script looks again, and decides."""
    number = partition_of(key, len(store.partitions))
    return disown(store, key, holder.member, holder.workflow_id, number)


async def _is_gone(store: Store, member: str, who: str) -> bool:
    home, run_id, _ = member.split("|")
    p = store.partitions[int(home)]
    status, chain = await store.read(
        ("HGET", p.run(run_id), "status"), ("HMGET", p.wf(who), "status", "first")
    )
    return bool(status != b"running" and chain != [b"running", run_id.encode()])
