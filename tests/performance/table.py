"""The committed counts of each scene, and what differs from them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.performance.scenes import Counts, Scene

FILE = Path(__file__).parent / "counts.json"
LIMITS = {
    "round_trips": 0.08,  # a run may end before its client listens: then its end is read
    "commands": 0.03,
    "sent_bytes": 0.03,
    "received_bytes": 0.15,  # who waits for a run reads the event that is its last by then
    "lua_instructions": 0.02,  # where a table's keys lie differs from runtime to runtime
    "written_bytes": 0.01,
}
"""By what share each may differ. What is done together is chance in scenes with slack."""
CALLS = 0.3
"""By how many calls a step each name may differ, or by a fiftieth."""
INSIDE = 0.5
"""By how many commands a call: some are there now and then."""


def read() -> dict[str, Counts]:
    """The table."""
    found: dict[str, Counts] = json.loads(FILE.read_text())
    return found


def write(table: dict[str, Counts]) -> None:
    """Write it, a pair of numbers on one line."""
    text = json.dumps(table, indent=1)
    FILE.write_text(re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text) + "\n")


def differences(scene: Scene, was: Counts, now: Counts) -> list[str]:
    """What is not as the table says, in words: worse and better alike."""
    loose = min(scene.slack, 5.0)
    found = []
    for name, limit in LIMITS.items():
        allowed = limit * (scene.slack if name == "round_trips" else loose)
        if abs(now[name] - was[name]) > allowed * was[name]:
            found.append(_told(name, was[name], now[name]))
    for name in sorted({*was["by_name"], *now["by_name"]}):
        found += _of_name(name, scene.slack, was["by_name"], now["by_name"])
    return found


def _of_name(name: str, slack: float, was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    (before, inside_before), (calls, inside) = was.get(name, [0, 0]), now.get(name, [0, 0])
    found = []
    if abs(calls - before) > max(CALLS, before / 50) * slack:
        found.append(_told(f"calls of {name}", before, calls))
    if before and calls and abs(inside / calls - inside_before / before) > INSIDE * min(slack, 5.0):
        found.append(_told(f"commands in {name}", inside_before, inside))
    return found


def _told(what: str, was: float, now: float) -> str:
    word = "worse" if now > was else "better"
    share = f"{abs(now - was) / was:.1%} " if was else ""
    return f"{what}: {was:g} -> {now:g} a step, {share}{word}"
