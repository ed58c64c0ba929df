"""Continue-as-new with many messages: they are carried into the next run's history in slices."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from luaflow.errors import LuaflowError
from luaflow.observe.logs import run_fields
from luaflow.store.chains import continue_slice
from luaflow.store.keys import Partition
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_scheduler.dates import BROKEN_MS, SOON_MS, Date, run_apart

log = logging.getLogger(__name__)


async def carry_over(store: Store, p: Partition, due: Sequence[Date]) -> list[tuple[Date, int]]:
    """Make one slice of each run that continues as new; return the dates nobody could act on.

    A date stays due until the last slice: the next look goes on, be it another scheduler's.
    """
    if not due:
        return []
    answers = await store.read(
        *(("HMGET", p.run(d.run_id), "wid", "queue") for d in due),
        *(("HMGET", p.pend(d.run_id), "n:next", "n:slices") for d in due),
    )
    calls = []
    for date, run, left_to_do in zip(due, answers, answers[len(due) :], strict=False):
        workflow_id, queue, next_run, cursor = (
            bytes(f or b"").decode() for f in (*run, *left_to_do)
        )
        route = Route(p, workflow_id, date.run_id, queue)
        calls.append(continue_slice(route=route, next_run=next_run, cursor=int(cursor or 0)))
    left = []
    for date, call, answer in zip(due, calls, await run_apart(store, calls), strict=True):
        if isinstance(answer, LuaflowError):
            text, extra = "continue-as-new of the run %s: %s", run_fields(date.run_id)
            log.error(text, date.run_id, answer, extra=extra)
            left.append((date, BROKEN_MS))
        elif answer[0] == b"changed" and not call.args[1]:
            left.append((date, SOON_MS))  # nothing says what to carry over
    return left
