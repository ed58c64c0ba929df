"""The place of a run in the world, read from its first event."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from luaflow.domain.chains import deadline_of
from luaflow.domain.events import AUTO_UPGRADE, Event
from luaflow.domain.failure import Invalid
from luaflow.domain.headers import Headers, read_headers, trace_id_of
from luaflow.observe.logs import run_fields
from luaflow.registry.bundle import Bundle
from luaflow.registry.schemas import check_output
from luaflow.replay.loading import pid_of
from luaflow.store.store import Store
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Place:
    """The place of a run in the world: what its commands need to know besides themselves.

    ``deadline`` is when the execution timeout of its chain is over (0: never), ``now`` the
    namespace time of its present decision, both in ms; ``headers`` is the trace that what it asks
    for belongs to.
    """

    route: Route
    type: str
    bundle: str
    host: str
    client: str
    started: dict[str, Any]
    parent: dict[str, Any] | None
    partitions: int
    payload_max: int
    payload_warn: int
    began: int
    """When the run was started, in ms."""
    activity_options: Mapping[str, Mapping[str, Any]]
    output_schema: str = ""
    search: dict[str, Any] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)
    children: dict[int, str] = field(default_factory=dict)
    namespace: str = ""
    deadline: int = 0
    now: int = 0
    headers: Headers | None = None

    @property
    def pid(self) -> str:
        """Return the PID of the run, as its code and its parent know it."""
        return pid_of(self.started)

    @property
    def upgrades(self) -> bool:
        """Whether the run moves to the newest code of its type, at each of its tasks."""
        return self.started.get("versioning") == AUTO_UPGRADE

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields of a log line about the run."""
        return run_fields(
            self.route,
            workflow_type=self.type,
            attempt=self.started.get("attempt", 1),
            trace_id=trace_id_of(self.headers),
        )

    def check_size(self, data: bytes, what: str) -> None:
        """Raise Invalid for data over the namespace's limit of a payload; warn of much."""
        size = len(data)
        if size > self.payload_max:
            limit = f"the limit is {self.payload_max}: pass a reference instead"
            raise Invalid(f"{what} has {size} bytes; {limit}")
        if size > self.payload_warn:
            log.warning(
                "workflow %s: %s has %d bytes; from %d on, pass a reference instead",
                self.route.workflow_id,
                what,
                size,
                self.payload_warn,
                extra=self.log_fields,
            )

    def check_output(self, result: bytes) -> None:
        """Raise Invalid for a result that does not follow the output schema.

        It is asked for at a new close only; a replay goes by what was recorded.
        """
        if self.output_schema:
            check_output(self.output_schema, orjson.loads(result), f"workflow {self.type}")


def make_place(store: Store, route: Route, first: Event, parent: str, bundle: Bundle) -> Place:
    """Return the place of a run; ``parent`` is the text of its ``parent`` field ('' = none)."""
    started = first.body
    return Place(
        route=route,
        type=started["type"],
        bundle=started["bundle"],
        host=started.get("host", ""),
        client=started.get("client", ""),
        started=started,
        parent=orjson.loads(parent) if parent else None,
        partitions=len(store.partitions),
        activity_options=bundle.activity_options,
        output_schema=bundle.output_schema,
        payload_max=store.settings.largest_bytes,
        payload_warn=store.settings.payload_warn_bytes,
        began=first.ts,
        search=dict(started.get("search_attributes") or {}),
        memo=dict(started.get("memo") or {}),
        namespace=store.namespace,
        deadline=deadline_of(started, first.ts),
        headers=read_headers(started.get("headers")),
    )
