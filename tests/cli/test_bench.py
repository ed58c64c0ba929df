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


@pytest.mark.heavy
@pytest.mark.timeout(1200)  # some twenty stacks of processes, one after the other
def test_every_scenario_has_its_figures_also_beside_a_peer(tmp_path: Path) -> None:
    """Small sizes: each work item ends and says what it is for."""
    out, peer = tmp_path / "rows.json", tmp_path / "peer.sh"
    lines = [{"work": "W1", "n": 10, "rate": rate, "cpu": {"server": 0.1}} for rate in (1, 3)]
    peer.write_text("\n".join(f"echo '{json.dumps(line)}'" for line in lines))
    words = ["bench/run.py", "--n", "20", "--rounds", "1", "--json", str(out)]
    words += ["--data", str(tmp_path / "data"), "--beside", f"slow=sh {peer}"]
    found = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    rows = json.loads(out.read_text())["rows"]
    works = {row["work"].partition(" ")[0] for row in rows}
    assert works == {
        *("W1", "W1-ASYNC", "W1-SYNC", "W2", "W3", "W4", "W4-10K", "W5", "W6", "W7"),
        *("W8", "W9", "W10"),
    }
    (theirs,) = (row for row in rows if row["who"] == "slow")
    assert (theirs["rate"], theirs["cpu_ms"]) == (2, {"server": 10.0})
    assert "times as good as slow" in found.stdout
    measured = {name for row in rows for name, value in row.items() if value}
    wanted = (
        "events_rate ready_ms query_ms signal_rate open_bytes packed_bytes help_ms dev_ready_ms"
    )
    assert measured >= set(wanted.split())
