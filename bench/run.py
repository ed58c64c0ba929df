"""Measures luaflow: ``make bench``, or ``python bench/run.py --help``. What it means: README.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import w1_orders
import w1_python
import w2_latency
import w3_fan_out
import w4_timers
import w5_jobs
import w6_replay
import w7_signals
import w8_memory
import w9_growth
import w10_start_up
from beside import Peer
from report import Row, heading, machine, table
from stack import ROOT, Setup, Stack, running

from luaflow.client import Client
from luaflow.store.scripts import load, names


class Scenario(NamedTuple):
    """One work item: how often by default, how to warm up, what to measure."""

    n: int
    warm_up: Callable[[Client, int], Awaitable[object]]
    measure: Callable[[Client, int], Awaitable[dict[str, float]]]


class Own(NamedTuple):
    """One work item that builds what it needs by itself, and returns rows."""

    n: int
    rounds: Callable[[Setup, int], Awaitable[list[Row]]]


SCENARIOS: dict[str, Scenario | Own] = {
    "W1": Scenario(w1_orders.N, w1_orders.warm_up, w1_orders.measure),
    "W1-ASYNC": Scenario(*w1_python.orders("async")),
    "W1-SYNC": Scenario(*w1_python.orders("sync")),
    "W2": Scenario(w2_latency.N, w2_latency.warm_up, w2_latency.measure),
    "W3": Scenario(w3_fan_out.N, w3_fan_out.warm_up, w3_fan_out.measure),
    "W4": Scenario(w4_timers.N, w4_timers.warm_up, w4_timers.measure),
    "W4-10K": Scenario(10 * w4_timers.N, w4_timers.warm_up, w4_timers.measure),
    "W5": Scenario(w5_jobs.N, w5_jobs.warm_up, w5_jobs.measure),
    "W6": Own(w6_replay.N, w6_replay.rounds),
    "W7": Scenario(w7_signals.N, w7_signals.warm_up, w7_signals.measure),
    "W8": Own(w8_memory.N, w8_memory.rounds),
    "W9": Own(w9_growth.N, w9_growth.rounds),
    "W10": Own(w10_start_up.N, w10_start_up.rounds),
}


async def measure(name: str, scenario: Scenario, n: int, stack: Stack) -> Row:
    """Warm up, then measure once: what the scenario says, the rate, CPU and bytes a workflow."""
    await scenario.warm_up(stack.client, n)
    memory, aof = await stack.bytes()
    load, cpu, since = os.getloadavg()[0], stack.cpu(), time.perf_counter()
    row: Row = {"work": name, "n": n, **await scenario.measure(stack.client, n)}
    wall = time.perf_counter() - since
    row |= {"wall_s": round(wall, 3), "rate": round(n / wall, 1), "load": round(load, 2)}
    used = {role: seconds - cpu[role] for role, seconds in stack.cpu().items()}
    row["cpu_ms"] = {role: round(seconds * 1000 / n, 3) for role, seconds in used.items()}
    row["cores"] = {role: round(seconds / wall, 2) for role, seconds in used.items()}
    memory_now, aof_now = await stack.bytes()
    row["memory_bytes"] = round((memory_now - memory) / n)
    row["aof_bytes"] = round((aof_now - aof) / n)
    return row


async def measure_luaflow(options: argparse.Namespace, setup: Setup) -> list[Row]:
    """One round: each work item on a stack of its own."""
    rows = []
    for name in options.only:
        scenario = SCENARIOS[name]
        n = options.n or scenario.n
        if isinstance(scenario, Own):
            load = round(os.getloadavg()[0], 2)
            rows += [{"load": load, **row} for row in await scenario.rounds(setup, n)]
            continue
        async with running(setup) as stack:
            rows.append(await measure(name, scenario, n, stack))
            if setup.slow_log:
                rows[-1]["scripts"] = await scripts(stack.client)
    return rows


async def scripts(client: Client) -> Row:
    """Calls and microseconds of each server script and command since the start (slow log)."""
    known = {load(name).sha: name for name in names()}
    (entries,) = await client.store.read(("SLOWLOG", "GET", -1))
    found: dict[str, list[int]] = {}
    for entry in entries:
        first, second = [*map(bytes, entry[3][:2]), b""][:2]
        name = known.get(second) or first.decode(errors="replace").lower()
        calls = found.setdefault(name, [0, 0])
        calls[0] += 1
        calls[1] += entry[2]
    most = sorted(found.items(), key=lambda item: -item[1][1])
    return {name: {"calls": calls, "us": us} for name, (calls, us) in most}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--only", default=",".join(SCENARIOS), help="work items (default: %(default)s)")
    add("--n", type=int, help="workflows a work item (default: each has its own)")
    add("--rounds", type=int, default=3, help="how often (default: %(default)s)")
    add("--processes", choices=["all", "separate"], default="all")
    add("--workers", type=int, default=1, help="worker processes (default: %(default)s)")
    add("--appendfsync", choices=["everysec", "always"], default="everysec")
    add("--data", type=Path, default=ROOT / ".luaflow", help="where the servers write their data")
    add("--server", type=Path, help="a server binary instead of the embedded one")
    what = "a peer to alternate with, repeatable; see README.md"
    add(
        "--beside", metavar="[NAME=]COMMAND", type=Peer.read, action="append", default=[], help=what
    )
    add("--json", type=Path, metavar="FILE", help="write all rows there")
    add("--profile", type=Path, metavar="FOLDER", help="profile the workers; slows them down")
    add("--scripts", action="store_true", help="time each server script; slows the server down")
    options = parser.parse_args()
    options.only = options.only.upper().split(",")
    unknown = sorted(set(options.only) - SCENARIOS.keys())
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}: choose from {', '.join(SCENARIOS)}")
    return options


def repeat(options: argparse.Namespace) -> str:
    """The command that measures this again; where peers and files are is no matter of others."""
    words = ["bench/run.py", "--only", ",".join(options.only), "--rounds", str(options.rounds)]
    words += ["--n", str(options.n)] if options.n else []
    words += ["--processes", options.processes, "--workers", str(options.workers)]
    words += ["--appendfsync", options.appendfsync]
    return shlex.join([*words, *(f"--beside={peer.name}=COMMAND" for peer in options.beside)])


def main() -> None:
    """Measure, print the table, write the JSON."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    options = parse()
    if options.profile:
        options.profile.mkdir(parents=True, exist_ok=True)
    setup = Setup(
        data=options.data,
        processes=options.processes,
        appendfsync=options.appendfsync,
        server=options.server,
        profile=options.profile,
        slow_log=options.scripts,
        workers=options.workers,
    )
    about = machine(options.server)
    about["durability"] = f"appendonly yes, appendfsync {options.appendfsync}"
    about["processes"] = f"{options.processes}, {options.workers} workers"
    about["repeat"] = repeat(options)
    print(heading(about), flush=True)
    rows: list[Row] = []
    for number in range(1, options.rounds + 1):
        found = asyncio.run(measure_luaflow(options, setup))
        rows += [{"who": "luaflow", "round": number, **row} for row in found]
        for peer in options.beside:
            theirs = peer.measure(options.only, options.n, options.appendfsync)
            rows += [{"who": peer.name, "round": number, **row} for row in theirs]
        print(f"round {number} of {options.rounds}, load {os.getloadavg()[0]:.2f}", flush=True)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
