"""Where a namespace's partitions lie on a Redis Cluster, and how to share slots out evenly.

    python -m tools.slots default --partitions 16 --nodes 3

A partition is one slot (that of ``{namespace:number}``). Nodes that have as many slots each need
not have as many partitions each: printed are both, and ranges of slots that even it out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise

from luaflow.store.keys import Partition
from luaflow.store.slots import slot_of_key

SLOTS = 16_384
Range = tuple[int, int]


def slots_of(namespace: str, partitions: int) -> list[int]:
    """The slot of each partition, by number."""
    return [slot_of_key(Partition(namespace, number).meta) for number in range(partitions)]


def usual(nodes: int) -> list[Range]:
    """The ranges that a cluster of so many nodes is made with."""
    bounds = [round(SLOTS * node / nodes) for node in range(nodes + 1)]
    return [(low, high - 1) for low, high in pairwise(bounds)]


def even(slots: Sequence[int], nodes: int) -> list[Range]:
    """One range a node, each with as many of these slots as the others (or one more).

    Each bound is as near to the usual one as that allows.
    """
    there, bounds = sorted(slots), [0]
    for node in range(1, nodes):
        first = round(len(there) * node / nodes)  # the first partition of this node
        low, high = there[first - 1] + 1, there[first]
        bounds.append(min(max(round(SLOTS * node / nodes), low), high))
    return [(low, high - 1) for low, high in zip(bounds, [*bounds[1:], SLOTS], strict=True)]


def spread(slots: Sequence[int], ranges: Sequence[Range]) -> list[int]:
    """How many of the slots lie in each range."""
    return [sum(low <= slot <= high for slot in slots) for low, high in ranges]


def moved(ranges: Sequence[Range]) -> int:
    """How many slots have another node than usual."""
    pairs = zip(ranges, usual(len(ranges)), strict=True)
    stay = (min(a[1], b[1]) - max(a[0], b[0]) + 1 for a, b in pairs)
    return SLOTS - sum(max(0, one) for one in stay)


def main() -> None:
    """Print what the hash gives, and what evens it out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("namespace", nargs="?", default="default")
    parser.add_argument("--partitions", type=int, default=16)
    parser.add_argument("--nodes", type=int, default=3)
    given = parser.parse_args()
    slots = slots_of(given.namespace, given.partitions)
    print(f"partitions a node, slots shared out as usual: {spread(slots, usual(given.nodes))}")
    ranges = even(slots, given.nodes)
    print(f"evened out: {spread(slots, ranges)}, {moved(ranges)} slots moved")
    for low, high in ranges:
        print(f"    {low}-{high}")


if __name__ == "__main__":
    main()
