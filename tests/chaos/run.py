"""One chaos run: a server, processes, clients, the plan carried out, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from luaflow import Client
from luaflow.deploy import deploy
from luaflow.registry.app import load_app
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace
from tests.chaos import plan
from tests.chaos.checker import Checker, Evidence, Problem, Verdict
from tests.chaos.faults import FAULTS, Ambient
from tests.chaos.load import Load
from tests.chaos.log import ClientLog
from tests.chaos.network import Network, Rates
from tests.chaos.processes import Crew
from tests.chaos.server import Server, faketime, faketime_library
from tests.chaos.world import World
from tests.support.effects import read_effects
from tests.support.histories import leftovers, read_pages
from tests.support.keys import leftover_keys
from tests.support.replays import Replays

APP = Path(__file__).parent / "app"
NAMESPACE = "chaos"
ROLES = ("all", "all", "workflow", "activity")
SCHEDULERS = 2
LEASE_MS = 1000
END_SECONDS = 60.0
"""How long after the last fault the last run may end (I9)."""
QUIET_SECONDS = 30.0
"""How long it may take until nothing is left over (I8)."""

GROWTH = 1.05
SLACK_BYTES = 4 << 20
"""What the server may use more than before when all runs are removed (I10): it grows by 1 MB
once, by its own tables, however many runs there were."""

_KILLS = {"worker_kills", "scheduler_kills", "script_flushes"}
TIMED = {
    "takeover": _KILLS,
    "timer_late": _KILLS | {"worker_pauses", "server_kills", "client_kills", "duplicated_tasks"},
}
"""What is timed where no other faults than these happen: others would be measured with it."""


@dataclass(frozen=True)
class Order:
    """What is to be done; see ``python -m tests.chaos --help``."""

    seconds: float
    seed: int
    faults: dict[str, int | None]
    runs: int = 0
    fsync: str = "always"
    at_once: int = 100
    binary: Path | None = None
    folder: Path | None = None
    data: Path | None = None
    say: Callable[[str], None] = print


@dataclass
class Outcome:
    """What came of it."""

    verdict: Verdict
    server: str
    seconds: float
    folder: Path


class Impossible(Exception):
    """The faults asked for cannot be had here; the text says what is missing."""


async def run(order: Order) -> Outcome:
    """Do one run. Raises Impossible, and ValueError for a fault nobody knows."""
    planned = plan.make(order.seed, order.seconds, order.faults)
    clocks = "clocks" in planned.needs
    if clocks and faketime_library() is None:
        raise Impossible("clocks can be moved with libfaketime only: apt-get install faketime")
    folder = order.folder or Path(tempfile.mkdtemp(prefix="luaflow-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.txt").write_text("\n".join(map(str, planned.moments)))
    began = time.monotonic()
    async with _world(order, folder, network="network" in planned.needs, clocks=clocks) as world:
        version = await world.server.version()
        order.say(f"{version}, appendfsync {order.fsync}, logs in {folder}")
        log = ClientLog(folder / "requests.jsonl")
        try:
            missed = await _carry_out(order, planned, world, log)
        finally:
            log.close()
        verdict = await _judge(order, world, log, folder)
        verdict.invalid += missed
        if order.runs > verdict.counts["runs"]:
            reached = verdict.counts["runs"]
            verdict.invalid.append(f"{reached} runs were done, {order.runs} were wanted")
    return Outcome(verdict, version, time.monotonic() - began, folder)


@contextlib.asynccontextmanager
async def _world(
    order: Order, folder: Path, *, network: bool, clocks: bool
) -> AsyncIterator[World]:
    crew_clock = folder / "crew.clock"
    crew_clock.write_text("+0\n")
    async with contextlib.AsyncExitStack() as stack:
        if order.data:
            stack.callback(shutil.rmtree, order.data, ignore_errors=True)
        server = await stack.enter_async_context(
            Server(order.data or folder / "server", order.fsync, binary=order.binary, clocks=clocks)
        )
        url, proxy = server.url, None
        if network:
            proxy = await stack.enter_async_context(Network(server.socket, order.seed))
            url = proxy.url
        await _prepare(server.url)
        crew = await stack.enter_async_context(
            Crew(
                folder,
                ("--redis", url, "--namespace", NAMESPACE),
                {"CHAOS_EFFECTS": str(folder / "effects.jsonl")},
                faketime(crew_clock) if clocks else {},
            )
        )
        client = await Client.connect(url, NAMESPACE)
        stack.push_async_callback(client.close)
        world = World(server, proxy, crew, client, LEASE_MS / 1000, crew_clock)
        world.memory = await server.memory()
        for role in ROLES:
            options = ("--queue", "orders", "--app", str(APP), "--role", role)
            await crew.ready(await crew.start("worker", *options))
        for _ in range(SCHEDULERS):
            await crew.ready(await crew.start("scheduler", "--metrics-port", "0"))
        yield world


async def _prepare(url: str) -> None:
    link = Link(url)
    settings = Settings(lease_ms=LEASE_MS, sticky_timeout_ms=LEASE_MS // 2)
    await create_namespace(link, NAMESPACE, settings)
    await link.close()
    client = await Client.connect(url, NAMESPACE)
    await deploy(client.store, load_app(APP))
    await client.close()


async def _carry_out(order: Order, planned: plan.Plan, world: World, log: ClientLog) -> list[str]:
    """Run the load and the plan; what was planned and did not happen."""
    load = Load(world.client, log, order.at_once)
    working = asyncio.create_task(load.run())
    for name in planned.ambient:
        ambient = FAULTS[name]
        assert isinstance(ambient, Ambient)
        ambient.begin(world)
    teller = asyncio.create_task(_tell(order, world, load))
    try:
        with contextlib.suppress(TimeoutError):  # what is missing then is counted
            await _faults(order, planned, world, working)
        while load.done < order.runs and not working.done():
            await asyncio.sleep(0.1)
        load.stop()
        if world.network:
            world.network.rates = Rates()
        await asyncio.wait({working}, timeout=END_SECONDS)
    finally:
        teller.cancel()
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    for name in planned.ambient:
        ambient = FAULTS[name]
        assert isinstance(ambient, Ambient)
        world.counts[name] = ambient.counted(world)
    reached = world.counts | {
        "server_kills": world.counts[f"server_kills_{order.fsync}"],
        "duplicated_tasks": world.notes["duplicated_tasks"],
        "worker_clock_jumps": world.notes["worker_clock_jumps"],
        "server_clock_jumps": world.notes["server_clock_jumps"],
    }
    return plan.counted(planned.wanted, reached, list(planned.wanted))


async def _faults(
    order: Order, planned: plan.Plan, world: World, working: asyncio.Task[None]
) -> None:
    """Begin each fault at its moment, and wait for all; for twice the time at the most."""
    began = time.monotonic()
    async with asyncio.timeout(2 * order.seconds + END_SECONDS), asyncio.TaskGroup() as group:
        for one in planned.moments:
            await asyncio.sleep(max(0.0, began + one.at - time.monotonic()))
            if working.done():
                raise AssertionError("the load ended") from working.exception()
            group.create_task(FAULTS[one.name].happen(world, random.Random(one.seed)))
        await asyncio.sleep(max(0.0, began + order.seconds - time.monotonic()))


async def _tell(order: Order, world: World, load: Load) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(10)
        counts = ", ".join(f"{name} {count}" for name, count in sorted(world.counts.items()))
        order.say(f"{time.monotonic() - began:5.0f} s: {load.done} jobs done; {counts}")


async def _judge(order: Order, world: World, log: ClientLog, folder: Path) -> Verdict:
    """Wait until nothing is left over, stop the processes, read all histories, judge them."""
    left = await _quiet(world)
    await world.crew.stop()
    order.say("stopped; reading histories")
    evidence = Evidence(
        log.requests,
        read_effects(folder / "effects.jsonl"),
        world.windows,
        world.kills,
        world.clock_ms,
        world.lease,
        frozenset(what for what, faults in TIMED.items() if faults >= set(order.faults)),
    )
    store = await Client.connect(world.server.url, NAMESPACE)
    checker, replays = Checker(evidence), Replays(store.store)
    try:
        async for history in read_pages(store):
            checker.add(history, await replays.problem(history))
        verdict = checker.finish()
        verdict.problems += [Problem("corrupt", f"left: {k} {v}") for k, v in left.items()]
        verdict.problems += [Problem("corrupt", text) for text in await _removed(world, store)]
    finally:
        await store.close()
    verdict.counts["corrupt"] = sum(p.kind == "corrupt" for p in verdict.problems)
    verdict.counts.update(world.counts)
    verdict.notes |= dict(world.notes) | {"crashed": len(world.crew.crashed)}
    return verdict


async def _quiet(world: World) -> dict[str, object]:
    """Wait until closed runs have left nothing behind; what they left when it takes too long."""
    end = time.monotonic() + QUIET_SECONDS
    while left := dict(await leftovers(world.client, ())):
        if time.monotonic() > end:
            break
        await asyncio.sleep(0.2)
    return left


async def _removed(world: World, client: Client) -> list[str]:
    """Let the retention of all runs be over; what is there then that nobody will ever delete."""
    store = client.store
    keys = await asyncio.to_thread(unowned, world.server.url)
    for p in store.partitions:
        (members,) = await store.read(("ZRANGE", p.gc, 0, -1))
        for member in members:
            await store.read(("ZADD", p.gc, "XX", 1, member))
    await world.crew.ready(await world.crew.start("scheduler", "--metrics-port", "0"))
    end = time.monotonic() + END_SECONDS
    while any(await store.read(*(("ZCARD", p.gc) for p in store.partitions))):
        if time.monotonic() > end:
            return [*keys, "closed runs are still there, though their retention is over"]
        await asyncio.sleep(0.2)
    await world.crew.stop()
    used = await world.server.memory()
    world.notes["memory_before"], world.notes["memory_after"] = world.memory, used
    if used > world.memory * GROWTH + SLACK_BYTES:
        keys.append(f"memory went from {world.memory} to {used} bytes, and nothing is left")
    return keys + await asyncio.to_thread(remains, world.server.url)


def unowned(url: str) -> list[str]:
    """The keys that nobody would ever delete, as sentences."""
    with redis.Redis.from_url(url) as server:
        return [f"nothing will ever delete {key}" for key in leftover_keys(server, NAMESPACE)]


def remains(url: str) -> list[str]:
    """What is there of runs though all were to be removed, as sentences."""
    with redis.Redis.from_url(url) as server:
        found = [
            key.decode()
            for key in server.scan_iter(match=f"lf:{{{NAMESPACE}:*", count=1000)
            if key.split(b":")[3] in {b"run", b"hist", b"pend", b"wf"}
        ]
        vis = [
            key
            for key in server.scan_iter(match=f"lf:{{{NAMESPACE}:*:vis", count=1000)
            if server.zcard(key)
        ]
    return [f"still there, though its retention is over: {key}" for key in [*found, *vis]]
