"""Figures of long runs (simulation, chaos, fuzzing …), kept as files that can be summed.

Each run writes one JSON object: which tool ran, how it is repeated, on which commit and server, for
how long, and what it counted. ``docs/figures`` holds those that are published.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("FIGURES", ROOT / "build" / "figures"))


def record(
    tool: str,
    counts: Mapping[str, float],
    *,
    repeat: str,
    server: str,
    seconds: float,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Write the figures of one run and return the file.

    ``counts`` are summed over runs ("worker_kills": 40); ``repeat`` is the command that does it
    again; ``server`` the kind and version ("Valkey 9.1.2"); ``notes`` is what cannot be summed.
    """
    now = time.time()
    entry = {
        "tool": tool,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "commit": commit(),
        "server": server,
        "seconds": round(seconds, 1),
        "repeat": repeat,
        "counts": dict(counts),
        "notes": dict(notes or {}),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{tool}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}-{os.getpid()}.json"
    path.write_bytes(orjson.dumps(entry, option=orjson.OPT_INDENT_2) + b"\n")
    return path


def commit() -> str:
    """The commit of the tree that runs, with a + where it was changed since."""
    git = ("git", "-C", str(ROOT))
    try:
        name = subprocess.check_output((*git, "rev-parse", "--short", "HEAD"), text=True).strip()
        changed = subprocess.check_output((*git, "status", "--porcelain", "-uno"), text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name}+" if changed.strip() else name


def read_all(folder: Path) -> list[dict[str, Any]]:
    """All figures in a folder, oldest first."""
    found = [orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda entry: entry["at"])
