"""W1 with more worker processes, and on a cluster of three nodes: what limits, what each node does.

.venv/bin/python bench/scaling.py --rounds 3 --json scaling.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from report import Row, heading, machine, table
from run import SCENARIOS, Scenario, measure
from stack import ROOT, Setup, running

sys.path.insert(0, str(ROOT))  # the cluster of the tests

from tests.support.cluster import Cluster

WORKERS = (1, 2, 4)
PARTITIONS = (16, 64)
NODES = 3


async def one(setup: Setup, work: str, n: int) -> Row:
    """One measurement of W1 on a stack of its own."""
    scenario = SCENARIOS["W1"]
    assert isinstance(scenario, Scenario)
    async with running(setup) as stack:
        return {**await measure("W1", scenario, n, stack), "work": work}


async def on_cluster(setup: Setup, partitions: int, n: int) -> Row:
    """The same on three primaries; of each the commands it carried out, and its cores."""
    setup.data.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=setup.data))
    try:
        async with Cluster(folder, primaries=NODES, replicas=0) as group:
            nodes = {f"node {number}": node for number, node in enumerate(group.nodes, 1)}
            changed = replace(
                setup,
                url=group.url,
                servers={role: node.pid for role, node in nodes.items()},
                workers=NODES,
                settings={"partitions": partitions},
            )
            row = await one(changed, f"W1 cluster of {NODES}, {partitions} partitions", n)
            told = {role: await node.info("stats") for role, node in nodes.items()}
            row["commands"] = {role: int(s["total_commands_processed"]) for role, s in told.items()}
            return row
    finally:
        shutil.rmtree(folder)


async def measured(setup: Setup, n: int) -> list[Row]:
    """One round."""
    rows = [
        await one(replace(setup, workers=workers), f"W1 workers {workers}", n)
        for workers in WORKERS
    ]
    return rows + [await on_cluster(setup, partitions, n) for partitions in PARTITIONS]


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=ROOT / ".luaflow")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    about = {**machine(None), "durability": "appendonly yes, appendfsync everysec"}
    print(heading(about), flush=True)
    rows: list[Row] = []
    for number in range(1, options.rounds + 1):
        found = asyncio.run(measured(Setup(data=options.data), options.n))
        rows += [{"who": "luaflow", "round": number, **row} for row in found]
        print(f"round {number} of {options.rounds}", flush=True)
    print(table(rows))
    for row in rows:
        if "commands" in row:
            print(f"{row['work']}, round {row['round']}: commands {row['commands']}")
    if options.json:
        options.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
