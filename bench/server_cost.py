"""What an order of W1 costs the server, by script: CPU or instructions, commands, bytes of the AOF.

    .venv/bin/python bench/server_cost.py                  # microseconds of CPU
    .venv/bin/python bench/server_cost.py --instructions   # thousands of instructions, by valgrind

The calls are those of W1 (``w1_orders.py``), made by hand: no worker shares what is measured.
Instructions are the same whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from measuring import ORDER
from stack import ROOT

from luaflow.client import Client
from luaflow.embedded import EmbeddedServer, find_server
from luaflow.store import transitions
from luaflow.store.keys import GROUP
from luaflow.store.link import Call
from luaflow.store.store import Store
from luaflow.store.tasks import groups
from luaflow.store.transitions import RequestId, Route

WORKER = "we743ecc8"
BATCH = 25
"""Calls that leave together: about as many as a worker of W1 commits at once."""
SESSION = uuid.uuid4().hex
BUNDLE = uuid.uuid4().hex
STEPS = (
    ("bench:reserve", {"ok": True, "reservation": "r-ord-000001"}),
    ("bench:charge", {"amount": 129.5, "ok": True, "payment": "p-ord-000001"}),
    ("bench:ship", {"ok": True, "tracking": "t-ord-000001"}),
)
RESULT = {
    "result": {
        "payment": "p-ord-000001",
        "reservation": "r-ord-000001",
        "tracking": "t-ord-000001",
    }
}


def start(route: Route, number: int) -> Call:
    """The start of an order, with the body that a client writes."""
    body = {
        "attempt": 1,
        "bundle": BUNDLE,
        "client": "bench:client",
        "context": {},
        "first_run_id": route.run_id,
        "host": "bench:worker",
        "identity": "root@vm:15591",
        "input": [ORDER],
        "run_id": route.run_id,
        "rv": 1,
        "task_queue": "bench",
        "type": "bench:order",
        "v": 1,
        "workflow_id": route.workflow_id,
    }
    return transitions.start(
        route=route,
        type="bench:order",
        bundle=BUNDLE,
        started=orjson.dumps(body),
        request=RequestId(SESSION, number, max(1, number - 4)),
    )


def commit(route: Route, step: int, last: Sequence[Any]) -> Call:
    """A decision, 1 to 4: the result of the activity before it, and the next one or the end."""
    results: list[tuple[int, str, str, bytes, int]] = []
    operations: list[Any]
    seen = 3 * (step - 1) or 1
    if step > 1:
        body = {"seq": step - 1, "result": STEPS[step - 2][1], "attempt": 1}
        token = f"{WORKER}.{step - 1}"
        results = [(step - 1, token, "ActivityTaskCompleted", orjson.dumps(body), last[4])]
    if step <= len(STEPS):
        asked = orjson.dumps({"seq": step, "activity": STEPS[step - 1][0], "input": [ORDER]})
        operations = ["L", step, asked, b"", f"{WORKER}.{step}", WORKER, 600_000, 0, 0]
    else:
        end = ("completed", "WorkflowExecutionCompleted", orjson.dumps(RESULT))
        operations = ["Z", *end, 0, 0, b"", "close"]
    return transitions.commit(
        route=route,
        cid=f"{WORKER}.{route.run_id[:4]}{step}",
        turn=2,
        seen=seen,
        worker=WORKER,
        fused=step > 1,
        sticky=WORKER,
        decision=orjson.dumps({"seen": seen + len(results), "worker": WORKER}),
        results=results,
        operations=operations,
        others=(),
    )


async def send(store: Store, calls: Sequence[Call]) -> list[list[Any]]:
    """The calls, some at once, in order; each must do its work."""
    found: list[list[Any]] = []
    for at in range(0, len(calls), BATCH):
        found += await store.run(*calls[at : at + BATCH])
    refused = [answer for answer in found if answer[0] not in {b"ok", b"started"}]
    assert not refused, refused[0]
    return found


async def take(store: Store) -> list[tuple[str, str, str]]:
    """Read all tasks, as a worker does: stream, entry, run id."""
    streams = [p.workflow_queue("bench") for p in store.partitions]
    command = ("XREADGROUP", "GROUP", GROUP, WORKER, "STREAMS", *streams, *(">" for _ in streams))
    (answer,) = await store.read(command)
    texts = [(stream, entry, fields[1]) for stream, entries in answer for entry, fields in entries]
    return [tuple(bytes(part).decode() for part in one) for one in texts]  # type: ignore[misc]


class Meter:
    """Reads what the server has done since it was asked last, and keeps it by phase."""

    def __init__(self, store: Store, pid: int, folder: Path, *, instructions: bool) -> None:
        self._store = store
        self._pid = pid
        self._folder = folder
        self._instructions = instructions
        self._before: dict[str, float] = {}
        self.rows: dict[str, dict[str, float]] = {}

    async def phase(self, name: str) -> None:
        """End a phase; what was done since the last one is its."""
        now = await self._read()
        self.rows[name] = {key: n - self._before.get(key, 0) for key, n in now.items()}
        if self._instructions:
            self.rows[name]["cost"] = self._dump(name)
        self._before = await self._read()

    async def _read(self) -> dict[str, float]:
        sections = ("cpu", "persistence", "commandstats")
        texts = await self._store.read(*(("INFO", section) for section in sections))
        cpu, disk, stats = (bytes(text).decode() for text in texts)
        found = {"aof": float(re.findall(r"aof_current_size:(\d+)", disk)[0])}
        main = re.findall(r"used_cpu_(?:sys|user)_main_thread:([\d.]+)", cpu)
        found["cost"] = sum(map(float, main)) * 1e6
        for command, calls in re.findall(r"cmdstat_([a-z|]+):calls=(\d+)", stats):
            if command not in {"info", "evalsha", "eval", "script|load"}:
                found[command] = float(calls)
        return found

    def _dump(self, name: str) -> float:
        """The instructions since the last dump, in thousands."""
        told = ["callgrind_control", f"--dump={name.replace(' ', '-')}", str(self._pid)]
        subprocess.run(told, check=True, capture_output=True)
        newest = max(self._folder.glob("callgrind.out.*"), key=lambda file: file.stat().st_mtime_ns)
        return (
            int(re.findall(r"^(?:summary|totals): (\d+)", newest.read_text(), re.MULTILINE)[0])
            / 1e3
        )


def server(folder: Path, binary: Path, *, instructions: bool) -> EmbeddedServer:
    """The embedded server, under valgrind where instructions are counted."""
    if instructions:
        wrapper = folder / "server"
        out = folder / "callgrind.out"
        valgrind = f"valgrind --tool=callgrind --callgrind-out-file={out} {binary}"
        wrapper.write_text(f'#!/bin/sh\nexec {valgrind} "$@"\n')
        wrapper.chmod(0o755)
        binary = wrapper
    return EmbeddedServer(folder / "data", appendfsync="everysec", binary=binary)


async def play(store: Store, meter: Meter, n: int) -> None:
    """The life of ``n`` orders, all of them in step."""
    ids = [uuid.uuid4().hex for _ in range(n)]
    routes = [Route(store.partition(i), i, uuid.uuid4().hex, "bench") for i in ids]
    by_run = {route.run_id: route for route in routes}
    await store.run(*(groups([p.workflow_queue("bench")]) for p in store.partitions))
    await meter.phase("before")
    numbers = [count(1) for _ in store.partitions]  # dense for each partition, as in a client
    await send(store, [start(r, next(numbers[r.partition.number])) for r in routes])
    await meter.phase("start")
    found = await take(store)
    taken = [by_run[run] for _, _, run in found]
    calls = [
        transitions.take_workflow(
            partition=route.partition,
            run_id=route.run_id,
            stream=stream,
            turn=1,
            worker=WORKER,
            entry=entry,
        )
        for route, (stream, entry, _) in zip(taken, found, strict=True)
    ]
    await meter.phase("xreadgroup")
    answers = await send(store, calls)
    await meter.phase("take_workflow")
    answers = [[0, 0, 0, 0, answer[3]] for answer in answers]
    for step in range(1, len(STEPS) + 2):
        calls = [commit(*pair) for pair in zip(taken, [step] * n, answers, strict=True)]
        answers = await send(store, calls)
        await meter.phase(f"commit {step}")


def report(rows: dict[str, dict[str, float]], n: int, unit: str) -> str:
    """A line for each phase, and one for all: an order's share."""
    total: dict[str, float] = {}
    lines = []
    for name, row in {**rows, "an order": total}.items():
        cost, aof = (row.get(key, 0) / n for key in ("cost", "aof"))
        commands = {c: k / n for c, k in row.items() if c not in {"cost", "aof"} and k >= n / 4}
        told = " ".join(f"{c}:{k:g}" for c, k in sorted(commands.items(), key=lambda p: -p[1]))
        lines.append(
            f"{name:<14}{cost:9.1f} {unit}{aof:8.0f} B{sum(commands.values()):6.1f}  {told}"
        )
        if name != "before":
            for key, value in row.items():
                total[key] = total.get(key, 0) + value
    return "\n".join(lines[1:])


async def measure(options: argparse.Namespace, folder: Path) -> str:
    """Start a server, play, tell."""
    binary = options.server or find_server()
    with server(folder, binary, instructions=options.instructions) as running:
        client = await Client.connect(running.url, "default")
        try:
            meter = Meter(client.store, running.pid, folder, instructions=options.instructions)
            await play(client.store, meter, options.n)
            return report(meter.rows, options.n, "ki" if options.instructions else "us")
        finally:
            await client.close()


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--n", type=int, default=2000, help="orders (default: %(default)s)")
    add("--server", type=Path, help="a server binary instead of the embedded one")
    add("--instructions", action="store_true", help="count instructions (needs valgrind; slow)")
    add("--keep", type=Path, metavar="FOLDER", help="keep what valgrind wrote")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cost-", dir=ROOT / ".luaflow") as name:
        print(asyncio.run(measure(options, Path(name))))
        if options.keep:
            shutil.copytree(name, options.keep, dirs_exist_ok=True, ignore=lambda *_: ["data"])


if __name__ == "__main__":
    main()
