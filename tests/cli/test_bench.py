"""The benchmark runs: nothing is said about how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.heavy
def test_bench_measures_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """One small round prints its table and writes its rows; its data is gone afterwards."""
    out, data = tmp_path / "rows.json", tmp_path / "data"
    words = ["bench/run.py", "--only", "W1", "--n", "50", "--rounds", "1"]
    words += ["--json", str(out), "--data", str(data)]
    found = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "W1  luaflow" in found.stdout
    (row,) = json.loads(out.read_text())["rows"]
    assert row["rate"] > 0
    assert row["memory_bytes"] > 0
    assert set(row["cpu_ms"]) == {"server", "worker", "scheduler", "client"}
    assert not list(data.iterdir())
