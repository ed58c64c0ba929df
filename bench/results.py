"""Writes the measured part of RESULTS.md anew: ``python bench/results.py``.

It reads ``bench/results/*.json``, what ``run.py --json`` and ``scaling.py --json`` wrote, and the
counts of a step (``tests/performance/counts.json``). Where a figure is in several files, the last
one by name counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from report import HIGHER_IS_BETTER, UNITS, Row, ratios_of, shown_of
from stack import ROOT

HERE = ROOT / "bench"
COUNTS = ROOT / "tests" / "performance" / "counts.json"
BEGIN, END = "<!-- written by bench/results.py -->", "<!-- end -->"


class Goal(NamedTuple):
    """A figure of a work item, and what it has to reach: beside a peer, or by itself."""

    work: str
    figure: str
    peer: str = ""
    least: float = 0.0
    """Times as good as the peer; without one the figure itself (the most, where less is better)."""
    variant: str = ""
    """``always``: appendfsync; ``separate``: processes."""


RESTATE = "restate-granian"
GOALS = (
    Goal("W1", "rate", RESTATE, 3.5),
    Goal("W1", "rate", "bullmq", 1.3),
    Goal("W1", "rate", "dbos", 15),
    Goal("W1", "rate", RESTATE, 2.5, "always"),
    Goal("W1", "rate", RESTATE, 1.2, "separate"),
    Goal("W1-ASYNC", "rate", RESTATE, 2),
    Goal("W1-SYNC", "rate", RESTATE, 1.5),
    Goal("W2", "p50_ms", "bullmq", 1 / 0.7),
    Goal("W2", "p99_ms", "bullmq", 1 / 0.7),
    Goal("W3", "p50_ms", "bullmq", 2),
    Goal("W4", "p99_ms", "bullmq", 4),
    Goal("W4-10K", "p99_ms", "bullmq", 2),
    Goal("W5", "rate", "ardiq", 1.3),
    Goal("W6", "events_rate", least=150_000),
    Goal("W6", "ready_ms", least=100),
    Goal("W7", "signal_rate", least=8000),
    Goal("W8 stream nodes of 1 KB", "open_bytes", least=3072),
    Goal("W8 stream nodes of 4 KB", "open_bytes"),
    Goal("W8 stream nodes of 1 KB", "packed_bytes", least=1229),
    Goal("W8 stream nodes of 1 KB", "cached_bytes", least=30_720),
    Goal("W10", "help_ms", least=150),
    Goal("W10", "dev_ready_ms", least=1500),
)
FLAT = 1.1
"""How much more a step may cost at the end of an axis of W9 than at its beginning."""


class File(NamedTuple):
    """One series of rounds."""

    name: str
    about: Row
    rows: list[Row]

    @property
    def variant(self) -> str:
        """What is not as usual in it."""
        if self.about["durability"].endswith("always"):
            return "always"
        processes, _, workers = self.about.get("processes", "all, 1 workers").partition(", ")
        usual = (processes, workers) == ("all", "1 workers")
        return "" if usual else processes if processes == "separate" else workers


def against_goals(files: Sequence[File]) -> list[str]:
    """A line for each goal, reached or not, measured or not."""
    lines = ["| | figure | goal | measured | | series |", "|---|---|---|---|---|---|"]
    for goal in GOALS:
        work = f"{goal.work}, {goal.variant}" if goal.variant else goal.work
        wanted, found, reached, name = _wanted(goal), "not measured", "", ""
        for file in files:
            if file.variant == goal.variant and (values := _values(goal, file)):
                found, name = _spread(values), file.name
                reached = _verdict(goal, median(values))
        lines.append(f"| {work} | {UNITS[goal.figure]} | {wanted} | {found} | {reached} | {name} |")
    return lines


def _values(goal: Goal, file: File) -> list[float]:
    if goal.peer:
        return ratios_of(goal.work, goal.figure, goal.peer, file.rows)
    mine = (row for row in file.rows if row["work"] == goal.work and row["who"] == "luaflow")
    return [row[goal.figure] for row in mine if goal.figure in row]


def _wanted(goal: Goal) -> str:
    if goal.peer:
        return f"{goal.least:.3g} times as good as {goal.peer}"
    if not goal.least:
        return "to be told"
    return f"{'at least' if goal.figure in HIGHER_IS_BETTER else 'at most'} {goal.least:,g}"


def _verdict(goal: Goal, value: float) -> str:
    if not goal.least:
        return ""
    least = bool(goal.peer) or goal.figure in HIGHER_IS_BETTER
    return "yes" if (value >= goal.least if least else value <= goal.least) else "**no**"


def _spread(values: Sequence[float]) -> str:
    middle, low, high = map(_digits, (median(values), min(values), max(values)))
    return f"{middle} [{low} .. {high}]"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def growth(files: Sequence[File]) -> list[str]:
    """W9: each axis, what a step costs at its beginning and at each point behind it."""
    lines = ["| axis | at | CPU ms a step, all processes | p50 ms | | series |"]
    lines.append("|---|---|---|---|---|---|")
    for file in files:
        works = dict.fromkeys(r["work"] for r in file.rows if r["work"].startswith("W9 "))
        for work in works:
            axis, _, at = work.removeprefix("W9 ").rpartition(" ")
            mine = [row for row in file.rows if row["work"] == work]
            cpu = median(sum(row["cpu_ms"].values()) for row in mine)
            p50 = median(row["p50_ms"] for row in mine)
            ratio = median(row["of_first"] for row in mine)
            flat = f"{ratio:.2f} of the first" + ("" if ratio <= FLAT else ": **not flat**")
            lines.append(f"| {axis} | {int(at):,} | {cpu:.2f} | {p50:.1f} | {flat} | {file.name} |")
    return lines if len(lines) > 2 else ["Not measured."]


def costs() -> list[str]:
    """What a step costs in counts."""
    lines = ["| step | round trips | commands | bytes to the server | from it | Lua instructions"]
    lines[0] += " | bytes written |"
    lines.append("|---|---|---|---|---|---|---|")
    names = ("round_trips", "commands", "sent_bytes", "received_bytes", "lua_instructions")
    for step, found in json.loads(COUNTS.read_text()).items():
        values = [f"{found[name]:,.0f}" for name in (*names[1:], "written_bytes")]
        lines.append(f"| {step} | {found['round_trips']:g} | {' | '.join(values)} |")
    return lines


def series(file: File) -> list[str]:
    """Where a series was measured, and everything in it."""
    lines = [f"### {file.name}", ""]
    lines += [f"- {name}: {value}" for name, value in file.about.items()]
    lines += ["", "| | who | rounds | what |", "|---|---|---|---|"]
    for work, who in dict.fromkeys((row["work"], row["who"]) for row in file.rows):
        mine = [row for row in file.rows if (row["work"], row["who"]) == (work, who)]
        names = [name for name in shown_of(work) if all(name in row for row in mine)]
        told = [f"{UNITS[name]} {_spread([row[name] for row in mine])}" for name in names]
        if cpu := [sum(row["cpu_ms"].values()) for row in mine if row.get("cpu_ms")]:
            told.append(f"CPU ms {_spread(cpu)}")
        lines.append(f"| {work} | {who} | {len(mine)} | {'; '.join(told)} |")
    return lines


def page(files: Sequence[File]) -> str:
    """The written part."""
    lines = ["## Against the goals", "", *against_goals(files)]
    lines += ["", "Measured is the median [lowest .. highest] of the rounds; beside a peer the"]
    lines += ["ratio within each round, above 1 where luaflow is better.", ""]
    lines += [
        "## Growth (W9)",
        "",
        *growth(files),
        "",
        "## What a step costs (counts)",
        "",
        *costs(),
    ]
    lines += ["", "## Series", ""]
    for file in files:
        lines += [*series(file), ""]
    return "\n".join(lines) if files else "\n".join([*lines, "None yet.", ""])


def main() -> None:
    """Read, write."""
    files = []
    for path in sorted((HERE / "results").glob("*.json")):
        content = json.loads(path.read_text())
        files.append(File(path.stem, content["about"], content["rows"]))
    results = HERE / "RESULTS.md"
    before, _, rest = results.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    results.write_text(f"{before}{BEGIN}\n\n{page(files)}\n{END}{after}")
    print(f"written: {results}, of {len(files)} series")


if __name__ == "__main__":
    main()
