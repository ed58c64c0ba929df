"""``python -m tests.chaos``: real processes under faults for some minutes, and the verdict.

Exit codes: 0 all is well, 1 an invariant is violated, 2 too little happened to say so.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.figures import record

from tests.chaos import plan
from tests.chaos.faults import FAULTS
from tests.chaos.run import Impossible, Order, Outcome, run

SHOWN = 30
"""Problems that are printed; all of them are in the folder of the run."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    faults = "\n".join(f"  {n:20} {' '.join((f.__doc__ or '').split())}" for n, f in FAULTS.items())
    made = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=(__doc__ or "").partition("\n")[2],
        epilog=f"faults:\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--minutes", type=float, default=5.0, help="how long faults and clients are at work")
    add("--faults", default="all", help="names with commas between; name=N: at least N of it")
    add("--seed", type=int, help="repeats a plan; else one is drawn and printed")
    add("--runs", type=int, default=0, help="jobs that must be done, however long it takes")
    add("--fsync", choices=("always", "everysec"), default="always", help="appendfsync")
    add("--at-once", type=int, default=100, help="clients, each with one job at a time")
    add("--server", type=Path, help="the server's binary; else the one luaflow finds")
    add("--folder", type=Path, help="where logs and data go; else a new temporary one")
    add(
        "--data",
        type=Path,
        help="where the server's data goes: a folder that is made, and removed at the end",
    )
    return made


def repeat(args: argparse.Namespace, seed: int) -> str:
    """The command that does it again."""
    parts = [f"make chaos MINUTES={args.minutes:g}", f"FAULTS={args.faults}", f"SEED={seed}"]
    parts += [f"RUNS={args.runs}"] if args.runs else []
    parts += [f"FSYNC={args.fsync}"] if args.fsync != "always" else []
    parts += [f"SERVER={args.server}"] if args.server else []
    parts += [f"DATA={args.data}"] if args.data else []
    return " ".join(parts)


def tell(outcome: Outcome) -> None:
    """Print the verdict."""
    verdict = outcome.verdict
    print(", ".join(f"{name} {count}" for name, count in sorted(verdict.counts.items())))
    print(", ".join(f"{name} {value}" for name, value in sorted(verdict.notes.items())))
    lines = [f"{problem.kind}: {problem.text}" for problem in verdict.problems]
    (outcome.folder / "problems.txt").write_text("\n".join(lines))
    for line in lines[:SHOWN]:
        print(line)
    if len(lines) > SHOWN:
        print(f"… and {len(lines) - SHOWN} more in {outcome.folder}/problems.txt")
    for reason in verdict.invalid:
        print(f"invalid: {reason}")
    print({0: "all is well", 1: "VIOLATED", 2: "INVALID: it says nothing"}[verdict.exit_code])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit code."""
    args = parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("luaflow.embedded").setLevel(logging.CRITICAL)  # that it dies is planned
    seed = random.SystemRandom().randrange(1_000_000) if args.seed is None else args.seed
    command = repeat(args, seed)
    print(f"again: {command}")
    try:
        order = Order(
            seconds=args.minutes * 60,
            seed=seed,
            faults=plan.parse(args.faults),
            runs=args.runs,
            fsync=args.fsync,
            at_once=args.at_once,
            binary=args.server,
            folder=args.folder,
            data=args.data,
        )
        outcome = asyncio.run(run(order))
    except (Impossible, ValueError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    tell(outcome)
    verdict = outcome.verdict
    if not verdict.invalid:
        path = record(
            "chaos",
            verdict.counts,
            repeat=command,
            server=f"{outcome.server}, appendfsync {args.fsync}"
            + (f", data in {args.data}" if args.data else ""),
            seconds=outcome.seconds,
            notes=verdict.notes,
        )
        print(f"figures: {path}")
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
