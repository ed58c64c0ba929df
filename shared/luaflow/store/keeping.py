"""How long closed runs are kept: the rules, and the typed door to the script that applies them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from luaflow.domain.durations import duration_ms
from luaflow.domain.events import CLOSING
from luaflow.errors import InvalidArgument
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.scripts import load

OUTCOMES = tuple(CLOSING.values())
ANY = "any"
"""The outcome of a rule that is for all that have none of their own."""
MOST_MS = 100 * 365 * 24 * 3600 * 1000


def keep_run(
    *, partition: Partition, run_id: str, verb: Literal["pin", "unpin", "settle"], ms: int = 0
) -> Call:
    """Pin or unpin a run, or say in how many ms a closed one goes (0: when it would anyway)."""
    p = partition
    return Call(load("keep_run"), [p.meta, p.run(run_id), p.gc], [run_id, verb, ms])


def parse_rules(given: object) -> dict[str, int]:
    """Rules of retention, in ms by outcome; InvalidArgument for what is none.

    ``"24h"``, or ``{"completed": "24h", "failed": "720h", "any": "48h"}``.
    """
    rules = given if isinstance(given, Mapping) else {ANY: given}
    found = {}
    for outcome, time in rules.items():
        if outcome not in (*OUTCOMES, ANY):
            known = ", ".join((*OUTCOMES, ANY))
            raise InvalidArgument(f"retention: {outcome!r} is no outcome; there are {known}")
        ms = duration_ms(time, f"retention {outcome}")
        if not 1 <= ms <= MOST_MS:
            raise InvalidArgument(f"retention {outcome} must be 1ms to 100 years, not {time}")
        found[str(outcome)] = ms
    return found


def kept_for(status: str, *rules: Mapping[str, int]) -> int | None:
    """The ms a run of that outcome is kept: by the first rules that say so; None: as usual."""
    for one in rules:
        if status in one:
            return one[status]
        if ANY in one:
            return one[ANY]
    return None
