"""Who is there: the typed door to the scripts about processes, and not about runs.

They touch keys of the namespace, outside its partitions, and nothing rests on their durability.
"""

from __future__ import annotations

from luaflow.store import keys
from luaflow.store.link import Call
from luaflow.store.scripts import load

RECORD_MS = 60_000
"""How long a worker that went silent is still taken to be there."""


def announce(*, namespace: str, worker: str, record: bytes) -> Call:
    """Say that a worker lives; ``record`` is what it says of itself (JSON)."""
    names = [keys.worker(namespace, worker), keys.workers(namespace)]
    return Call(load("announce"), names, [worker, record, RECORD_MS])


def lead(*, namespace: str, scheduler: str, ms: int) -> Call:
    """Ask to be the scheduler that exports the gauges for ``ms``; 0: let another one be it."""
    return Call(load("lead"), [keys.leader(namespace)], [scheduler, ms])
