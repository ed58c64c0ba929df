"""Size budget: modules, functions and scripts stay small enough to be read at one sitting.

The baselines name what is over its budget, with its size today. They may only shrink: a line
here that grew, or that is no longer needed, fails.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("shared", "worker", "scheduler", "web", "cli")

MODULE = 400
FUNCTION = 50  # without its docstring
LUA = 300
SERVER_SCRIPT = 100

FILE_BASELINE: dict[str, int] = {}
FUNCTION_BASELINE: dict[str, int] = {}


# One declaration after the other, for editors to read.
DEFINITIONS = ROOT / "shared/luaflow/lua/library"


def sources(suffix: str) -> list[Path]:
    found = (path for room in ROOMS for path in (ROOT / room).rglob(f"*{suffix}"))
    return sorted(path for path in found if DEFINITIONS not in path.parents)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def file_budget(path: Path) -> int:
    if path.suffix == ".py":
        return MODULE
    return SERVER_SCRIPT if "store/scripts/" in path.as_posix() else LUA


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a module, nested ones too, with its lines of code."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            name = f"{prefix}.{child.name}" if hasattr(child, "name") else prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (child.end_lineno or 0) - child.lineno + 1
                if ast.get_docstring(child, clean=False) is not None:
                    said = child.body[0]
                    lines -= (said.end_lineno or 0) - said.lineno + 1
                yield name, lines
            yield from walk(child, name)

    yield from walk(ast.parse(path.read_text()), name_of(path))


def complaints(sizes: dict[str, tuple[int, int]], baseline: dict[str, int]) -> list[str]:
    """What is wrong with the sizes (name -> lines, budget), as sentences."""
    found = []
    for name, (lines, budget) in sizes.items():
        allowed = baseline.get(name, budget)
        if lines > allowed:
            found.append(f"{name} has {lines} lines, {allowed} are allowed: split it")
        elif name in baseline and lines < allowed:
            best = f"set it to {lines}" if lines > budget else "remove it"
            found.append(f"{name} shrank to {lines} lines; its baseline says {allowed}: {best}")
    gone = sorted(baseline.keys() - sizes.keys())
    return found + [f"{name} is in the baseline but not in the tree" for name in gone]


def test_files_are_small() -> None:
    """Modules have 400 lines at most, Lua files 300, server scripts 100."""
    sizes = {
        name_of(path): (len(path.read_text().splitlines()), file_budget(path))
        for path in sources(".py") + sources(".lua")
    }
    found = complaints(sizes, FILE_BASELINE)
    assert not found, "\n".join(found)


def test_functions_are_small() -> None:
    """Functions have 50 lines at most, without the docstring."""
    sizes = {name: (lines, FUNCTION) for path in sources(".py") for name, lines in functions(path)}
    found = complaints(sizes, FUNCTION_BASELINE)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("lines", "baseline", "says"),
    [
        (50, {}, ""),
        (51, {}, "split it"),
        (60, {"f": 60}, ""),
        (61, {"f": 60}, "split it"),
        (59, {"f": 60}, "set it to 59"),
        (50, {"f": 60}, "remove it"),
        (10, {"g": 60}, "not in the tree"),
    ],
)
def test_baseline_may_only_shrink(lines: int, baseline: dict[str, int], says: str) -> None:
    """A baseline that is larger than the truth is a complaint, too."""
    assert says in "".join(complaints({"f": (lines, 50)}, baseline))
    assert bool(complaints({"f": (lines, 50)}, baseline)) == bool(says)
