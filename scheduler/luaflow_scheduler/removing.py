"""Removing: runs whose retention is over leave the server, into the archive where there is one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from luaflow.archive import Archive, Archived, state_of
from luaflow.domain.events import Event
from luaflow.errors import LuaflowError, NotFound, Unavailable
from luaflow.observe.logs import run_fields
from luaflow.store import keys, transitions
from luaflow.store.keeping import keep_run
from luaflow.store.keys import Partition
from luaflow.store.link import table
from luaflow.store.objects_of import forget_payloads
from luaflow.store.past import read_events
from luaflow.store.store import Store
from luaflow_scheduler.dates import BROKEN_MS, SOON_MS, Date, run_apart
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.retention import Retention

log = logging.getLogger(__name__)

Left = list[tuple[Date, int]]
BUDGET_SECONDS = 0.5
"""How long a partition archives in one go: its timers and leases wait meanwhile."""
LONGEST_SECONDS = 5.0
"""How long one run may take, where the archive hangs."""


async def remove(
    store: Store, p: Partition, due: Sequence[Date], metrics: SchedulerMetrics, rules: Retention
) -> Left:
    """Remove closed runs; return the dates nobody could act on."""
    if not due:
        return []
    due = await _over(store, p, due, rules)
    kept, left, archived = await _archive(store, p, due, metrics, rules)
    ids = await store.read(*(("HGET", p.run(d.member), "wid") for d in kept)) if kept else []
    calls = [
        transitions.remove_run(partition=p, workflow_id=bytes(wid or b"").decode(), run_id=d.member)
        for d, wid in zip(kept, ids, strict=True)
    ]
    for date, answer in zip(kept, await run_apart(store, calls), strict=True):
        if isinstance(answer, LuaflowError):
            text, extra = "removal of the run %s: %s", run_fields(date.member)
            log.error(text, date.member, answer, extra=extra)
            left.append((date, BROKEN_MS))
        elif answer[0] == b"ok":
            metrics.run_removed()
            if not archived:  # what the run has in the object store stays with it
                await _forget(store, p, date.member)
        elif answer[0] != b"gone":
            left.append((date, SOON_MS))
    return left


async def _forget(store: Store, p: Partition, run_id: str) -> None:
    """Delete what the run has in the object store; what fails now is left to the sweep."""
    try:
        await forget_payloads(store, p.number, run_id)
    except LuaflowError as error:
        text = "objects of the run %s stay for now: %s"
        log.warning(text, run_id, error, extra=run_fields(run_id))


async def _over(store: Store, p: Partition, due: Sequence[Date], rules: Retention) -> list[Date]:
    """Those whose retention is over by the rules, too; the others get their later date."""
    wanted = await rules.of(p, [d.member for d in due])
    usual = (await rules.settings()).retention_ms
    later = {}
    for date, one in zip(due, wanted, strict=True):
        if one.pinned:
            later[date] = 0
        elif not one.settled and (one.ms or 0) > usual:
            later[date] = (one.ms or 0) - usual
    await run_apart(
        store,
        [
            keep_run(partition=p, run_id=date.member, verb="settle", ms=ms)
            for date, ms in later.items()
        ],
    )
    return [date for date in due if date not in later]


async def _archive(
    store: Store,
    p: Partition,
    due: Sequence[Date],
    metrics: SchedulerMetrics,
    rules: Retention,
) -> tuple[list[Date], Left, bool]:
    """Bring runs into the archive, where there is one (the last of what is returned).

    The first: those that may go; the second: those that have to wait.
    """
    try:
        archive = await rules.archive()
        if archive is None:
            return list(due), [], False
    except LuaflowError as error:
        rules.archive_failed(error)
        metrics.archive_failed()
        return [], [(date, BROKEN_MS) for date in due], True
    kept: list[Date] = []
    end = time.monotonic() + BUDGET_SECONDS
    for at, date in enumerate(due):
        if time.monotonic() > end:  # the timers of the partition wait for this
            return kept, [(one, 0) for one in due[at:]], True
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await _bring(store, p, date.member, archive)
        except (LuaflowError, OSError, ValueError) as error:  # (a TimeoutError is an OSError)
            said = error if str(error) else Unavailable("the archive does not answer")
            rules.archive_failed(said)
            metrics.archive_failed()
            if isinstance(said, Unavailable):  # the others wait, too
                return kept, [(one, BROKEN_MS) for one in due[at:]], True
            rest = [(one, SOON_MS) for one in due[at + 1 :]]
            return kept, [(date, BROKEN_MS), *rest], True
        kept.append(date)
    if kept:
        rules.archive_works()
    return kept, [], True


async def _bring(store: Store, p: Partition, run_id: str, archive: Archive) -> None:
    assert store.border is None, "what was opened is not to be archived"
    (flat,) = await store.read(("HGETALL", p.run(run_id)))
    fields = table(flat)
    if fields.get("status", b"running") == b"running":
        return  # (removing it is refused)
    events: list[Event] = []
    while page := await read_events(store, p, run_id, len(events) + 1):
        events += page
    if len(events) != int(fields["len"]):
        raise NotFound(f"the history of the run {run_id} is not whole: it is not archived")
    bundle = fields.get("bundle", b"").decode()
    (code,) = await store.read(("GET", keys.bundle(store.namespace, bundle)))
    if code is not None:
        await archive.put_bundle(bundle, bytes(code))
    await archive.put(Archived(fields["wid"].decode(), run_id, state_of(fields), events))
