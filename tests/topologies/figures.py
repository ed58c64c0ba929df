"""Rounds of fail-overs under load, at each durability level, and the figures they give.

    make topologies MINUTES=5

Workers and schedulers are real processes. Each round faults the servers once while journeys flow,
then all are told to end, and every history, effect and answer is compared.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from tests.protocol.invariants import problems_of
from tests.support.cluster import Cluster, SlotMove
from tests.support.effects import read_effects
from tests.support.histories import leftovers, read_histories
from tests.support.nodes import Group, server_binary
from tests.support.processes import Fleet, Gate
from tests.support.sentinel import Sentinels
from tests.topologies.journeys import Journeys, all_closed, early_or_late, insist, late_timers
from tools.figures import record

from luaflow import Client
from luaflow.deploy import deploy
from luaflow.registry.app import load_app
from luaflow.store.keys import Partition
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace

APP = Path(__file__).parents[1] / "crash" / "app"
NAMESPACE = "topology"
LEVELS = {
    "fast": Settings(lease_ms=2000, sticky_timeout_ms=1000, partitions=8),
    # all of them: any replica may be promoted
    "replicated": Settings(
        lease_ms=2000, sticky_timeout_ms=1000, partitions=8, durability="replicated", replicas=2
    ),
    "fsynced": Settings(partitions=8, durability="fsynced", synced_replicas=2),
    # one of two: the other one may take over, and has not all that was acknowledged
    "fsynced-1": Settings(partitions=8, durability="fsynced", synced_replicas=1),
}
LOSING = ("fast", "fsynced-1")
"""Levels under which a fail-over may lose what was acknowledged: it is counted, and no problem."""
CUT_SECONDS = 4.0
"""How long replicas are cut off before one of them is promoted."""
LANES = 6

Fault = Callable[["Round"], Awaitable[None]]


class Round(NamedTuple):
    """One fault on its servers, at one level."""

    topology: str
    fault: str
    level: str
    group: Group
    counts: Counter[str]


async def _sentinel_kill(one: Round) -> None:
    assert isinstance(one.group, Sentinels)
    await one.group.failover("kill")
    one.counts["sentinel_failovers"] += 1


async def _sentinel_order(one: Round) -> None:
    assert isinstance(one.group, Sentinels)
    await one.group.failover()
    one.counts["sentinel_failovers"] += 1


async def _sentinel_partition(one: Round) -> None:
    """Replication stops for a while, the clients go on; then a replica is promoted."""
    assert isinstance(one.group, Sentinels)
    for replica in one.group.replicas:
        await one.group.cut(replica)
    await asyncio.sleep(CUT_SECONDS)
    await one.group.failover()
    one.counts["sentinel_failovers"] += 1
    one.counts["partitions_first"] += 1


async def _cluster_failover(one: Round, how: str) -> None:
    assert isinstance(one.group, Cluster)
    primary = random.choice(await one.group.primaries())
    await one.group.failover(primary, how)
    one.counts["cluster_failovers"] += 1


async def _cluster_order(one: Round) -> None:
    await _cluster_failover(one, "ordered")


async def _cluster_kill(one: Round) -> None:
    await _cluster_failover(one, "kill")


async def _cluster_partition(one: Round) -> None:
    assert isinstance(one.group, Cluster)
    primary = random.choice(await one.group.primaries())
    await one.group.cut(await one.group.replica_of(primary))
    await asyncio.sleep(CUT_SECONDS)
    await one.group.failover(primary, "force")
    one.counts["cluster_failovers"] += 1
    one.counts["partitions_first"] += 1


async def _slots(one: Round) -> None:
    """Each partition's slot moves to another primary; every third stops half-way for a while."""
    assert isinstance(one.group, Cluster)
    for number in range(LEVELS[one.level].partitions):
        slot = one.group.slot(Partition(NAMESPACE, number).meta)
        source = await one.group.owner(slot)
        to = random.choice([n for n in await one.group.primaries() if n is not source])
        move = SlotMove(one.group, slot, source, to)
        await move.begin()
        if number % 3 == 0:
            await move.keys(5)
            await asyncio.sleep(0.2)
        await move.finish()
        one.counts["slot_moves"] += 1


