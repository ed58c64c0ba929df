"""From rows of measurements to a table for people."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import luaflow
from luaflow.embedded import find_server

Row = dict[str, Any]
SHOWN = {
    "W1": ["rate"],
    "W1-ASYNC": ["rate"],
    "W1-SYNC": ["rate"],
    "W2": ["p50_ms", "p99_ms"],
    "W3": ["p50_ms", "p99_ms"],
    "W4": ["p50_ms", "p99_ms", "rate"],
    "W4-10K": ["p50_ms", "p99_ms", "rate"],
    "W5": ["rate", "start_rate"],
    "W6": ["events_rate", "replay_ms", "ready_ms", "query_ms"],
    "W7": ["signal_rate", "sent_rate"],
    "W8": ["open_bytes", "closed_bytes", "packed_bytes", "cached_bytes"],
    "W9": ["of_first", "rate", "p50_ms", "p99_ms"],
    "W10": ["help_ms", "dev_ready_ms"],
}
"""What is told of each work item; behind its first word stands what it was measured at."""
UNITS = {
    "rate": "per s",
    "start_rate": "started per s",
    "events_rate": "events replayed per s",
    "signal_rate": "signals handled per s",
    "sent_rate": "signals sent per s",
    "of_first": "of the CPU of a step at the first point",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "replay_ms": "ms to replay it",
    "ready_ms": "ms to read and replay it",
    "query_ms": "ms of a query through a worker",
    "open_bytes": "server bytes an open idle run",
    "closed_bytes": "server bytes a closed order",
    "packed_bytes": "server bytes a closed order, history packed",
    "cached_bytes": "worker bytes a cached run",
    "help_ms": "ms luaflow --help",
    "dev_ready_ms": "ms until luaflow dev is ready",
}
SAME_FOR_PEERS = {"W1-ASYNC": "W1", "W1-SYNC": "W1"}
"""What is another work item only for us: a peer's one stands beside all of them."""
HIGHER_IS_BETTER = {name for name in UNITS if name.endswith("rate")}


def machine(server: Path | None) -> Row:
    """What it is measured on, and with what."""
    cpu = Path("/proc/cpuinfo")
    models = [line for line in cpu.read_text().splitlines() if line.startswith("model name")]
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    version = [str(server or find_server()), "--version"]
    said = subprocess.run(version, capture_output=True, text=True, check=True).stdout.split()
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": f"{os.cpu_count()} x {models[0].partition(': ')[2] if models else '?'}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "luaflow": f"{luaflow.__version__} ({commit or 'no repository'})",
        "server": " ".join([said[0], *(word for word in said if word.startswith("v="))]),
        "load": round(os.getloadavg()[0], 2),
    }


def heading(about: Row) -> str:
    """The lines above the table."""
    return "\n".join(f"{name:12} {value}" for name, value in about.items())


def shown_of(work: str) -> list[str]:
    """The figures that are told of a work item."""
    return SHOWN[work.partition(" ")[0]]


def table(rows: Sequence[Row]) -> str:
    """Median [lowest .. highest] of the rounds of each work, CPU and bytes a workflow."""
    lines = []
    for work in dict.fromkeys(row["work"] for row in rows):
        for who in dict.fromkeys(row["who"] for row in rows):
            mine = [row for row in rows if (row["work"], row["who"]) == (work, who)]
            if mine:
                lines.append(f"{work}  {who:8} n={mine[0].get('n', '?')}  rounds={len(mine)}")
                lines += [f"      {text}" for text in _facts(work, mine)]
        lines += [f"      {text}" for text in ratios(work, rows)]
    return "\n".join(lines)


def _facts(work: str, rows: Sequence[Row]) -> list[str]:
    there = (name for name in shown_of(work) if all(name in row for row in rows))
    shown = [f"{UNITS[name]} {_spread(rows, name)}" for name in there]
    roles = rows[0].get("cpu_ms") or {}
    if any(roles.values()):
        each = {role: median(row["cpu_ms"][role] for row in rows) for role in roles}
        text = ", ".join(f"{role} {ms:.2f}" for role, ms in each.items())
        shown.append(f"CPU ms a workflow: {text}; in all {sum(each.values()):.2f}")
    if "cores" in rows[0]:
        busy = {role: median(row["cores"][role] for row in rows) for role in rows[0]["cores"]}
        text = ", ".join(f"{role} {share:.2f}" for role, share in busy.items())
        shown.append(f"cores used: {text}; in all {sum(busy.values()):.2f}")
    if "memory_bytes" in rows[0]:
        memory = median(row["memory_bytes"] for row in rows)
        aof = median(row["aof_bytes"] for row in rows)
        shown.append(f"bytes a workflow: {memory:.0f} in memory, {aof:.0f} in the AOF")
    return shown


def _spread(rows: Sequence[Row], name: str) -> str:
    values = [row[name] for row in rows]
    return f"{median(values):g} [{min(values):g} .. {max(values):g}]"


def ratios(work: str, rows: Sequence[Row]) -> list[str]:
    """luaflow against each peer, within each round; above 1 luaflow is the better one."""
    found = []
    for peer in dict.fromkeys(row["who"] for row in rows if row["who"] != "luaflow"):
        for name in shown_of(work):
            if each := ratios_of(work, name, peer, rows):
                low, high = min(each), max(each)
                text = f"{UNITS[name]}: luaflow is {median(each):.2f} [{low:.2f} .. {high:.2f}]"
                found.append(f"{text} times as good as {peer}")
    return found


def ratios_of(work: str, name: str, peer: str, rows: Sequence[Row]) -> list[float]:
    """The ratio of one figure in each round that has it of both; above 1 luaflow is better."""
    ours, theirs = _by_round(work, name, "luaflow", rows), _by_round(work, name, peer, rows)
    if not theirs:
        theirs = _by_round(SAME_FOR_PEERS.get(work, work), name, peer, rows)
    pairs = [(ours[number], theirs[number]) for number in ours if number in theirs]
    return [a / b if name in HIGHER_IS_BETTER else b / a for a, b in pairs if a and b]


def _by_round(work: str, name: str, who: str, rows: Sequence[Row]) -> dict[int, float]:
    mine = (row for row in rows if (row["work"], row["who"]) == (work, who))
    return {row["round"]: row[name] for row in mine if name in row}
