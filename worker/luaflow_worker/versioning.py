"""Which code a run decides with: what it began with, or the newest of its type (design 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luaflow.domain.events import AUTO_UPGRADE, Event
from luaflow.replay.loading import bundle_of
from luaflow_worker.engines import Engines
from luaflow_worker.live import Live


async def code_of(engines: Engines, live: Live | None, events: Sequence[Event]) -> str:
    """The bundle for the next decision of a run: in memory (``live``), or known by its events.

    Only a run that upgrades by itself costs a look at what is deployed. A type that is gone from
    there leaves the run where it is.
    """
    started: Mapping[str, Any] = live.place.started if live else events[0].body
    present = live.place.bundle if live else bundle_of(events)
    if started.get("versioning") != AUTO_UPGRADE:
        return present
    name = started["type"]
    known = (await engines.deployed({name}, set())).workflows.get(name)
    return str(known["bundle"]) if known else present
