"""Which runs take no fused steps for a while: one of theirs was refused, and that cost a replay."""

from __future__ import annotations

from luaflow_worker.live import Live

EVENTS_PER_STEP = 20
"""Replaying so many events costs about what a plain step costs more than a fused one."""
MAX_RUNS = 10_000
"""Runs remembered after a refusal; forgetting them costs a refusal."""


class Refusals:
    """Counts, for runs whose fused step was refused, the decisions until the next one is tried.

    The longer the history, the more decisions: what replays cost stays in proportion to the length
    that a run reaches, however many messages cross its steps.
    """

    def __init__(self) -> None:
        self._left: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._left)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._left

    def note(self, live: Live) -> None:
        """A fused step of the run was refused."""
        if len(self._left) >= MAX_RUNS:
            self._left.clear()  # runs that went on elsewhere never say so here
        self._left[live.run_id] = max(1, live.length // EVENTS_PER_STEP)

    def decided(self, run_id: str, *, ended: bool) -> None:
        """A decision of the run was accepted, and nothing had come meanwhile."""
        left = self._left.pop(run_id, 0)
        if left > 1 and not ended:
            self._left[run_id] = left - 1
