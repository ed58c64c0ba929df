"""One seed: a world of actors around a real server, its faults, its end, and what is checked."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import random
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from luaflow.client.client import Client
from luaflow.deploy import deploy
from luaflow.errors import LuaflowError, Unavailable
from luaflow.registry.app import App, load_app
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.store import Store
from luaflow_scheduler.scheduler import Scheduler
from luaflow_worker.worker import Worker, WorkerConfig
from tests.protocol.invariants import problems_of
from tests.simulation.activities import Trace
from tests.simulation.checks import Verdict
from tests.simulation.clients import SimClient, Told
from tests.simulation.direct import DirectStore, at_once
from tests.simulation.faults import Weather
from tests.simulation.loop import Actor, SimLoop, Stuck
from tests.simulation.network import Network
from tests.simulation.stories import Plan, draw
from tests.simulation.virtual import virtual
from tests.simulation.wire import Server

APP = Path(__file__).parent / "app" / "src"
NAMESPACE = "sim"
RETENTION_MS = 90 * 365 * 24 * 3600 * 1000
"""Longer than all sleeps together: whoever asks late still finds its run."""
MOST_STEPS = 400_000
"""Callbacks of a seed; far more than any needs."""
QUIET_SECONDS = 120.0
"""Without faults, with runs open and no date to wait for: so long without an event is too long."""
FAIR_SECONDS = 1800.0
"""How long a seed may take after its faults, in virtual seconds."""


@dataclass
class Outcome:
    """What a seed came to."""

    seed: int
    problems: list[str] = field(default_factory=list)
    digest: str = ""
    histories: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    lost_replies: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def crowded(seed: int) -> bool:
    """Whether a seed is one of those where much of the same kind is under way together.

    Messages go out in threes and fours, what is asked is asked thrice, quick things last, and tasks
    are in their queues more than once.
    """
    return seed % 10 == 9


@cache
def the_app() -> App:
    """The app, loaded once a process."""
    return load_app(APP)


class Crashes(logging.Handler):
    """What the product logs as an error it did not expect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep errors that are neither the network's nor the user's."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, LuaflowError):
            self.found.append(f"{record.getMessage()}: {error!r}")


