"""Reading the keys of an entry that control its flow: `concurrency`, `rate_limit`, `priority`."""

from __future__ import annotations

import re
from typing import Any, Final

from luaflow.domain.flow import STRATEGIES, Concurrency, Flow, RateLimit
from luaflow.registry.entries import WorkerEntry, WorkflowEntry
from luaflow.registry.fields import Fields

_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\Z")
_MOST: Final = 1_000_000
LEVELS: Final = (1, 5)
"""The first and the last priority; 3 is the usual one."""


def read_flow(fields: Fields) -> dict[str, Any]:
    """What limits the runs of a workflow, or of all workflows of a worker."""
    return {
        "concurrency": _concurrency(fields),
        "rate_limit": read_rate_limit(fields),
        "priority": read_priority(fields),
    }


def flow_of(entry: WorkflowEntry, worker: WorkerEntry) -> Flow:
    """What limits the runs of a workflow: what it says itself, else what its worker says.

    What the worker says is one limit over all its workflows.
    """
    priority = entry.priority or worker.priority
    if entry.concurrency or entry.rate_limit:
        return Flow(entry.type_name, entry.concurrency, entry.rate_limit, priority)
    return Flow(worker.id, worker.concurrency, worker.rate_limit, priority)


def _concurrency(fields: Fields) -> Concurrency | None:
    if fields.raw("concurrency") is None:
        return None
    if not isinstance(fields.raw("concurrency"), dict):
        limit = _limit(fields, "concurrency")
        return Concurrency(limit) if limit else None
    inner = fields.mapping("concurrency")
    limit, key = _required_limit(inner), _key(inner)
    strategy = inner.choice("strategy", STRATEGIES) or STRATEGIES[0]
    inner.unknown()
    return Concurrency(limit, key, strategy) if limit else None


def read_rate_limit(fields: Fields) -> RateLimit | None:
    """At most so many starts in a while; None where the key is missing, or wrong."""
    if fields.raw("rate_limit") is None:
        return None
    inner = fields.mapping("rate_limit")
    if not isinstance(fields.raw("rate_limit"), dict):
        return None
    limit, key, per = _required_limit(inner), _key(inner), inner.duration("per", 1000)
    if per < 1:
        inner.error("per", "must be at least a millisecond", 'write a duration, such as "1m"')
    inner.unknown()
    return RateLimit(limit, per, key) if limit and per >= 1 else None


def read_priority(fields: Fields) -> int:
    """1 goes first, 5 last; 0 where the key is missing."""
    value = fields.get("priority")
    first, last = LEVELS
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not first <= value <= last:
        fields.error(
            "priority", f"must be a whole number from {first} to {last}, got {value!r}", "write 3"
        )
        return 0
    return value


def _required_limit(inner: Fields) -> int:
    if inner.raw("limit") is None:
        inner.error("limit", "is required", "add limit: 1")
        return 0
    return _limit(inner, "limit")


def _limit(fields: Fields, key: str) -> int:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        fields.error(key, f"must be a whole number from 1 to {_MOST}, got {value!r}", "write 1")
        return 0
    return value


def _key(inner: Fields) -> str:
    key = inner.text("key")
    if key and (not _KEY.match(key) or len(key) > 100):
        inner.error(
            "key",
            f"must be a name, or a path into the first argument, got {key!r}",
            "write key: input.customer_id",
        )
        return ""
    return key
