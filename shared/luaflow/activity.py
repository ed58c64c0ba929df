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
from dataclasses import dataclass, field
from typing import Any

from luaflow.errors import LuaflowError


@dataclass(frozen=True, slots=True)
class Info:
    """The attempt at hand; all attempts of one activity call share its ``idempotency_key``."""

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

    @property
    def idempotency_key(self) -> str:
        """Return a key for systems outside: one a call, whatever the number of attempts."""
        return f"{self.run_id}/{self.seq}"


class ActivityError(LuaflowError):
    """The activity failed; says of what kind, and whether to try again."""

    def __init__(
        self,
        message: str | None = None,
        *,
        kind: str = "Internal",
        retryable: bool | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Keep what the workflow will see: ``err:kind()``, ``:retryable()``, ``:details()``."""
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable
        self.details = details


@dataclass(slots=True)
class Context:
    """The link between a running activity and its worker (internal)."""

    info: Info
    beat: Callable[[Any], None]
    cancelled: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


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
