"""``python -m tests.simulation --seed 7 -v`` plays one seed, ``--seeds 0-299`` many."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from luaflow.embedded import EmbeddedServer
from tests.simulation.wire import Server
from tests.simulation.world import World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="0-9")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    seeds = [args.seed]
    if args.seed is None:
        first, _, last = args.seeds.partition("-")
        seeds = list(range(int(first), int(last or first) + 1))
    failed = 0
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder), appendfsync="no") as real:
        server = Server(real.url)
        for seed in seeds:
            began = time.process_time()
            outcome = World(seed, server, print if args.verbose else None).run()
            if not outcome.problems and not args.verbose and len(seeds)>30: continue
            print(seed, f"{time.process_time()-began:.2f}s", f"{outcome.seconds:.0f}", sum(outcome.calls.values()), dict(outcome.faults), outcome.digest[:12], outcome.histories[:12])
            for p in outcome.problems:
                print("   ", p)
            failed += bool(outcome.problems)
        server.close()
    print(f"{failed} of {len(seeds)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