FAULTS: dict[tuple[str, str], Fault] = {
    ("sentinel", "kill"): _sentinel_kill,
    ("sentinel", "order"): _sentinel_order,
    ("sentinel", "partition"): _sentinel_partition,
    ("cluster", "order"): _cluster_order,
    ("cluster", "kill"): _cluster_kill,
    ("cluster", "slots"): _slots,
    ("cluster", "partition"): _cluster_partition,
}


def _group(topology: str, level: str, folder: Path) -> Group:
    # a server that syncs once a second, unless it has no other way to say that it did
    if topology == "sentinel":
        return Sentinels(folder)
    return Cluster(folder, replicas=1 if level == "fast" else 2)


class Trial:
    """One set of servers and processes at one level, for some faults one after the other."""

    def __init__(
        self,
        topology: str,
        level: str,
        folder: Path,
        counts: Counter[str],
        note: Callable[[], object] = lambda: None,
    ) -> None:
        """``note`` is called after each round: what was counted until then is kept."""
        self.topology, self.level, self.counts = topology, level, counts
        self._note = note
        self._folder = folder
        self._group = _group(topology, level, folder / "servers")
        self.problems: list[str] = []
        self.lost: dict[str, Counter[str]] = {}
        self.late: list[int] = []
        self._over: list[tuple[int, int]] = []

    async def run(self, faults: list[str], end: float) -> None:
        """Do the faults, in turn, until the time is over; each at least once."""
        gate = Gate(self._folder / "gate")
        try:
            async with self._group as group:
                await self._prepare(group)
                effects = self._folder / "effects"
                async with Fleet(group.url, NAMESPACE, APP, effects, gate.path) as fleet:
                    await asyncio.gather(*(fleet.worker() for _ in range(2)))
                    await asyncio.gather(*(fleet.scheduler() for _ in range(2)))
                    client = await Client.connect(group.url, NAMESPACE)
                    try:
                        for number, fault in enumerate(faults):
                            if number and time.monotonic() > end:
                                break
                            await self._round(client, fault)
                            self._note()
                        await fleet.stop()
                        await self._verdict(client, effects)
                    finally:
                        await client.close()
        finally:
            gate.close()

    async def _prepare(self, group: Group) -> None:
        link = make_link(group.url)
        try:
            await create_namespace(link, NAMESPACE, LEVELS[self.level])
        finally:
            await link.close()
        client = await Client.connect(group.url, NAMESPACE)
        await deploy(client.store, load_app(APP))
        await client.close()
        self._journeys: list[tuple[str, Journeys]] = []

    async def _round(self, client: Client, fault: str) -> None:
        journeys = Journeys(client, f"{len(self._journeys)}-{fault}")
        self._journeys.append((fault, journeys))
        one = Round(self.topology, fault, self.level, self._group, self.counts)
        flow = asyncio.create_task(journeys.flow(LANES))
        try:
            await asyncio.sleep(1.0)  # there is work in every state
            begin = await _server_ms(client)
            await FAULTS[self.topology, fault](one)
            assert isinstance(self._group, (Sentinels, Cluster))
            await self._group.heal()
            self._over.append((begin, await _server_ms(client)))
            await asyncio.sleep(1.0)
            journeys.stop()
            await flow
        finally:
            journeys.stop()
            flow.cancel()
            await asyncio.gather(flow, return_exceptions=True)
        await journeys.arrive()
        self.counts["rounds"] += 1

    async def _verdict(self, client: Client, effects: Path) -> None:
        histories = await insist(lambda: read_histories(client))
        ran = read_effects(effects)
        promised = self.level not in LOSING
        for fault, journeys in self._journeys:
            own = [h for h in histories if f"journey-{journeys.prefix}-" in h.workflow_id]
            runs = {h.run_id for h in own}
            mine = [e for e in ran if e.run_id in runs or f"-{journeys.prefix}-" in e.workflow_id]
            self.problems += journeys.verdict(own, mine, promised=promised)
            self.lost.setdefault(fault, Counter()).update(journeys.done)
            self.counts.update(journeys.done)
        self.late += late_timers(histories)
        self.problems += early_or_late(histories, self._over)
        # what fast has lost may leave a lock, or a message, with nobody (each shard lost its own)
        found = await insist(lambda: problems_of(client.store, rest=promised))
        self.problems += [f"invariant: {problem}" for problem in found]
        self.problems += [f"{name} has not ended" for name in all_closed(histories)]
        if promised:
            left = await leftovers(client, histories)
            self.problems += [f"left: {key} {what}" for key, what in left.items()]
        self.counts["runs"] += len(histories)


