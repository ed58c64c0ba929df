"""What became of attempts of plain jobs, told to the server together: one round trip for many."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from luaflow.errors import LuaflowError
from luaflow.store import attempts
from luaflow.store.attempts import Proof
from luaflow.store.link import Call
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_worker.attempt import Attempt, Verdict

log = logging.getLogger(__name__)

MOST = 500
"""Reports of one pipeline: what comes later waits for the next one."""


class Reports:
    """Sends reports as they come; those that come while some are on their way go with the next."""

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], Any]) -> None:
        """``spawn`` runs a coroutine in the background of the activities."""
        self._store = store
        self._spawn = spawn
        self._waiting: list[tuple[Attempt, Call]] = []
        self._sending = False

    def add(self, attempt: Attempt, end: Verdict) -> None:
        """Report how an attempt ended."""
        self._waiting.append((attempt, report_of(attempt, end)))
        if not self._sending:
            self._sending = True
            self._spawn(self._send())

    async def _send(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                answers = await self._store.apart(*(call for _, call in some))
                for (attempt, _), answer in zip(some, answers, strict=True):
                    if isinstance(answer, LuaflowError):
                        log.error("the job %s cannot be reported: %s", attempt.workflow_id, answer)
        finally:
            self._sending = False


def report_of(attempt: Attempt, end: Verdict) -> Call:
    """The call that tells of an attempt of a job: its outcome, or that another one follows."""
    proof, seq = Proof(token=attempt.token), str(attempt.seq)
    if end.delay is None:
        route = Route(attempt.partition, attempt.workflow_id, attempt.run_id, attempt.queue)
        return attempts.finish_activity(
            route=route, seq=seq, proof=proof, type=end.event, body=end.body
        )
    return attempts.retry_activity(
        partition=attempt.partition,
        run_id=attempt.run_id,
        seq=seq,
        proof=proof,
        delay=end.delay,
        failure=end.body,
        details=end.details,
    )
