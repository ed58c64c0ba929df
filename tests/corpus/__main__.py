"""``python -m tests.corpus``: record histories of a commit, seal new files, check old ones."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.corpus.choosing import choose, keep
from tests.corpus.files import FOLDER, changed, histories, seal
from tests.corpus.running import run_suites

SUITES = (
    *("tests/fundamentals", "tests/protocol", "tests/processes", "tests/modules"),
    *("tests/reference", "tests/web", "tests/cli/test_cli_asking.py"),
    "tests/corpus/test_scenes.py",
)


def main() -> int:
    """Do what the first word says."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parts = parser.add_subparsers(dest="what", required=True)
    record = parts.add_parser("record", help="run the suites of a commit and keep new shapes")
    record.add_argument("--commit", default="HEAD", help="whose code and tests run")
    record.add_argument("--raw", type=Path, help="a folder of recorded runs to choose from instead")
    record.add_argument("--most", type=int, default=400, help="histories to add at most")
    record.add_argument("suites", nargs="*", default=SUITES)
    parts.add_parser("seal", help="append the hashes of new files to HASHES")
    parts.add_parser("check", help="say which files were rewritten or removed")
    asked = parser.parse_args()
    if asked.what == "record":
        with tempfile.TemporaryDirectory(prefix="luaflow-corpus-") as temporary:
            raw = asked.raw or run_suites(asked.commit, Path(temporary), asked.suites)
            found = keep(choose(raw, asked.most), raw, print)
        print(f"{found} new histories, {len(histories())} in all; {seal()} files sealed")
    elif asked.what == "seal":
        print(f"{seal()} files sealed in {FOLDER / 'HASHES'}")
    problems = changed()
    print("\n".join(problems) or "no stored file was changed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
