"""Why a decision could not be made, as metrics count it and as describe shows it."""

from __future__ import annotations

import logging
from typing import Any

import orjson

from luaflow.domain.sealed import SealedPayload
from luaflow.errors import LuaflowError, Unavailable, Unknown
from luaflow.lua.vm import ActivationFault, LoadError
from luaflow.observe.logs import run_fields
from luaflow.replay.decider import NonDeterminism
from luaflow.store import transitions
from luaflow.store.link import Call
from luaflow.store.transitions import Route
from luaflow_worker.engines import MissingBundle, NewerRuntime
from luaflow_worker.metrics import Reason

log = logging.getLogger(__name__)

FAULTS = (NonDeterminism, ActivationFault, LoadError, MissingBundle, NewerRuntime, SealedPayload)
"""What fails a workflow task, never the run."""

MESSAGE_CHARACTERS = 4000
PAUSE_MS = 1000
"""Pause after a decision failed; doubled with each failure in a row, by the script."""
LONGEST_PAUSE_MS = 60_000
"""The longest: whatever heals the run, it goes on within a minute."""
COSTLY_PAUSE_MS = 16 * 60_000
"""The same where each try costs its worker a second of its time, or its engine."""
COSTLY = ("cpu", "memory")


class EngineFault(LuaflowError):
    """Something nobody foresaw went wrong with one run."""


class NoRoom(LuaflowError):
    """The server has no memory for another run."""


def tell_broken(route: Route, fields: dict[str, Any], error: Exception) -> None:
    """Log what failed behind a commit, which stands."""
    text = "what follows a commit of the run %s failed"
    log.error(text, route.run_id, extra=fields, exc_info=error)


def tell_stuck(route: Route, type: str, fault: LuaflowError) -> None:
    """Say in the log that a run is stuck, and why."""
    text, extra = "workflow %s (run %s) is stuck: %s", run_fields(route, workflow_type=type)
    log.error(text, route.workflow_id, route.run_id, fault, extra=extra)


def fault_of(error: Exception) -> LuaflowError:
    """Return what fails the workflow task of one run; a server that is away is no run's fault."""
    if isinstance(error, (Unavailable, Unknown)):
        raise error
    if isinstance(error, FAULTS):
        return error
    return EngineFault(f"{type(error).__name__}: {error}")


def fault_of_commit(answer: LuaflowError | list[Any]) -> LuaflowError:
    """What kept a decision from being written; an answer is that of a server that is full."""
    if isinstance(answer, LuaflowError):
        return fault_of(answer)
    return NoRoom(
        "Redis is short of memory: the next run of this chain is not opened yet; it is tried again"
        " until there is room; raise maxmemory or shorten the retention"
    )


def reason_of(fault: LuaflowError) -> Reason:
    """Return the word for a fault, from a closed list."""
    if isinstance(fault, NonDeterminism):
        return "nondeterminism"
    if isinstance(fault, MissingBundle):
        return "bundle"
    if isinstance(fault, NewerRuntime):
        return "runtime"
    if isinstance(fault, LoadError):
        return "load"
    if isinstance(fault, NoRoom):
        return "no_room"
    if not isinstance(fault, ActivationFault):
        return "engine"
    if fault.reason == "cpu":
        return "cpu"
    return "memory" if fault.reason == "memory" else "engine"


def stuck_text(fault: LuaflowError, worker: str) -> bytes:
    """Return the run's ``stuck`` field (JSON): reason, message, worker, where it diverged."""
    text: dict[str, Any] = {
        "reason": reason_of(fault),
        "message": fault.message[:MESSAGE_CHARACTERS],
        "worker": worker,
    }
    if isinstance(fault, NonDeterminism):
        text |= {"event_id": fault.event_id, "expected": fault.expected, "got": fault.got}
        text["line"] = fault.line
    return orjson.dumps(text)


def fail_call(route: Route, turn: int, worker: str, fault: LuaflowError) -> Call:
    """The transition that says of a run's task that it failed, and when it is tried again."""
    longest = COSTLY_PAUSE_MS if reason_of(fault) in COSTLY else LONGEST_PAUSE_MS
    return transitions.fail_task(
        route=route,
        turn=turn,
        worker=worker,
        delay=PAUSE_MS,
        reason=stuck_text(fault, worker),
        cap=longest,
    )
