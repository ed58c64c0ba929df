"""The wheel holds what the tree holds: hatchling leaves out in silence what .gitignore matches."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("shared", "worker", "scheduler", "web", "cli")
SUFFIXES = {".py", ".lua", ".json", ".typed"}


EXAMPLE = "luaflow_cli/examples/orders"
EXAMPLES = {EXAMPLE: "examples/orders", "luaflow_cli/examples/bench": "bench/app"}


def build(folder: Path) -> Path:
    """Build the wheel into a folder; return it."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--quiet", "--wheel-dir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("luaflow-*.whl")
    return wheel


@pytest.mark.heavy
def test_wheel_holds_every_file_of_the_tree(tmp_path: Path) -> None:
    """Every .py, .lua and .json file of the rooms is in the wheel, the examples, and nothing else.

    The demo of that wheel finds its app, with no checkout around it.
    """
    wheel = build(tmp_path)
    with zipfile.ZipFile(wheel) as opened:
        found = {name for name in opened.namelist() if ".dist-info/" not in name}
        opened.extractall(tmp_path / "site")
    example = {name for name in found if name.startswith(tuple(EXAMPLES))}
    kept = {
        f"{place}/{p.relative_to(ROOT / folder).as_posix()}"
        for place, folder in EXAMPLES.items()
        for p in (ROOT / folder).rglob("*")
        if p.is_file() and p.suffix != ".pyc"
    }
    assert {name for name in kept if "/." not in name} == example
    look = "from luaflow_cli.demo import example; from luaflow.registry import load_app; "
    look += "app = load_app(example()); print(app.root, sorted(app.workflows))"
    done = subprocess.run(
        [sys.executable, "-c", look],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path / "site" / EXAMPLE))
    assert "app:order_demo" in done.stdout
    tree = {
        path.relative_to(ROOT / room).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.suffix in SUFFIXES
    }
    assert found - example == tree
