"""Reading how long the runs of a workflow are kept: `retention` of its registration."""

from __future__ import annotations

from typing import Final

from luaflow.domain.events import CLOSING
from luaflow.registry.fields import Fields

ANY = "any"
OUTCOMES: Final = (*CLOSING.values(), ANY)


def read_retention(meta: Fields) -> dict[str, int] | None:
    """Milliseconds by outcome, `any` for those without one; None where the key is missing."""
    if meta.raw("retention") is None:
        return None
    if not isinstance(meta.raw("retention"), dict):
        return {ANY: _time(meta, "retention")}
    inner = meta.mapping("retention")
    found = {
        outcome: _time(inner, outcome) for outcome in OUTCOMES if inner.raw(outcome) is not None
    }
    for key in sorted(set(inner.data) - set(OUTCOMES)):
        inner.error(key, "is no outcome of a run", f"there are {', '.join(OUTCOMES)}")
    return found


def _time(fields: Fields, key: str) -> int:
    ms = fields.duration(key, 0)
    if ms < 1:
        fields.error(key, "must be at least a millisecond", 'write a duration, such as "24h"')
    return ms
