"""What a namespace takes of the server's memory, by kind; measured by samples, not counted.

Counters in the scripts would cost every commit; a sample costs the same whatever a namespace holds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product
from typing import Any

from luaflow.domain.events import CLOSING
from luaflow.store import keys
from luaflow.store.bundles import named_by_tables
from luaflow.store.keys import Partition
from luaflow.store.link import Arg
from luaflow.store.store import Store

KINDS = ("open_runs", "closed_runs", "index", "outboxes", "bundles")
SAMPLE = 64
"""Runs of each kind whose keys are measured."""
OUTBOXES = 1024
"""Outboxes measured at most; there are as many as pairs of partitions."""


async def measure(store: Store) -> dict[str, int]:
    """Bytes by kind: runs are estimated from a sample, the rest is measured."""
    p = store.partitions
    index = [key for one in p for key in (one.vis, one.gc, one.timers, one.leases, one.meta)]
    pairs = list(product(p, range(len(p))))
    some = random.sample(pairs, min(OUTBOXES, len(pairs)))
    boxes = await _usage(store, [one.outbox(n) for one, n in some])
    return {
        "open_runs": await _of_runs(store, ("running",)),
        "closed_runs": await _of_runs(store, tuple(CLOSING.values())),
        "index": sum(await _usage(store, index)),
        "outboxes": sum(boxes) * len(pairs) // len(some),
        "bundles": await _bundles(store),
    }


async def _of_runs(store: Store, statuses: Sequence[str]) -> int:
    """The bytes of the runs that have one of these statuses."""
    places = list(product(store.partitions, statuses))
    ranges = [(p, f"[status\0{status}\0", f"(status\0{status}\x01") for p, status in places]
    counts = await store.read(*(("ZLEXCOUNT", p.vis, low, high) for p, low, high in ranges))
    total: int = sum(counts)
    if not total:
        return 0
    chosen = random.choices(range(len(places)), counts, k=min(SAMPLE, total))
    commands: list[tuple[Arg, ...]] = []
    for n in chosen:
        p, low, high = ranges[n]
        at = random.randrange(counts[n])
        commands.append(("ZRANGEBYLEX", p.vis, low, high, "LIMIT", at, 1))
    found = await store.read(*commands)
    runs = [
        (places[n][0], bytes(members[0]).rpartition(b"\0")[2].decode())
        for n, members in zip(chosen, found, strict=True)
        if members
    ]
    names = [name for p, run_id in runs for name in _names(p, run_id)]
    return sum(await _usage(store, names)) * total // max(1, len(runs))


def _names(p: Partition, run_id: str) -> list[str]:
    return [p.run(run_id), p.hist(run_id), p.pend(run_id)]


async def _bundles(store: Store) -> int:
    namespace = store.namespace
    names = sorted(await named_by_tables(store))
    return sum(await _usage(store, [keys.bundle(namespace, name) for name in names]))


async def _usage(store: Store, names: Sequence[str]) -> list[int]:
    """The bytes of keys; 0 for one that is gone, or where the server does not tell."""
    if not names:
        return []
    answers: list[Any] = await store.ask(*(("MEMORY", "USAGE", name) for name in names))
    return [answer if isinstance(answer, int) else 0 for answer in answers]
