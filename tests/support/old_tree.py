"""The tree of an older commit, taken out of the repository's own history."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("shared", "worker", "scheduler", "web", "cli")
BEFORE = "96b6e00"
"""The last commit whose processes a tree without a tag must get on with."""


class NoHistory(RuntimeError):
    """The repository's history is not there: a shallow clone, or no repository."""


def _git(*words: str) -> bytes:
    return subprocess.check_output(("git", "-C", str(ROOT), *words), stderr=subprocess.PIPE)


def last_release() -> str:
    """The tag before this commit; without one, the commit that processes must get on with."""
    try:
        return _git("describe", "--tags", "--abbrev=0", "HEAD^").decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return BEFORE


def full_name(commit: str) -> str:
    """The whole hash of a commit; NoHistory where it is not known here."""
    try:
        return _git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    except (OSError, subprocess.CalledProcessError):
        raise NoHistory(
            f"commit {commit} is not in this repository: it is a shallow clone, or an unpacked "
            "archive. Fetch the history: git fetch --unshallow --tags"
        ) from None


def unpack(commit: str, folder: Path) -> Path:
    """Write the tree of a commit into a folder, which is made; return it."""
    name = full_name(commit)
    folder.mkdir(parents=True)
    words = ("git", "-C", str(ROOT), "archive", "--format=tar", name)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as archive:
        subprocess.run(("tar", "-x", "-C", str(folder)), stdin=archive.stdout, check=True)
    if archive.returncode != 0:
        raise NoHistory(f"git archive of {name} failed: its files are not in this clone")
    return folder


def altered_tree(folder: Path, old: str, new: str) -> Path:
    """Copy the rooms of this tree into a folder, with a word replaced wherever it stands."""
    found = 0
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [*(folder / room).rglob("*.py"), *(folder / room).rglob("*.lua")]:
            if old in (text := path.read_text()):
                path.write_text(text.replace(old, new))
                found += 1
    assert found, f"{old!r} is nowhere: the planted violation is out of date"
    return folder


def rooms_of(tree: Path) -> str:
    """The ``PYTHONPATH`` of a tree's own packages."""
    return os.pathsep.join(str(tree / room) for room in ROOMS)
