"""What an order of W1 costs the server, by script: CPU or instructions, commands, bytes of the AOF.

    .venv/bin/python bench/server_cost.py                  # microseconds of CPU
    .venv/bin/python bench/server_cost.py --instructions   # thousands of instructions, by valgrind
    .venv/bin/python bench/server_cost.py --separate       # activities through their own tasks

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
from luaflow.store import attempts, transitions
from luaflow.store.attempts import Proof
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


def outcome(step: int) -> bytes:
    """How the activity of a step ended."""
    return orjson.dumps({"seq": step, "result": STEPS[step - 1][1], "attempt": 1})


def commit(route: Route, step: int, last: Sequence[Any], *, separate: bool = False) -> Call:
    """A decision, 1 to 4: the result of the activity before it, and the next one or the end."""
    results: list[tuple[int, str, str, bytes, int]] = []
    operations: list[Any]
    seen = 3 * (step - 1) + separate or 1
    if step > 1 and not separate:
        token = f"{WORKER}.{step - 1}"
        results = [(step - 1, token, "ActivityTaskCompleted", outcome(step - 1), last[4])]
    queue = [route.partition.activity_queue("bench")] if separate and step <= len(STEPS) else []
    if step <= len(STEPS):
        asked = orjson.dumps({"seq": step, "activity": STEPS[step - 1][0], "input": [ORDER]})
        operations = ["L", step, asked, b"", f"{WORKER}.{step}", WORKER, 600_000, 0, 0]
        if separate:
            operations = ["A", step, asked, b"", transitions.COMMIT_KEYS + 1, 600_000, 0, 0, 0]
    else:
        end = ("completed", "WorkflowExecutionCompleted", orjson.dumps(RESULT))
        operations = ["Z", *end, 0, 0, b"", "close"]
    return transitions.commit(
        route=route,
        cid=f"{WORKER}.{route.run_id[:4]}{step}",
        turn=2 * step if separate else 2,
        seen=seen,
        worker=WORKER,
        fused=step > 1 and not separate,
        sticky=WORKER,
        decision=orjson.dumps({"seen": seen + len(results), "worker": WORKER}),
        results=results,
        operations=operations,
        others=queue,
    )


async def send(store: Store, calls: Sequence[Call]) -> list[list[Any]]:
    """The calls, some at once, in order; each must do its work."""
    found: list[list[Any]] = []
    for at in range(0, len(calls), BATCH):
        found += await store.run(*calls[at : at + BATCH])
    refused = [answer for answer in found if answer[0] not in {b"ok", b"started"}]
    assert not refused, refused[0]
    return found


async def take(store: Store, streams: Sequence[str]) -> list[tuple[str, str, str]]:
    """Read all tasks, as a worker does: stream, entry, run id."""
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


class Play:
    """The life of ``n`` orders, all of them in step; each kind of call is a phase."""

    def __init__(self, store: Store, meter: Meter, n: int) -> None:
        self._store, self._meter = store, meter
        ids = [uuid.uuid4().hex for _ in range(n)]
        self._routes = [Route(store.partition(i), i, uuid.uuid4().hex, "bench") for i in ids]
        self._by_run = {route.run_id: route for route in self._routes}

    async def begin(self) -> None:
        """The orders are started."""
        store = self._store
        for p in store.partitions:
            await store.run(groups([p.workflow_queue("bench"), p.sticky(WORKER)]))
            await store.run(groups([p.activity_queue("bench")]))
        await self._meter.phase("before")
        numbers = [count(1) for _ in store.partitions]  # dense for each partition, as in a client
        routes = self._routes
        await send(store, [start(r, next(numbers[r.partition.number])) for r in routes])
        await self._meter.phase("start")

    async def take(self, step: int = 1) -> list[tuple[Route, list[Any]]]:
        """Their tasks are read and taken; what the server answered."""
        p = self._store.partitions
        own = [one.sticky(WORKER) for one in p] if step > 1 else []
        found = await take(self._store, [*own, *(one.workflow_queue("bench") for one in p)])
        told = (f"{WORKER}.{{}}{step - 1}", 3 * (step - 1)) if step > 1 else ("", 0)
        calls = [
            transitions.take_workflow(
                partition=self._by_run[run].partition,
                run_id=run,
                stream=stream,
                turn=2 * step - 1,
                worker=WORKER,
                entry=entry,
                cached_cid=told[0].format(run[:4]),
                cached=told[1],
            )
            for stream, entry, run in found
        ]
        await self._meter.phase(f"xreadgroup {step}")
        answers = await send(self._store, calls)
        await self._meter.phase(f"take {step}")
        routes = [self._by_run[run] for _, _, run in found]
        return list(zip(routes, answers, strict=True))

    async def fused(self) -> None:
        """One worker decides and runs the activities."""
        taken = [(route, [0, 0, 0, 0, answer[3]]) for route, answer in await self.take()]
        for step in range(1, len(STEPS) + 2):
            answers = await send(self._store, [commit(r, step, last) for r, last in taken])
            taken = [(r, last) for (r, _), last in zip(taken, answers, strict=True)]
            await self._meter.phase(f"commit {step}")

    async def separate(self) -> None:
        """One worker decides, another one runs the activities."""
        for step in range(1, len(STEPS) + 2):
            taken = await self.take(step)
            calls = [commit(r, step, (), separate=True) for r, _ in taken]
            await send(self._store, calls)
            await self._meter.phase(f"commit {step}")
            if step <= len(STEPS):
                await self._activities(step)

    async def _activities(self, step: int) -> None:
        queues = [p.activity_queue("bench") for p in self._store.partitions]
        found = await take(self._store, queues)
        await self._meter.phase(f"xreadgroup a{step}")
        tasks = [(self._by_run[run], entry, f"{WORKER}.{step}") for _, entry, run in found]
        calls = [
            attempts.take_activity(
                partition=route.partition,
                run_id=route.run_id,
                queue="bench",
                seq=str(step),
                attempt=1,
                worker=WORKER,
                token=token,
                entry=entry,
            )
            for route, entry, token in tasks
        ]
        await send(self._store, calls)
        await self._meter.phase(f"take a{step}")
        calls = [
            attempts.finish_activity(
                route=route._replace(sticky=WORKER),
                seq=str(step),
                proof=Proof(token=token),
                type="ActivityTaskCompleted",
                body=outcome(step),
            )
            for route, _, token in tasks
        ]
        await send(self._store, calls)
        await self._meter.phase(f"finish a{step}")


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
            play = Play(client.store, meter, options.n)
            await play.begin()
            await (play.separate() if options.separate else play.fused())
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
    add("--separate", action="store_true", help="activities are tasks that another worker takes")
    add("--keep", type=Path, metavar="FOLDER", help="keep what valgrind wrote")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cost-", dir=ROOT / ".luaflow") as name:
        print(asyncio.run(measure(options, Path(name))))
        if options.keep:
            shutil.copytree(name, options.keep, dirs_exist_ok=True, ignore=lambda *_: ["data"])


if __name__ == "__main__":
    main()
