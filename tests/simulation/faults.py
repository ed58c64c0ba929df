"""What goes wrong in one seed, and how often: each seed has a weather of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

WIRE = (
    "request lost",
    "batch broken",
    "reply lost",
    "request late",
    "request orphaned",
    "reply late",
    "repeated",
    "fell silent",
)
"""What may happen to what a client writes; see ``Network.submit``."""
WORLD = (
    "worker killed",
    "scheduler killed",
    "worker frozen",
    "scheduler frozen",
    "client frozen",
    "worker cut off",
    "worker stopped",
    "server restarted",
    "scripts flushed",
    "connections cut",
    "clock forward",
    "clock back",
)
"""What may happen to a process or to the server."""


@dataclass
class Weather:
    """The faults of a seed: the chance of each kind for a write, the moments of the others."""

    wire: dict[str, float] = field(default_factory=dict)
    kill_on_write: float = 0.0
    world: list[tuple[float, str]] = field(default_factory=list)
    until: float = 0.0
    slow: float = 0.0
    latency: tuple[float, float] = (0.0002, 0.003)
    tasks_again: float = 0.0

    @classmethod
    def of(cls, chance: random.Random, *, crowded: bool = False) -> Weather:
        """Draw one: some kinds of fault, not all, are common in a seed, so each gets its day."""
        found = cls(until=chance.uniform(8, 25))
        # seconds one way: where they are long, all that can overlap does
        found.latency = chance.choice(((0.0002, 0.003), (0.002, 0.03), (0.01, 0.1), (0.02, 0.25)))
        if chance.random() < 0.03:
            return found  # a fair day: the product alone
        kinds = chance.sample(WIRE, chance.randint(1, 4))
        found.wire = {kind: chance.choice((0.01, 0.03, 0.06)) for kind in kinds}
        found.wire["reply lost"] = max(found.wire.get("reply lost", 0), 0.02)
        found.kill_on_write = chance.choice((0, 0, 0.002, 0.008))
        found.slow = chance.choice((0, 0, 0.05, 0.2))
        found.tasks_again = 0.4 if crowded else 0.0
        kinds = chance.sample(WORLD, chance.randint(1, 4))
        moments = sorted(chance.uniform(0.05, found.until) for _ in range(chance.randint(1, 7)))
        found.world = [(at, chance.choice(kinds)) for at in moments]
        if crowded:
            moments = [chance.uniform(0.05, found.until / 2) for _ in range(4)]
            found.world = sorted([*found.world, *((at, "worker frozen") for at in moments)])
        if chance.random() < 0.08:
            # the one fault that loses what was acknowledged: what is left is checked, no more
            at = chance.uniform(0.2, 1.5)
            found.world += [(at, "replica behind"), (at + chance.uniform(0.5, 5), "failed over")]
            found.world.sort()
        return found
