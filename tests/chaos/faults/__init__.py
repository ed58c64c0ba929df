"""The faults of a chaos run, by name; one small class each."""

from __future__ import annotations

from tests.chaos.faults.base import Ambient, Fault
from tests.chaos.faults.clocks import ServerClocks, WorkerClocks
from tests.chaos.faults.memory import AofErrors, EvictionChanges, OutOfMemory
from tests.chaos.faults.network import (
    DelayedRequests,
    DuplicatedRequests,
    DuplicatedTasks,
    HalfOpen,
    LostReplies,
    LostRequests,
    SlowLinks,
)
from tests.chaos.faults.processes import SchedulerKills, WorkerKills, WorkerPauses
from tests.chaos.faults.server import ClientKills, ScriptFlushes, ServerKills, ServerPauses

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        WorkerKills(),
        SchedulerKills(),
        WorkerPauses(),
        ServerKills(),
        ServerPauses(),
        LostReplies(),
        LostRequests(),
        DelayedRequests(),
        DuplicatedRequests(),
        DuplicatedTasks(),
        HalfOpen(),
        SlowLinks(),
        ScriptFlushes(),
        ClientKills(),
        WorkerClocks(),
        ServerClocks(),
        OutOfMemory(),
        EvictionChanges(),
        AofErrors(),
    )
}
"""All of them."""

__all__ = ["FAULTS", "Ambient", "Fault"]
