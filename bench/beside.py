"""A peer that is measured in turn with luaflow: any command that prints one JSON object a line."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple, Self

Row = dict[str, Any]
SIZED = ("W4", 1000)
"""A work item that peers measure at several sizes, and the size that has no name of its own."""


class Peer(NamedTuple):
    """What it is called, and the command that measures it once."""

    name: str
    command: str

    @classmethod
    def read(cls, text: str) -> Self:
        """``NAME=COMMAND``, or a command; a name has letters, digits, - and _."""
        name, equals, command = text.partition("=")
        if equals and name.replace("-", "").replace("_", "").isalnum():
            return cls(name, command)
        return cls("peer", text)

    def measure(self, only: Sequence[str], n: int | None, appendfsync: str) -> list[Row]:
        """One round: a row for each work item that was asked for and that the command knows."""
        told = {"BENCH_ONLY": ",".join(only), "BENCH_N": str(n or "")}
        told["BENCH_APPENDFSYNC"] = appendfsync
        load = round(os.getloadavg()[0], 2)
        words = shlex.split(self.command)
        done = subprocess.run(
            words, env=os.environ | told, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:  # (what it measured before counts)
            print(f"{self.name} ended with {done.returncode}", file=sys.stderr, flush=True)
        lines = (line for line in done.stdout.splitlines() if line.startswith("{"))
        rows = [_named(json.loads(line)) for line in lines]
        known = [[row for row in rows if row["work"] == work] for work in only]
        return [{"load": load, **_middle(mine)} for mine in known if mine]


def _named(row: Row) -> Row:
    """A row with the name that its work item has here, and CPU in ms for each of ``n``."""
    work, usual = SIZED
    if row["work"] == work and row.get("n", usual) == 10 * usual:
        row["work"] = "W4-10K"
    if "cpu" in row and "cpu_ms" not in row:
        used = {who: seconds for who, seconds in row["cpu"].items() if who != "others"}
        row["cpu_ms"] = {who: round(s * 1000 / row["n"], 3) for who, s in used.items()}
    if "enqueue_rate" in row:
        row["start_rate"] = row["enqueue_rate"]
    return row


def _middle(rows: Sequence[Row]) -> Row:
    """One row of what a command measured several times: the median of each number.

    Of several variants the first one counts.
    """
    first, found = rows[0], dict(rows[0])
    rows = [row for row in rows if row.get("variant") == first.get("variant")]
    for name, value in first.items():
        if name != "n" and isinstance(value, int | float) and all(name in row for row in rows):
            found[name] = median(row[name] for row in rows)
    return found
