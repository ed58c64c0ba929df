"""``python -m tests.fuzz [target…] --inputs N | --minutes M [--seed S] [--figures]``."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tools.figures import record

from tests.fuzz.running import Finding, Limits, Report, fuzz_apart
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz; 1 when there were findings, whose inputs are kept in ``tests/fuzz/found``."""
    args = _arguments()
    chosen = [TARGETS[name] for name in args.targets or TARGETS]
    whole = sum(target.share for target in chosen)
    rates = sum(target.share * target.rate for target in chosen)
    began = time.monotonic()
    reports: list[Report] = []
    for target in chosen:
        limits = (
            Limits(inputs=max(1, round(args.inputs * target.share * target.rate / rates)))
            if args.inputs
            else Limits(seconds=args.minutes * 60 * target.share / whole)
        )
        reports.append(fuzz_apart(target(), args.seed, limits, _tell))
        sys.stdout.write(f"{reports[-1]}\n")
        sys.stdout.flush()
    inputs, findings = (
        sum(report.inputs for report in reports),
        sum(len(report.findings) for report in reports),
    )
    sys.stdout.write(f"{inputs} inputs, {findings} findings, seed {args.seed}\n")
    if args.figures:
        counts = {f"fuzz_{report.target}_inputs": report.inputs for report in reports}
        counts |= {"fuzz_inputs": inputs, "fuzz_findings": findings}
        limit = f"--inputs {args.inputs}" if args.inputs else f"--minutes {args.minutes}"
        names = " ".join(args.targets)
        record(
            "fuzz",
            counts,
            repeat=f"python -m tests.fuzz {names} {limit} --seed {args.seed}".replace("  ", " "),
            server="embedded",
            seconds=time.monotonic() - began,
        )
    return 1 if findings else 0


def _tell(finding: Finding) -> None:
    sys.stdout.write(f"  {finding.target}: {finding.words}\n    kept as {finding.keep()}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--inputs", type=int, help="how many, over all targets")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long, over all targets")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--figures", action="store_true", help="write the figures of the run")
    args = parser.parse_args()
    unknown = set(args.targets) - set(TARGETS)
    if unknown:
        parser.error(
            f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}"
        )
    return args


if __name__ == "__main__":
    sys.exit(main())
