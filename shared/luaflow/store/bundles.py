"""Code bundles: which there are, and who names one (design 8)."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from itertools import product

from luaflow.store import keys
from luaflow.store.deployed import DeployedType
from luaflow.store.keys import Partition
from luaflow.store.link import Arg
from luaflow.store.scanning import slices
from luaflow.store.store import Store

SLICE = 200
"""Runs, or messages of an outbox, looked at in one go."""
BOXES = 64
"""Outboxes looked at in one go."""
_NAMED = re.compile(rb'"bundle":"([^"]+)"')


async def there_are(store: Store) -> AsyncGenerator[set[str], None]:
    """The bundles of the namespace, a slice of the servers' keys at a time.

    One on a server that joins meanwhile may be left out.
    """
    start = keys.bundle(store.namespace, "")
    async for found in slices(store, f"{start}*"):
        yield {bytes(key).decode().removeprefix(start) for key in found}


async def named_by_tables(store: Store) -> set[str]:
    """The bundles of deployed types and builds: what a start may begin with."""
    tables = (keys.types(store.namespace), keys.builds(store.namespace))
    found = await store.read(*(("HVALS", table) for table in tables))
    return {DeployedType.from_bytes(text).bundle for texts in found for text in texts}


async def named_by_messages(store: Store) -> AsyncGenerator[set[str], None]:
    """The bundles of starts that are under way between partitions, and of whatever looks so."""
    p = store.partitions
    boxes = [one.outbox(number) for one, number in product(p, range(len(p)))]
    for at in range(0, len(boxes), BOXES):
        after = dict.fromkeys(boxes[at : at + BOXES], "-")
        while after:
            pages = await store.read(
                *(("XRANGE", box, low, "+", "COUNT", SLICE) for box, low in after.items())
            )
            entries = dict(zip(after, pages, strict=True))
            yield {
                name.decode()
                for page in pages
                for _, fields in page
                for field in fields
                for name in _NAMED.findall(field)
            }
            after = {
                box: f"({bytes(page[-1][0]).decode()}"
                for box, page in entries.items()
                if len(page) == SLICE
            }


async def named_by_runs(store: Store, p: Partition) -> AsyncGenerator[set[str], None]:
    """The bundles of the runs of a partition, open and kept, and of what follows on them."""
    low: Arg = "[status\0"
    while True:
        (members,) = await store.read(("ZRANGEBYLEX", p.vis, low, "(status\x01", "LIMIT", 0, SLICE))
        if not members:
            return
        runs = [bytes(member).rpartition(b"\0")[2].decode() for member in members]
        states = await store.read(*(("HMGET", p.run(run), "bundle", "n:bundle") for run in runs))
        yield {bytes(name).decode() for state in states for name in state if name}
        low = b"(" + bytes(members[-1])


async def keep(store: Store, names: set[str]) -> int:
    """Take back that these bundles go; return of how many that was so."""
    wanted = [keys.bundle(store.namespace, name) for name in sorted(names)]
    return sum(await store.read(*(("PERSIST", key) for key in wanted))) if wanted else 0


async def let_go(store: Store, names: set[str], ms: int) -> list[str]:
    """Have bundles go in ``ms``; return those that did not go already."""
    wanted = [(name, keys.bundle(store.namespace, name)) for name in sorted(names)]
    left = await store.read(*(("PTTL", key) for _, key in wanted)) if wanted else []
    fresh = [one for one, ttl in zip(wanted, left, strict=True) if ttl == -1]
    if fresh:
        await store.read(*(("PEXPIRE", key, ms) for _, key in fresh))
    return [name for name, _ in fresh]
