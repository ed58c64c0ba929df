"""Write the figures in docs/reliability.md anew: python -m tools.reliability_page.

They are the sums of docs/figures/*.json, which the tools of long runs write (``tools.figures``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tools.figures import ROOT, read_all

PAGE: Path = ROOT / "docs" / "reliability.md"
PUBLISHED: Path = ROOT / "docs" / "figures"
BEGIN = "<!-- {}: written by python -m tools.reliability_page -->\n"
END = "<!-- end of {} -->\n"

Entry = Mapping[str, Any]
HARM = ("lost", "doubled", "corrupt", "early_timers", "late_timers")


class Wanted(NamedTuple):
    """A figure to reach: what, how much, and the counts that are summed for it.

    ``under``: only of runs in which this happened, too.
    """

    what: str
    least: int
    counts: tuple[str, ...]
    under: str = ""


WANTED = (
    Wanted("workers killed", 1000, ("worker_kills",)),
    Wanted("… runs meanwhile", 20_000, ("runs",), "worker_kills"),
    Wanted("schedulers killed", 300, ("scheduler_kills",)),
    Wanted(
        "servers killed and started again",
        200,
        ("server_kills_always", "server_kills_everysec"),
    ),
    Wanted("… with appendfsync always", 1, ("server_kills_always",)),
    Wanted("… with appendfsync everysec", 1, ("server_kills_everysec",)),
    Wanted("workers paused past their lease", 300, ("worker_pauses",)),
    Wanted("commits while replies are lost", 100_000, ("commits",), "lost_replies"),
    Wanted("… whose reply was lost (5%)", 5000, ("lost_replies",)),
    Wanted("Sentinel failovers", 50, ("sentinel_failovers",)),
    Wanted("cluster failovers", 30, ("cluster_failovers",)),
    Wanted("slots moved under load", 200, ("slot_moves",)),
    Wanted("jumps of a clock", 50, ("clock_jumps",), "runs"),  # of processes, not simulated
    Wanted("out-of-memory episodes", 30, ("oom_episodes",)),
    Wanted("fuzzed inputs", 1_000_000, ("fuzz_inputs",)),
    Wanted("seeds of the simulation", 2000, ("seeds",)),
)
TIMES = (
    ("takeover_p50_s", "takeover after a worker's kill, half of them"),
    ("takeover_p99_s", "takeover after a worker's kill, 99 of 100"),
    ("timer_late_p99_s", "timers late, 99 of 100"),
)
"""Notes that are shown at their worst over all runs."""


def total(entries: Iterable[Entry], counts: Sequence[str], under: str = "") -> int:
    """The sum of some counts over all runs, or over those in which ``under`` happened."""
    return sum(
        int(entry["counts"].get(name, 0))
        for entry in entries
        if not under or entry["counts"].get(under)
        for name in counts
    )


def reached(entries: Sequence[Entry]) -> Iterator[str]:
    """What was to be reached, and what is."""
    yield "| what was done to it | wanted | reached | |"
    yield "|---|---:|---:|---|"
    for one in WANTED:
        count = total(entries, one.counts, one.under)
        mark = "yes" if count >= one.least else "not yet"
        yield f"| {one.what} | {one.least:,} | {count:,} | {mark} |"


def _cell(entries: Sequence[Entry], name: str) -> str:
    """The sum of a count; a dash where the tool does not count it."""
    counted = any(name in entry["counts"] for entry in entries)
    return f"{total(entries, [name]):,}" if counted else "-"


def harm(entries: Sequence[Entry]) -> Iterator[str]:
    """What came of it, by tool; and the times, at their worst."""
    tools = sorted({entry["tool"] for entry in entries})
    yield (
        "| tool | runs of it | hours | workflows | commits | "
        + " | ".join(name.replace("_", " ") for name in HARM)
        + " |"
    )
    yield "|---|" + "---:|" * (4 + len(HARM))
    for tool in tools:
        own = [entry for entry in entries if entry["tool"] == tool]
        hours = sum(entry["seconds"] for entry in own) / 3600
        cells = [_cell(own, name) for name in ("runs", "commits", *HARM)]
        yield f"| {tool} | {len(own)} | {hours:.1f} | " + " | ".join(cells) + " |"
    yield ""
    yield "| time | worst of all runs |"
    yield "|---|---:|"
    for name, words in TIMES:
        found = [e["notes"][name] for e in entries if name in e["notes"]]
        yield f"| {words} | {f'{max(found):.2f} s' if found else 'not measured yet'} |"


def faults(entries: Sequence[Entry]) -> Iterator[str]:
    """Everything that was counted, by tool."""
    yield "| tool | count | sum |"
    yield "|---|---|---:|"
    for tool in sorted({entry["tool"] for entry in entries}):
        own = [entry for entry in entries if entry["tool"] == tool]
        for name in sorted({name for entry in own for name in entry["counts"]} - {*HARM}):
            yield f"| {tool} | {name.replace('_', ' ')} | {total(own, [name]):,} |"


def runs(entries: Sequence[Entry]) -> Iterator[str]:
    """Each run: when, on what, for how long, and how to do it again."""
    yield "| when | tool | server | commit | minutes | again |"
    yield "|---|---|---|---|---:|---|"
    for one in entries:
        again = one["repeat"].replace("|", "\\|")
        yield (
            f"| {one['at'][:16].replace('T', ' ')} | {one['tool']} | {one['server']} "
            f"| `{one['commit']}` | {one['seconds'] / 60:.1f} | `{again}` |"
        )


PARTS: Mapping[str, Callable[[Sequence[Entry]], Iterator[str]]] = {
    "reached": reached,
    "harm": harm,
    "faults": faults,
    "runs": runs,
}


def rewritten(page: str, entries: Sequence[Entry]) -> str:
    """The page with the figures of these runs; ValueError when it lacks a mark."""
    for name, part in PARTS.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, mark, rest = page.partition(begin)
        _, closing, after = rest.partition(end)
        if not mark or not closing:
            raise ValueError(f"{PAGE.name} lacks {begin.strip()} or {end.strip()}")
        page = f"{before}{begin}\n" + "\n".join(part(entries)) + f"\n\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(), read_all(PUBLISHED)))