class World:
    """Everything of one seed."""

    def __init__(
        self,
        seed: int,
        server: Server,
        say: Callable[[str], None] | None = None,
        *,
        altered: bool = False,
    ) -> None:
        """``say`` hears of every call and fault; ``altered``: the product is, on purpose."""
        self.seed = seed
        self._altered = altered
        self._server = server
        self._say = say
        self._chance = random.Random(f"world {seed}")
        self.plan = self.plan_of(seed)
        self.weather = self.weather_of(seed)
        self._loop = SimLoop(MOST_STEPS)
        self.net = Network(self._loop, server, random.Random(f"network {seed}"), self._note)
        self.net.kill = self.kill
        self._digest = hashlib.sha256()
        self._crashes = Crashes()
        self._direct = DirectStore(server, NAMESPACE, self.plan.partitions)
        self._found: list[str] = []
        self.told: list[Told] = []
        self.traces: list[Trace] = []
        self._actors: list[Actor] = []
        self._lives: dict[str, int] = {}
        self._stops: dict[Actor, asyncio.Event] = {}
        self._ending = False
        self._lost_at: int | None = None
        self._loop.set_exception_handler(self._unhandled)

    @staticmethod
    def plan_of(seed: int) -> Plan:
        """What is to happen in a seed."""
        return draw(random.Random(f"plan {seed}"), crowded=crowded(seed))

    @staticmethod
    def weather_of(seed: int) -> Weather:
        """What goes wrong in a seed."""
        return Weather.of(random.Random(f"weather {seed}"), crowded=crowded(seed))

    @classmethod
    def fails_over(cls, seed: int) -> bool:
        """Whether a partition loses what was acknowledged."""
        return any(what == "failed over" for _, what in cls.weather_of(seed).world)

    # -- what is told of it ----------------------------------------------------------------------

    def _note(self, actor: Actor | None, what: str, replies: object = None) -> None:
        line = f"{self._loop.time():10.4f} {actor.name if actor else '-':<13} {what}"
        self._digest.update(line.encode())
        if self._say:
            self._say(line if replies is None else f"{line} -> {_short(replies)}")

    def _unhandled(self, _: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not self._ending and not isinstance(error, LuaflowError):
            trace = "".join(traceback.format_exception(error)) if error else ""
            self._crashes.found.append(f"{context['message']} {trace}")

    # -- the run ---------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Play the seed to its end; never raises for what the product does."""
        outcome = Outcome(self.seed)
        self._server.ask(("FLUSHALL",))
        root, level = logging.getLogger(), logging.getLogger().level
        handlers = root.handlers[:]
        root.handlers = [self._crashes, *(handlers if self._say else ())]
        try:
            with virtual(self._loop.time, self.seed, self.net.make):
                try:
                    self._loop.run_until_complete(self._main(outcome))
                except Stuck as error:
                    if self._lost_at is None:
                        outcome.problems.append(f"stuck: {error}")
                    else:
                        self._check(outcome)
                except Exception:  # noqa: BLE001 - a failing seed is an outcome
                    outcome.problems.append(traceback.format_exc())
                finally:
                    self._end()
        finally:
            root.handlers = handlers
            root.setLevel(level)
        outcome.problems[:0] = self._found + self.net.repeats.problems
        outcome.problems += [f"the product crashed: {text}" for text in self._crashes.found]
        outcome.digest = self._digest.hexdigest()
        outcome.faults, outcome.calls = self.net.faults, self.net.calls
        outcome.lost_replies = self.net.lost_replies
        outcome.features = self.plan.features
        outcome.told.update(f"{t.op.kind} {t.outcome.split(':')[0]}" for t in self.told)
        outcome.seconds = self._loop.time()
        return outcome

    async def _main(self, outcome: Outcome) -> None:
        await self._as(self._new("setup"), self._set_up())
        self.net.weather = self.weather
        for n, how in enumerate(self.plan.workers):
            self._begin(f"worker{n}", functools.partial(self._worker, how=how))
        for n in range(self.plan.schedulers):
            self._begin(f"scheduler{n}", self._scheduler)
        clients = [self._client(n) for n in range(len(self.plan.clients))]
        faults = self._loop.create_task(self._faults())
        try:
            await self._watch(clients)
        finally:
            faults.cancel()
        self._ending = True
        for actor in self._actors:
            actor.dead = True
        self._check(outcome)

    def _new(self, name: str) -> Actor:
        actor = Actor(name, self.traces)
        self._actors.append(actor)
        return actor

    def _as(self, actor: Actor, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self._loop.create_task(work, context=actor.context)

    async def _set_up(self) -> None:
        link = Link("redis://simulated")
        settings = Settings(
            partitions=self.plan.partitions,
            lease_ms=self.plan.lease_ms,
            sticky_timeout_ms=self.plan.sticky_ms,
            retention_ms=RETENTION_MS,
            simulated=True,
        )
        await create_namespace(link, NAMESPACE, settings)
        await link.close()
        store = await Store.open("redis://simulated", NAMESPACE)
        self.net.metas = [p.meta for p in store.partitions]
        await deploy(store, the_app())
        await store.close()

    # -- actors ----------------------------------------------------------------------------------

    def _begin(self, slot: str, life: Callable[[Actor], Coroutine[Any, Any, None]]) -> None:
        """Start a process; when it ends or dies another one takes its place."""
        number = self._lives[slot] = self._lives.get(slot, 0) + 1
        actor = self._new(f"{slot}.{number}")
        actor.again = lambda: self._begin(slot, life)
        self._stops[actor] = asyncio.Event()
        self._note(actor, "begins")
        task = self._as(actor, life(actor))
        task.add_done_callback(lambda done: self._ended(actor, done))

    def _ended(self, actor: Actor, task: asyncio.Task[None]) -> None:
        if actor.dead or self._ending or task.cancelled():
            return
        if error := task.exception():
            self._note(actor, f"ended with {error!r}")
        actor.dead = True
        self.net.bury(actor)
        self._replace(actor)

    def _replace(self, actor: Actor) -> None:
        wait = self._chance.uniform(0.05, 5.0)
        self.net.later(wait, lambda: None if self._ending else actor.again())

    def kill(self, actor: Actor) -> None:
        """End an actor as a crash does; clients live on, they are told what happened."""
        if actor.dead or not actor.name.startswith(("worker", "scheduler")):
            return
        self._note(actor, "is killed")
        self.net.faults[f"{actor.name.rstrip('.0123456789')} killed"] += 1
        actor.dead = True
        self.net.bury(actor)
        self._replace(actor)

    async def _worker(self, actor: Actor, how: dict[str, Any]) -> None:
        store = await _open_store()
        config = WorkerConfig(("q",), role=how["role"], cache=how["cache"], drain_seconds=5.0)
        worker = Worker(store, config, app=the_app())
        await worker.start()
        await self._stops[actor].wait()
        await worker.stop()
        await store.close()
        self._note(actor, "has stopped")

    async def _scheduler(self, actor: Actor) -> None:
        store = await _open_store()
        scheduler = Scheduler(store, CollectorRegistry(), sweep_seconds=self.plan.sweep)
        await scheduler.start()
        await self._stops[actor].wait()
        await scheduler.stop()
        await store.close()

    def _client(self, number: int) -> asyncio.Task[None]:
        actor = self._new(f"client{number}")

        async def life() -> None:
            store = await _open_store()
            await SimClient(number, Client(store), self.told).play(self.plan.clients[number])
            await store.close()

        return self._as(actor, life())

    # -- faults ----------------------------------------------------------------------------------

    async def _faults(self) -> None:
        for at, what in self.weather.world:
            await asyncio.sleep(max(0.0, at - self._loop.time()))
            self._strike(what)
            if not self._found:
                self._inspect()

    def _strike(self, what: str) -> None:
        net, chance = self.net, self._chance
        who, _, verb = what.partition(" ")
        living = [a for a in self._actors if a.name.startswith(who) and not a.dead and not a.frozen]
        if who in {"worker", "scheduler", "client"} and not living:
            return
        actor = chance.choice(living) if who in {"worker", "scheduler", "client"} else None
        if verb != "killed":
            net.faults[what] += 1
            self._note(actor, f"fault: {what}")
        if actor is not None:
            self._strike_actor(actor, verb)
        else:
            self._strike_server(what)

    def _strike_actor(self, actor: Actor, verb: str) -> None:
        seconds = self.plan.lease_ms / 1000 * self._chance.uniform(0.3, 3)
        match verb:
            case "killed":
                self.kill(actor)
            case "frozen":
                actor.frozen = True
                self.net.later(seconds, self._thaw, actor)
            case "cut off":
                self.net.cut_off(actor, seconds)
            case "stopped":
                self._stops[actor].set()

    def _strike_server(self, what: str) -> None:
        net, chance = self.net, self._chance
        match what:
            case "server restarted":
                net.restart()
            case "replica behind":
                net.keep_copy(chance.choice([m.removesuffix("meta") for m in net.metas]))
            case "failed over":
                net.fail_over()
                self._lost_at = net.server_ms
            case "scripts flushed":
                net.flush_scripts()
            case "connections cut":
                net.cut_all()
            case "clock forward":
                net.jump(chance.choice((1000, 20_000, 3_600_000)))
            case "clock back":
                net.jump(-chance.choice((1000, 20_000, 3_600_000)))

    def _thaw(self, actor: Actor) -> None:
        if actor.frozen and not actor.dead:
            self._note(actor, "goes on")
            self._loop.thaw(actor)

    def _inspect(self) -> None:
        """Look at the server between two scripts: its own invariants hold at any moment."""
        found = at_once(problems_of(self._direct.store))
        self._found += [f"at {self._loop.time():.3f}: {text}" for text in found]

    # -- the end ---------------------------------------------------------------------------------

    async def _watch(self, clients: list[asyncio.Task[None]]) -> None:
        """Wait until all is done; days of sleeping pass by a jump of the clock."""
        changes, since, healed = -1, 0.0, False
        while True:
            await asyncio.sleep(0.5)
            now = self._loop.time()
            if self.net.changes != changes:
                changes, since = self.net.changes, now
            if now < self.weather.until:
                continue
            if not healed:
                healed = True
                # a clock that went back is set right: else old dates would take their hour
                self.net.jump(max(0, self.net.furthest_ms - self.net.server_ms))
                since = now
            if all(c.done() for c in clients) and not self._open():
                for client in clients:
                    client.result()
                return
            quiet = now - since
            if quiet > 3 * self.plan.lease_ms / 1000 + 6 and (wait := self._next_date()) > 0:
                self.net.jump(wait)
                since = now
            elif quiet > QUIET_SECONDS or now > self.weather.until + FAIR_SECONDS:
                raise Stuck(f"no event for {quiet:.0f} s: {self._why(clients)}")

    def _prefixes(self) -> list[str]:
        return [meta.removesuffix("meta") for meta in self.net.metas]

    def _open(self) -> bool:
        """Whether anything is under way on the server."""
        for prefix in self._prefixes():
            runs, jobs, timers, leases = self._server.ask(
                ("ZRANGEBYLEX", f"{prefix}vis", "[status\0running\0", "(status\0running\x01"),
                ("ZCARD", f"{prefix}jobs"),
                ("ZCARD", f"{prefix}timers"),
                ("ZCARD", f"{prefix}leases"),
            )
            if runs or jobs or timers or leases:
                return True
        return False

    def _next_date(self) -> int:
        """Ms until the earliest durable date; 0 when it is due, or there is none."""
        first = [
            int(float(page[1]))
            for prefix in self._prefixes()
            if (page := self._server.ask(("ZRANGE", f"{prefix}timers", 0, 0, "WITHSCORES"))[0])
        ]
        return max(0, min(first) - self.net.server_ms + 1) if first else 0

    def _why(self, clients: list[asyncio.Task[None]]) -> str:
        found = [f"clients done: {[c.done() for c in clients]}"]
        found += [f"{t.op.kind} {t.op.target}" for t in self.told if t.outcome == "open"]
        for prefix in self._prefixes():
            for name in ("timers", "leases"):
                found.append(
                    str(self._server.ask(("ZRANGE", prefix + name, 0, -1, "WITHSCORES"))[0])
                )
            (keys,) = self._server.ask(("KEYS", f"{prefix}run:*"))
            for key in keys:
                (flat,) = self._server.ask(("HGETALL", key))
                run = dict(zip(flat[::2], flat[1::2], strict=True))
                if run[b"status"] == b"running":
                    (pend,) = self._server.ask(("HGETALL", key.replace(b":run:", b":pend:")))
                    found.append(f"{key.decode()}: {run}, pending: {pend}")
        return "\n  ".join(found)

    def _check(self, outcome: Outcome) -> None:
        verdict = Verdict(
            self._direct, self.told, self.traces, fresh=self._altered, lost_at=self._lost_at
        )
        outcome.problems += verdict.problems()
        outcome.histories = verdict.digest
        for run in verdict.runs.values():
            outcome.events.update(e.type for e in run.events)
            outcome.features[f"ended {run.status}"] += 1

    def _end(self) -> None:
        """Let every task end, so that nothing of this seed runs in the next one."""
        for actor in self._actors:
            actor.dead = False
            actor.frozen = False
        root = logging.getLogger()
        root.handlers = []
        logging.disable(logging.CRITICAL)
        for task in self._loop.every_task:
            if not task.done():
                task.cancel()
        self.net.closed = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # coroutines that never began
            self._end_tasks()
        self._loop.every_task.clear()
        self._loop.close()

    def _end_tasks(self) -> None:
        for _ in range(200):
            left = asyncio.all_tasks(self._loop)
            if not left:
                break
            for task in left:
                task.cancel()
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()
        for task in (t for t in self._loop.every_task if not t.done()):
            # its actor died before it ever ran, or while it was about to go on
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            assert coroutine is not None
            with contextlib.suppress(RuntimeError):  # one that would wait at its end
                coroutine.close()


async def _open_store() -> Store:
    """Open a store as a process does that is started again and again until it comes up."""
    while True:
        try:
            return await Store.open("redis://simulated", NAMESPACE)
        except Unavailable:
            await asyncio.sleep(0.5)


def _short(replies: object) -> str:
    text = repr(replies)
    return text if len(text) < 400 else f"{text[:400]}…"
