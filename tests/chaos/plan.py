"""What shall go wrong, and when: drawn from a seed, so that the same seed plans the same."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.chaos.faults import FAULTS, Ambient, Fault

BEGIN = 1.0
"""Seconds before the first fault."""
END = 0.95
"""The share of the time after which none begins."""


class Planned(NamedTuple):
    """One fault: when (s from the start), which, and the seed of its own choices."""

    at: float
    name: str
    seed: int


class Plan(NamedTuple):
    """The faults in order, those that are there all the time, and how often each is wanted."""

    moments: list[Planned]
    ambient: list[str]
    wanted: dict[str, int]

    @property
    def needs(self) -> set[str]:
        """What the faults need."""
        names = {p.name for p in self.moments} | set(self.ambient)
        return {need for name in names for need in FAULTS[name].needs}


def parse(text: str) -> dict[str, int | None]:
    """Read ``name,name=count,…``; ``all`` or nothing is every fault. ValueError for other names."""
    names: dict[str, int | None] = {}
    for part in filter(None, text.replace(" ", ",").split(",")):
        name, _, count = part.partition("=")
        if name == "all":
            names |= dict.fromkeys(FAULTS)
        elif name in FAULTS:
            names[name] = int(count) if count else None
        else:
            raise ValueError(f"there is no fault {name!r}; there are: {', '.join(FAULTS)}")
    return names or dict.fromkeys(FAULTS)


def make(seed: int, seconds: float, faults: Mapping[str, int | None]) -> Plan:
    """Plan so many seconds."""
    moments: list[Planned] = []
    ambient, wanted = [], dict[str, int]()
    # of many kinds at once each is rarer: something must get done in between
    crowd = max(1.0, sum(not isinstance(FAULTS[name], Ambient) for name in faults) / 3)
    for name, count in faults.items():
        fault = FAULTS[name]
        chance = random.Random(f"{seed}/{name}")
        if isinstance(fault, Ambient):
            ambient.append(name)
            wanted[name] = int(fault.least * seconds / 60 / crowd) if count is None else count
            continue
        times = max(1, int(seconds / (fault.every * crowd))) if count is None else count
        wanted[name] = times
        moments += _moments(fault, chance, times, seconds)
    return Plan(sorted(moments), ambient, wanted)


def _moments(fault: Fault, chance: random.Random, times: int, seconds: float) -> Iterator[Planned]:
    for at in fault.moments(chance, times, BEGIN, max(BEGIN, seconds * END)):
        yield Planned(round(at, 3), fault.name, chance.getrandbits(32))


def counted(
    wanted: Mapping[str, int], reached: Mapping[str, int], names: Sequence[str]
) -> list[str]:
    """Which faults happened less often than they should, as sentences."""
    return [
        f"{name} happened {reached.get(name, 0)} times, {wanted[name]} were wanted"
        for name in names
        if reached.get(name, 0) < wanted[name]
    ]
