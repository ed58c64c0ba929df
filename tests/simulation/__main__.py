"""Play seeds of the simulation: ``python -m tests.simulation --seeds 0-299``.

``--seed 7 -v`` plays one and prints what happened in it: every call, fault and end of an actor.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tools import figures

from tests.simulation.mutations import MUTATIONS, TRIES, hunt
from tests.simulation.seeds import play, report, server_of_our_own, version
from tests.simulation.wire import Server
from tests.simulation.world import Outcome, World


def main() -> int:
    """Play what the command line says; 1 when a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one seed")
    parser.add_argument("--seeds", default="0-299", metavar="A-B", help="play these (0-299)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what happens")
    parser.add_argument("--figures", action="store_true", help="write the figures to a file")
    parser.add_argument("--mutations", metavar="WORD", help="hunt mutations with WORD in the name")
    parser.add_argument("--server", type=Path, help="the server to run on")
    args = parser.parse_args()
    with server_of_our_own(args.server) as server:
        if args.mutations is not None:
            return _hunt(args.mutations, server)
        if args.seed is not None:
            outcome = World(args.seed, server, print if args.verbose else None).run()
            print(report(outcome) if outcome.problems else f"seed {args.seed} passes")
            print(f"{outcome.digest[:16]} calls and faults, {outcome.histories[:16]} histories")
            return 1 if outcome.problems else 0
        return _many(args, server)


def _many(args: argparse.Namespace, server: Server) -> int:
    first, _, last = args.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began = time.monotonic()

    def told(outcome: Outcome) -> None:
        if outcome.problems:
            print(report(outcome), flush=True)

    total = play(seeds, server, told)
    seconds = time.monotonic() - began
    for name, count in total.counts().items():
        print(f"{name:<32}{count:>12,.0f}")
    print(f"{len(total.failed)} of {total.seeds} seeds failed ({seconds:.0f} s)")
    if args.figures:
        repeat = f"make sim SEEDS={args.seeds}"
        where = figures.record(
            "simulation",
            total.counts(),
            repeat=repeat,
            server=version(args.server),
            seconds=seconds,
        )
        print(f"figures: {where}")
    if missing := total.missing():
        print("too rare for this batch to mean anything: " + ", ".join(missing))
    return 1 if total.failed or (missing and len(seeds) >= 100) else 0


def _hunt(word: str, server: Server) -> int:
    failed = 0
    for mutation in MUTATIONS:
        if word not in mutation.name:
            continue
        found = hunt(mutation, server)
        failed += found is None
        how = "NOT FOUND"
        if found:
            tried = [*mutation.seeds].index(found.seed) + 1
            how = f"{tried} of {TRIES} seeds, {found.seed}: {found.problems[0][:120]!r}"
        print(f"{mutation.rule:<5} {mutation.name}: {how}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
