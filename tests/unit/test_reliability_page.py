"""docs/reliability.md has the figures of docs/figures, and sums them as it should."""

from __future__ import annotations

from typing import Any

import pytest
from tools.figures import read_all
from tools.reliability_page import PAGE, PUBLISHED, WANTED, harm, reached, rewritten, runs


def entry(tool: str, notes: dict[str, float] | None = None, **counts: int) -> dict[str, Any]:
    """The figures of a run."""
    made = {"tool": tool, "at": "2026-01-02T03:04:05Z", "commit": "abc", "server": "Valkey 9.1.2"}
    return made | {"seconds": 90, "repeat": "make it", "counts": counts, "notes": notes or {}}


def test_page_has_the_figures_of_today() -> None:
    """Who adds a file of figures writes the page anew."""
    page = PAGE.read_text()
    now = rewritten(page, read_all(PUBLISHED))
    assert now == page, "run .venv/bin/python -m tools.reliability_page"


def test_counts_are_summed_and_compared_with_what_is_wanted() -> None:
    """Runs count under kills only where workers were killed."""
    lines = list(
        reached(
            [
                entry("chaos", worker_kills=600, runs=15_000),
                entry("chaos", worker_kills=400, runs=4000),
                entry("chaos", runs=9000, server_kills_always=150),
                entry("topologies", server_kills_everysec=50),
            ]
        )
    )
    assert "| workers killed | 1,000 | 1,000 | yes |" in lines
    assert "| … runs meanwhile | 20,000 | 19,000 | not yet |" in lines
    assert "| servers killed and started again | 200 | 200 | yes |" in lines
    assert len(lines) == 2 + len(WANTED)


def test_harm_is_shown_by_tool_and_times_at_their_worst() -> None:
    """One lost request of one run is not hidden by many good ones."""
    text = "\n".join(
        harm(
            [
                entry("chaos", {"takeover_p99_s": 1.5}, runs=10, lost=1),
                entry("chaos", {"takeover_p99_s": 2.25}, runs=5),
                entry("simulation", runs=7, doubled=2),
            ]
        )
    )
    assert "| chaos | 2 | 0.1 | 15 | - | 1 | - | - | - | - |" in text
    assert "| simulation | 1 | 0.0 | 7 | - | - | 2 | - | - | - |" in text
    assert "| takeover after a worker's kill, 99 of 100 | 2.25 s |" in text
    assert "| timers late, 99 of 100 | not measured yet |" in text


def test_each_run_says_how_to_do_it_again() -> None:
    """When, on what, and the command."""
    (line,) = list(runs([entry("chaos")]))[2:]
    assert line == "| 2026-01-02 03:04 | chaos | Valkey 9.1.2 | `abc` | 1.5 | `make it` |"


def test_a_page_without_marks_is_refused() -> None:
    """Nothing is written beside the point."""
    with pytest.raises(ValueError, match="lacks <!-- reached"):
        rewritten("# Reliability\n", [])
