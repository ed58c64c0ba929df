"""From a stored bundle to what the door around Lua loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luaflow.domain.events import AUTO_UPGRADE, TASK_COMPLETED, Event
from luaflow.domain.ids import Pid
from luaflow.lua.vm import BundleSource
from luaflow.registry.bundle import Bundle


def source_of(bundle: Bundle) -> BundleSource:
    """Return a bundle's code as the engine takes it; each library is one object."""
    made: dict[str, BundleSource] = {}

    def build(entry_id: str) -> BundleSource:
        if entry_id not in made:
            chunk = bundle.chunks[entry_id]
            made[entry_id] = BundleSource(
                entry_id=entry_id,
                source=chunk.text,
                chunkname=chunk.name,
                method=(bundle.method or "main") if entry_id == bundle.entry_id else "",
                modules=chunk.modules,
                imports={alias: build(target) for alias, target in sorted(chunk.imports.items())},
            )
        return made[entry_id]

    return build(bundle.entry_id)


def bundle_of(events: Sequence[Event]) -> str:
    """Return the bundle of a history's last decision: that of its first event, or a newer one.

    Only a run that upgrades by itself moves to others; each of its decisions names its own.
    """
    started = events[0].body
    if started.get("versioning") == AUTO_UPGRADE:
        for event in reversed(events):
            if event.type == TASK_COMPLETED and "bundle" in event.body:
                return str(event.body["bundle"])
    return str(started["bundle"])


def run_info(
    namespace: str,
    workflow_id: str,
    run_id: str,
    started: Mapping[str, Any],
    bundle: Bundle,
    pid: str,
) -> dict[str, Any]:
    """Return what ``workflow.info()``, ``process.pid()`` and ``process.id()`` answer in a run.

    All of it stands in the first event or in the bundle, so it is the same at every replay.
    """
    return {
        "workflow_id": workflow_id,
        "run_id": run_id,
        "workflow_type": started["type"],
        "task_queue": started["task_queue"],
        "namespace": namespace,
        "attempt": started.get("attempt", 1),
        "pid": pid,
        "entry_id": bundle.entry_id,
        "local_activities": list(bundle.local_activities),
    }


def pid_of(started: Mapping[str, Any]) -> str:
    """Return a run's PID: given by its parent, or client, worker entry and workflow id."""
    given = started.get("pid")
    if given:
        return str(given)
    return str(Pid(started.get("client", ""), started.get("host", ""), started["workflow_id"]))
