"""``python -m tests.fuzz [target…] --inputs N | --minutes M``: hostile input of every kind."""

from __future__ import annotations

import argparse
import sys
import time

from tools import figures

from tests.fuzz.running import Finding, fuzz, keep
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz the named targets, or all; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--inputs", type=int, help="for each target")
    parser.add_argument("--minutes", type=float, default=1.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    for name in asked.targets:
        if name not in TARGETS:
            parser.error(f"there is no target {name!r}: there are {', '.join(TARGETS)}")
    targets = [TARGETS[name]() for name in asked.targets or TARGETS]
    seconds = asked.minutes * 60 / sum(t.share for t in targets)
    counts: dict[str, float] = {"fuzz_inputs": 0, "fuzz_findings": 0}
    began = time.monotonic()
    for target in targets:
        limit = None if asked.inputs else seconds * target.share
        report = fuzz(target, asked.seed, inputs=asked.inputs, seconds=limit, told=_tell)
        print(report, flush=True)
        counts["fuzz_inputs"] += report.inputs
        counts[f"fuzz_inputs_{target.name}"] = report.inputs
        counts["fuzz_findings"] += len(report.findings)
    words = " ".join(target.name for target in targets)
    figures.record(
        "fuzz",
        counts,
        repeat=f"python -m tests.fuzz {words} --minutes {asked.minutes:g} --seed {asked.seed}",
        server="none",
        seconds=time.monotonic() - began,
    )
    return 1 if counts["fuzz_findings"] else 0


def _tell(finding: Finding) -> None:
    print(f"{finding.target}: {finding.words!a}\n  kept as {keep(finding)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
