"""Runs the test suites of a commit, in a tree of their own, with the recording plugin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.old_tree import full_name, rooms_of, unpack

HERE = Path(__file__).parent


def run_suites(commit: str, folder: Path, suites: Sequence[str]) -> Path:
    """Run the suites as they are at a commit; the folder of what they ran."""
    tree = unpack(commit, folder / "tree")
    # the recorder itself is of today; all it uses of the engine, the old tree has
    shutil.copytree(HERE, tree / "tests/corpus", ignore=shutil.ignore_patterns("*.hist", "*.json"))
    raw = folder / "raw"
    for part in ("histories", "bundles"):
        (raw / part).mkdir(parents=True)
    environment = os.environ | {
        "CORPUS_RECORD": str(raw),
        "CORPUS_COMMIT": full_name(commit)[:12],
        "PYTHONPATH": rooms_of(tree),
    }
    # failures are the business of that commit's own CI: what ran, ran
    options = ("-q", "-p", "tests.corpus.recording", "-m", "not heavy", "-p", "no:cacheprovider")
    command = (sys.executable, "-m", "pytest", *options, *suites)
    subprocess.run(command, cwd=tree, env=environment, check=False)
    return raw
