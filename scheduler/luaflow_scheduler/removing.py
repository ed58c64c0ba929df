"""Removing: runs whose retention is over leave the server."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from luaflow.errors import LuaflowError
from luaflow.store import transitions
from luaflow.store.keys import Partition
from luaflow.store.objects_of import forget_payloads
from luaflow.store.store import Store
from luaflow_scheduler.dates import BROKEN_MS, SOON_MS, Date, run_apart
from luaflow_scheduler.metrics import SchedulerMetrics

log = logging.getLogger(__name__)


async def remove(
    store: Store, p: Partition, due: Sequence[Date], metrics: SchedulerMetrics
) -> list[tuple[Date, int]]:
    """Remove closed runs; return the dates nobody could act on."""
    if not due:
        return []
    ids = await store.read(*(("HGET", p.run(d.member), "wid") for d in due))
    calls = [
        transitions.remove_run(partition=p, workflow_id=bytes(wid or b"").decode(), run_id=d.member)
        for d, wid in zip(due, ids, strict=True)
    ]
    left = []
    for date, answer in zip(due, await run_apart(store, calls), strict=True):
        if isinstance(answer, LuaflowError):
            log.error("removal of the run %s: %s", date.member, answer)
            left.append((date, BROKEN_MS))
        elif answer[0] == b"ok":
            metrics.run_removed()
            await _forget(store, p, date.member)
        elif answer[0] != b"gone":
            left.append((date, SOON_MS))
    return left


async def _forget(store: Store, p: Partition, run_id: str) -> None:
    """Delete what the run has in the object store; what fails now is left to the sweep."""
    try:
        await forget_payloads(store, p.number, run_id)
    except LuaflowError as error:
        log.warning("objects of the run %s stay for now: %s", run_id, error)
