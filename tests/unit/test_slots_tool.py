"""The tool that shares slots out: whole, in order, and even."""

from __future__ import annotations

import pytest
from tools.slots import SLOTS, even, moved, slots_of, spread, usual


@pytest.mark.parametrize("namespace", ["default", "orders", "n-7"])
@pytest.mark.parametrize("partitions", [16, 64, 128])
@pytest.mark.parametrize("nodes", [1, 3, 6])
def test_ranges_are_whole_and_even(namespace: str, partitions: int, nodes: int) -> None:
    """Every slot has one node; no node has more partitions than its share, but for one."""
    slots = slots_of(namespace, partitions)
    ranges = even(slots, nodes)
    assert [low for low, _ in ranges] == [0, *(high + 1 for _, high in ranges[:-1])]
    assert ranges[-1][1] == SLOTS - 1
    counts = spread(slots, ranges)
    assert sum(counts) == partitions
    assert max(counts) - min(counts) <= 1 + partitions - len(set(slots))


def test_what_is_even_already_stays() -> None:
    """Nothing moves where nothing has to."""
    slots = [100, 6000, 12000]
    assert even(slots, 3) == usual(3)
    assert moved(even(slots, 3)) == 0


def test_the_page_says_what_the_tool_does() -> None:
    """The numbers of docs/guides/sentinel-and-cluster.md."""
    found = slots_of("default", 16)
    assert (spread(found, usual(3)), spread(found, even(found, 3))) == ([5, 7, 4], [5, 6, 5])
    assert moved(even(found, 3)) == 207
