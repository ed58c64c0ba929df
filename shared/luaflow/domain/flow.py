"""Flow control: how many runs of a type there may be at once, and how many may begin in a while.

What an entry says (``concurrency``, ``rate_limit``) is deployed with its workflow type, as JSON.
Whoever starts a run reads it and asks the entity in question: a slot is a lock of ``limit`` holders
(``luaflow.domain.locks``), a rate limit a row of free moments (``scripts/reserve.lua``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

QUEUE: Final = "queue"
CANCEL_RUNNING: Final = "cancel_running"
DROP_NEW: Final = "drop_new"
STRATEGIES: Final = (QUEUE, CANCEL_RUNNING, DROP_NEW)
_INPUT: Final = "input"
_LONGEST: Final = 100


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most ``limit`` runs at once for each value of ``key`` ('' = one limit for all)."""

    limit: int
    key: str = ""
    strategy: str = QUEUE


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``limit`` starts at once, and then one each ``per_ms / limit``; by ``key``, too."""

    limit: int
    per_ms: int
    key: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """What holds for the runs of ``scope``: a workflow type, or the id of a worker entry.

    ``priority`` is theirs where a start names none (``luaflow.domain.lanes``), 0 for the usual one.
    """

    scope: str = ""
    concurrency: Concurrency | None = None
    rate_limit: RateLimit | None = None
    priority: int = 0

    def to_text(self) -> str:
        """The JSON that is deployed; nothing where nothing is limited."""
        if not self.concurrency and not self.rate_limit and not self.priority:
            return ""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_text(cls, text: str) -> Flow:
        """Read what ``to_text`` wrote."""
        found = orjson.loads(text) if text else {}
        concurrency, rate = found.get("concurrency"), found.get("rate_limit")
        return cls(
            found.get("scope", ""),
            Concurrency(**concurrency) if concurrency else None,
            RateLimit(**rate) if rate else None,
            int(found.get("priority", 0)),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What stands before the first task of a run: the slot it asks for, the rate it obeys."""

    slot: dict[str, Any] | None = None
    rate: dict[str, Any] | None = None


def plan(text: str, type: str, args: Sequence[Any]) -> Plan | None:
    """What a start of a deployed type must ask for; None for nearly all.

    ``args`` as they stand in the first event (encoded).
    """
    if not text:
        return None
    flow = Flow.from_text(text)
    slot, rate = None, None
    if flow.rate_limit:
        rate = rate_of(flow.rate_limit, f"start\n{group_of(flow.scope, flow.rate_limit.key, args)}")
    if flow.concurrency:
        key = f"slot\n{group_of(flow.scope, flow.concurrency.key, args)}"
        slot = {"key": key, "limit": flow.concurrency.limit, "type": type}
        slot |= {"strategy": flow.concurrency.strategy} | ({"rate": rate} if rate else {})
    return Plan(slot, None if slot else rate)


def rate_of(limit: RateLimit, key: str) -> dict[str, Any]:
    """A rate limit as it travels; users' keys have no line ends, so they never meet these."""
    return {"key": key, "limit": limit.limit, "per_ms": limit.per_ms}


def group_of(scope: str, key: str, args: Sequence[Any]) -> str:
    """Which of the groups a run is in; a fixed key is shared by all types that name it."""
    head, *path = key.split(".")
    if head != _INPUT:
        return f"\n{key}" if key else f"{scope}\n"
    value = args[0] if args else None
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if len(text.encode()) > _LONGEST:
        text = hashlib.sha256(text.encode()).hexdigest()
    return f"{scope}\n{text}"
