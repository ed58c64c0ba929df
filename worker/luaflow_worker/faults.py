"""Why a decision could not be made, as metrics count it and as describe shows it."""

from __future__ import annotations

from typing import Any

import orjson

from luaflow.errors import LuaflowError, Unavailable, Unknown
from luaflow.lua.vm import ActivationFault, LoadError
from luaflow.replay.decider import NonDeterminism
from luaflow_worker.engines import MissingBundle, NewerRuntime
from luaflow_worker.metrics import Reason

FAULTS = (NonDeterminism, ActivationFault, LoadError, MissingBundle, NewerRuntime)
"""What fails a workflow task, never the run."""

MESSAGE_CHARACTERS = 4000


class EngineFault(LuaflowError):
    """Something nobody foresaw went wrong with one run."""


class NoRoom(LuaflowError):
    """The server has no memory for another run."""


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