class Figures:
    """What a run of the tool counts; kept after each round, and whatever ends the run."""

    def __init__(self, repeat: str) -> None:
        self.counts = Counter[str]()
        self.trials: list[Trial] = []
        self._begin, self._repeat = time.monotonic(), repeat
        self._path: Path | None = None

    @property
    def problems(self) -> list[str]:
        """What went wrong in all trials."""
        return [problem for trial in self.trials for problem in trial.problems]

    def keep(self) -> None:
        """Write them, in the place of what was written before."""
        problems, late = self.problems, sorted(ms for trial in self.trials for ms in trial.late)
        self.counts["problems"] = len(problems)
        notes = {
            "problems": problems[:50],
            "lost": [
                {"on": f"{t.topology} {t.level}"} | {k: dict(v) for k, v in t.lost.items()}
                for t in self.trials
            ],
            "timers_late_ms": {"p50": late[len(late) // 2], "max": late[-1]} if late else {},
        }
        path = record(
            "topologies",
            self.counts,
            repeat=self._repeat,
            server=server_binary().name,
            seconds=time.monotonic() - self._begin,
            notes=notes,
        )
        if self._path and self._path != path:
            self._path.unlink()
        self._path = path

    def tell(self) -> None:
        """Print the sum, and where it is."""
        _tell(f"{dict(self.counts)}\n{self._path}")


async def run(minutes: float, only: str, levels: list[str], faults: list[str], rounds: int) -> int:
    """Trials until the time is over, each of so many rounds of the faults; the exit code."""
    end = time.monotonic() + minutes * 60
    figures = Figures(shlex.join(["python", "-m", "tests.topologies.figures", *sys.argv[1:]]))
    todo = [(t, lv) for lv in levels for t in ("sentinel", "cluster") if only in ("", t)]
    number = 0
    while number == 0 or time.monotonic() < end:
        topology, level = todo[number % len(todo)]
        number += 1
        known = [name for where, name in FAULTS if where == topology]
        wanted = [name for name in faults or known if name in known] * rounds
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(topology, level, Path(folder), figures.counts, figures.keep)
            figures.trials.append(trial)
            try:
                await trial.run(wanted, end)
            except Exception as error:  # noqa: BLE001 - a trial that fails is a figure, too
                trial.problems.append(f"the trial failed: {error!r}")
                figures.counts["trials_failed"] += 1
        figures.keep()
        _tell(f"{topology} {level} { {k: dict(v) for k, v in trial.lost.items()} }")
        _tell("\n".join(trial.problems) or "nothing wrong")
    figures.tell()
    return 1 if figures.problems else 0


async def _server_ms(client: Client) -> int:
    """The server's time."""
    (answer,) = await insist(lambda: client.store.read(("TIME",)))
    return int(answer[0]) * 1000 + int(answer[1]) // 1000


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--only", choices=["", "sentinel", "cluster"], default="")
    parser.add_argument("--level", action="append", choices=list(LEVELS))
    parser.add_argument("--rounds", type=int, default=1, help="rounds on one set of servers")
    parser.add_argument("--fault", action="append", choices=sorted({name for _, name in FAULTS}))
    given = parser.parse_args()
    levels, faults = given.level or list(LEVELS), given.fault or []
    sys.exit(asyncio.run(run(given.minutes, given.only, levels, faults, given.rounds)))


if __name__ == "__main__":
    main()
