"""The wheel holds what the tree holds: hatchling leaves out in silence what .gitignore matches."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("shared", "worker", "scheduler", "cli")
SUFFIXES = {".py", ".lua", ".json", ".typed"}


@pytest.mark.heavy
def test_wheel_holds_every_file_of_the_tree(tmp_path: Path) -> None:
    """Every .py, .lua and .json file of the rooms is in the wheel, and nothing else."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--quiet", "--wheel-dir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("luaflow-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        found = {name for name in opened.namelist() if ".dist-info/" not in name}
    tree = {
        path.relative_to(ROOT / room).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.suffix in SUFFIXES
    }
    assert found == tree
