"""What a Python activity may ask of its run: who am I, I am alive, am I to stop?

Works in ``async def`` activities and in plain ones, which run in a thread::

    from luaflow import activity

    def charge(order):
        key = activity.info().idempotency_key
        activity.heartbeat({"step": 1})
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from luaflow.errors import Failed, LuaflowError


@dataclass(frozen=True, slots=True)
class Info:
    """The attempt at hand; all attempts of one activity call share its ``idempotency_key``.

    A plain job has a ``job_id``, and no ``workflow_id`` and ``workflow_type``. ``traceparent`` is
    the trace it belongs to (W3C), for requests to other systems; '' without one.
    """

    activity: str
    attempt: int
    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    seq: int
    start_to_close_ms: int
    heartbeat_timeout_ms: int
    heartbeat_details: Any = None
    job_id: str = ""
    traceparent: str = ""

    @property
    def idempotency_key(self) -> str:
        """Return a key for systems outside: one a call, whatever the number of attempts."""
        return f"{self.run_id}/{self.seq}"


class ActivityError(Failed):
    """The activity failed; says of what kind, and whether to try again."""


@dataclass(slots=True)
class Context:
    """The link between a running activity and its worker (internal).

    ``token`` makes the text that somebody else may complete the activity by, where that can be;
    ``looks``: its code asks whether it is cancelled, and decides itself how it ends.
    """

    make_info: Callable[[], Info]
    beat: Callable[[Any], None]
    cancelled: bool = False
    token: Callable[[], str] | None = None
    deferred: bool = False
    looks: bool = False
    _info: Info | None = None

    @property
    def info(self) -> Info:
        """What its code may know of the attempt; most code never asks."""
        if self._info is None:
            self._info = self.make_info()
        return self._info


current: ContextVar[Context | None] = ContextVar("luaflow_activity", default=None)


def _context() -> Context:
    context = current.get()
    if context is None:
        raise LuaflowError("luaflow.activity can only be used while an activity runs")
    return context


def info() -> Info:
    """Return what is known of the attempt at hand; LuaflowError outside an activity."""
    return _context().info


def heartbeat(details: Any = None) -> None:
    """Say that the activity is alive; ``details`` (plain data) are there for the next attempt."""
    _context().beat(details)


def is_cancelled() -> bool:
    """Return whether the workflow asked this activity to stop."""
    return _context().cancelled


def defer() -> str:
    """Leave the activity open when the handler returns; return the token that completes it.

    Hand the token to whoever will call ``Client.complete_activity``, ``fail_activity`` or
    ``heartbeat_activity``. What the handler returns is ignored; its timeouts go on running. Raises
    LuaflowError where nobody could complete it: in a local activity, in a function called here.
    """
    context = _context()
    if context.token is None:
        raise LuaflowError(NOT_DEFERRED)
    context.deferred = True
    return context.token()


NOT_DEFERRED = (
    "only an activity that a queue or a workflow's history knows can be deferred: not a local"
    " activity, and not a function that is called directly"
)
