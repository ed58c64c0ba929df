"""Which runs are stuck, and on what: read from their state, and from what they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from luaflow.domain.poison import is_parked
from luaflow.store.keys import Partition
from luaflow.store.store import Store

REASONS: Final = (
    *("nondeterminism", "bundle", "runtime", "load", "cpu", "memory", "engine", "lost"),
    "activity",
)
"""Every word for why a run is stuck; ``activity``: one of its activities is parked."""


class Sign(NamedTuple):
    """What the state of an open run says of its health: its fields ``stuck`` and ``parked``.

    ``parked`` is the last activity of it that was parked; that one may have ended since.
    """

    partition: Partition
    run_id: str
    stuck: bytes | None
    parked: bytes | None


async def reasons(store: Store, signs: Sequence[Sign]) -> list[str | None]:
    """For each run why it is stuck, by a word of ``REASONS``; None for one that is not."""
    found = [_word(sign.stuck) if sign.stuck else None for sign in signs]
    asked = [i for i, sign in enumerate(signs) if sign.parked and not sign.stuck]
    if not asked:
        return found
    answers = await store.read(
        *(
            ("HGET", p.pend(run), b"f:" + bytes(parked or b""))
            for p, run, _, parked in map(signs.__getitem__, asked)
        )
    )
    for i, failure in zip(asked, answers, strict=True):
        if failure and is_parked(orjson.loads(failure)):
            found[i] = "activity"
    return found


def _word(stuck: bytes) -> str:
    try:
        word = orjson.loads(stuck)["reason"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return "engine"
    return word if word in REASONS else "engine"
