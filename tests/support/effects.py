"""The effect log: what activities did, written outside Redis, one line an attempt."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple


class Effect(NamedTuple):
    """One attempt that ran: of which command of which run, in which process, under which key.

    ``at`` is when it began, in seconds of the machine's monotonic clock, where the log says so.
    """

    name: str
    workflow_id: str
    run_id: str
    seq: int
    attempt: int
    key: str
    process: int
    at: float = 0.0


def read_effects(path: Path) -> list[Effect]:
    """All lines of the log, in the order they were written; none without the file."""
    if not path.exists():
        return []
    return [Effect(**json.loads(line)) for line in path.read_text().splitlines()]


def by_activity(effects: list[Effect]) -> dict[tuple[str, int], list[Effect]]:
    """The attempts of each activity call, by run id and command number."""
    found: defaultdict[tuple[str, int], list[Effect]] = defaultdict(list)
    for effect in effects:
        found[effect.run_id, effect.seq].append(effect)
    return dict(found)
