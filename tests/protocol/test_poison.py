"""Poison: what kills its workers is parked, seen, tried again ever later, and let go by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.protocol.hand import LEASE, QUEUE, Hand, activity
from tests.support.mutants import mutant, proves, replaced

from luaflow.client import Client, unparking
from luaflow.client.health import PARKED
from luaflow.client.jobs import Job, JobHow, enqueue
from luaflow.domain import poison
from luaflow.domain.failure import Failure, timeout
from luaflow.errors import InvalidArgument, NotFound, Refused
from luaflow.store import transitions
from luaflow.store.attempts import parse_record
from luaflow.store.courier import Courier
from luaflow.store.jobs import SEQ, run_of
from luaflow.store.transitions import Route
from luaflow_scheduler import verdicts
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.partition import PartitionWatch
from luaflow_scheduler.queues import Queues
from luaflow_scheduler.retention import Retention
from luaflow_scheduler.settling import Settling
from luaflow_scheduler.sweep import Sweep
from luaflow_worker.engines import MissingBundle
from luaflow_worker.faults import fail_call

MINUTE = 60_000


class Doctor:
    """A scheduler that looks when it is told to, and the metrics of its process."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.registry = CollectorRegistry()
        self.metrics = SchedulerMetrics(self.registry)
        self.courier = Courier(hand.store)

    async def look(self, route: Route) -> None:
        """Do all that is due in a partition."""
        watch = PartitionWatch(
            self.hand.store,
            route.partition,
            self.courier,
            self.metrics,
            Settling(self.hand.store, self.metrics, Retention(self.hand.store)),
        )
        while not await watch.look():
            pass

    async def lose(self, route: Route, seq: str = "1") -> int:
        """An attempt is taken and its worker dies; how long (ms) the next one has to wait."""
        store, p = self.hand.store, route.partition
        record = parse_record(await self.record(route, seq))
        token = f"t{record.attempt}"
        if seq == SEQ and route.run_id.startswith("j:"):
            job = route.workflow_id
            await store.read(("HSET", p.job(job), f"a:{SEQ}", running(record, token)))
            due = int((await store.read(("HGET", p.meta, "vtime")))[0]) + LEASE
            await store.read(("ZADD", p.leases, due, f"a|{route.run_id}|{seq}"))
        else:
            worker = f"w{record.attempt}"
            await self.hand.take_activity(route, worker=worker, token=token, attempt=record.attempt)
        await self.hand.shift(LEASE)
        await self.look(route)
        ((due, now),) = [
            await store.read(
                ("ZSCORE", p.timers, f"r|{route.run_id}|{seq}"), ("HGET", p.meta, "vtime")
            )
        ]
        return int(float(due)) - int(now)

    async def again(self, route: Route, pause: int) -> None:
        """Wait until the next attempt is queued."""
        await self.hand.shift(pause)
        await self.look(route)

    async def record(self, route: Route, seq: str = "1") -> bytes:
        """The record of the activity."""
        p = route.partition
        (found,) = await self.hand.store.read(("HGET", p.waits(route.run_id), f"a:{seq}"))
        return bytes(found)

    async def park(self, route: Route, seq: str = "1") -> list[int]:
        """Lose workers until it is parked; the pauses."""
        pauses = []
        for n in range(poison.LIMIT):
            pauses.append(await self.lose(route, seq))
            if n < poison.LIMIT - 1:
                await self.again(route, pauses[-1])
        return pauses

    async def stuck(self) -> str:
        """What a sweep counts."""
        sweep = Sweep(self.hand.store, Queues(self.hand.store), self.metrics)
        for p in self.hand.store.partitions:
            await sweep.visit(p)
        registry = CollectorRegistry()
        registry.register(type("One", (), {"collect": lambda _: [sweep.stuck.family()]})())
        return generate_latest(registry).decode()


def running(record: Any, token: str) -> str:
    """The record of an attempt that a worker has."""
    return "|".join(map(str, record._replace(state="r", token=token, worker="w")))


@pytest.fixture
async def doctor(hand: Hand) -> AsyncIterator[Doctor]:
    doctor = Doctor(hand)
    yield doctor
    await doctor.courier.close()


async def queued(hand: Hand) -> Route:
    """A run with activity 1 in the queue."""
    route = await hand.start()
    others = [route.partition.activity_queue(QUEUE)]
    await hand.commit(await hand.take(route), *activity(1), others=others)
    return route


@proves(
    replaced(poison, "counted", lambda failure, *_: failure),
    mutant("retry_activity", "if parked == 1 then", "if false then"),
)
async def test_an_activity_that_kills_its_workers_is_parked(hand: Hand, doctor: Doctor) -> None:
    """After five in a row it waits a minute, then two; describe, list and metrics say so."""
    route = await queued(hand)
    client = Client(hand.store)
    handle = client.get_handle("w")
    pauses = await doctor.park(route)
    assert pauses == [1000, 2000, 4000, 8000, MINUTE]
    run = await handle.describe()
    assert run["pending_activities"][0]["state"] == PARKED
    health = run["health"]
    assert (health["state"], health["failures"]) == ("stuck", 5)
    assert health["reason"]["reason"] == "activity"
    assert "5 workers in a row went silent under it, the last one was w5" in str(health)
    listed = await client.list("WorkflowHealth = 'stuck'")
    assert [one["workflow_id"] for one in listed["workflows"]] == ["w"]
    assert await client.count("WorkflowHealth = 'ok'") == 0
    assert 'luaflow_workflows_stuck{reason="activity"} 1.0' in await doctor.stuck()
    assert doctor.registry.get_sample_value("luaflow_activities_parked_total") == 1
    await doctor.again(route, pauses[-1])
    assert await doctor.lose(route) == 2 * MINUTE


async def test_a_failure_of_its_own_begins_anew(hand: Hand, doctor: Doctor) -> None:
    """Only workers lost in a row count: an attempt that failed by itself shows that they live."""
    route = await queued(hand)
    for _ in range(poison.LIMIT - 1):
        await doctor.again(route, await doctor.lose(route))
    p = route.partition
    await hand.store.read(("HSET", p.pend(route.run_id), "f:1", b'{"kind":"Internal"}'))
    assert await doctor.lose(route) == 16_000  # its policy's
    assert await Client(hand.store).count("WorkflowHealth = 'stuck'") == 0


def test_pauses_grow_and_have_an_end() -> None:
    """A minute, two, four … sixteen; a policy that waits longer has its way; others are left."""
    failure, last, pauses = timeout("worker_lost"), None, []
    for _ in range(12):
        failure = poison.counted(timeout("worker_lost"), last, "w")
        last = failure.to_json()
        pauses.append(poison.pause_ms(failure, 50))
    assert pauses == [50] * 4 + [MINUTE * n for n in (1, 2, 4, 8, 16, 16, 16, 16)]
    assert poison.pause_ms(failure, 10**9) == 10**9
    for other in (timeout("heartbeat"), Failure("Internal", "no")):
        assert poison.counted(other, last, "w") == other


async def test_maximum_attempts_come_first(hand: Hand) -> None:
    """An activity that may be tried three times is not parked: its workflow hears of its end."""
    route = await queued(hand)
    await hand.take_activity(route)
    record = parse_record(await hand.pending(route, "a:1"))
    last = orjson.dumps({"details": {"_lost": 4}})
    options = {"retry": {"maximum_attempts": 1}}
    found = verdicts.attempt_due(record, record.started + LEASE, options, last)
    assert isinstance(found, verdicts.End)


async def test_a_parked_activity_is_let_go_by_hand(hand: Hand, doctor: Doctor) -> None:
    """An operator has it tried now; what works then is not stuck any more."""
    route = await queued(hand)
    await doctor.park(route)
    place = await unparking.place_of_activity(hand.store, "w", 1)
    assert await unparking.try_now(hand.store, place) == 6
    await doctor.look(route)
    assert (await hand.take_activity(route, token="x", attempt=6))[0] == b"ok"
    with pytest.raises(Refused, match="it is running"):
        await unparking.try_now(hand.store, place)
    await hand.finish(route, 1, "x")
    assert (await Client(hand.store).get_handle("w").describe())["health"] == {"state": "ok"}
    assert await Client(hand.store).count("WorkflowHealth = 'stuck'") == 0
    with pytest.raises(NotFound, match="has ended already"):
        await unparking.try_now(hand.store, place)


async def test_a_parked_activity_is_failed_by_hand(hand: Hand, doctor: Doctor) -> None:
    """An operator ends it: the workflow gets a failure that is not tried again."""
    route = await queued(hand)
    await doctor.park(route)
    place = await unparking.place_of_activity(hand.store, "w", 1)
    await unparking.give_up(hand.store, place, "it kills its workers", "Poison")
    event = (await hand.events(route))[-1]
    assert event.type == "ActivityTaskFailed"
    assert event.body["failure"]["kind"] == "Poison"
    assert event.body["failure"]["details"]["_retry_state"] == "non_retryable_failure"
    with pytest.raises(NotFound):
        await unparking.give_up(hand.store, place, "again", "Poison")


async def test_a_plain_job_is_parked_too(hand: Hand, doctor: Doctor) -> None:
    """The same for a job that was started by itself: seen, tried now, failed."""
    store = hand.store
    (job,) = await enqueue(store, [Job("app:bad", id="bad")], JobHow(queue=QUEUE))
    place = unparking.place_of_job(store, "bad")
    assert place[0].run_id == run_of("bad")
    assert (await doctor.park(place[0], SEQ))[-1] == MINUTE
    found = await job.describe()
    assert found["state"] == PARKED
    assert "workers in a row went silent" in found["last_failure"]["message"]
    await unparking.try_now(store, place)
    await doctor.look(place[0])
    assert (await job.describe())["state"] == "scheduled"
    with pytest.raises(
        Refused, match="the job 'bad' does not wait for an attempt: it waits in its queue"
    ):
        await unparking.give_up(store, place, "no", "Poison")
    await doctor.lose(place[0], SEQ)
    await unparking.give_up(store, place, "it kills its workers", "Poison")
    assert (await job.describe())["status"] == "failed"


@proves(mutant("expire_task", "2 ^ math.min(r.lost - limit, 4)", "1"))
async def test_a_run_that_kills_its_workers_is_tried_ever_later(hand: Hand) -> None:
    """After five workers a minute, then two … sixteen: the fleet is left in peace."""
    route = await hand.start()
    p = route.partition
    pauses = []
    for n in range(11):
        await hand.take(route)
        await hand.lose(route)
        if n >= 4:
            (due, now) = await hand.store.read(
                ("ZSCORE", p.timers, f"f|{route.run_id}"), ("HGET", p.meta, "vtime")
            )
            pauses.append((int(float(due)) - int(now)) // MINUTE)
            await hand.shift(pauses[-1] * MINUTE)
            await hand.store.one(transitions.wake_run(route=route, kind="f"))
    assert pauses == [1, 2, 4, 8, 16, 16, 16]


async def test_a_stuck_workflow_is_listed_and_tried_now(hand: Hand, doctor: Doctor) -> None:
    """Listed with its reason, counted by its word, tried at once when told, healed by a commit."""
    route = await hand.start()
    client = Client(hand.store)
    with pytest.raises(Refused, match="does not wait"):
        await unparking.retry_task(hand.store, "w")
    task = await hand.take(route)
    await hand.store.one(fail_call(route, task.turn, "a", MissingBundle("no code")))
    await hand.start("well")
    (found,) = (await client.list("workflow_health = 'stuck'"))["workflows"]
    assert found["health"]["reason"]["reason"] == "bundle"
    assert await client.count("WorkflowHealth = 'ok'") == 1
    assert await client.count("WorkflowHealth = 'stuck' AND WorkflowType = 'none'") == 0
    assert 'luaflow_workflows_stuck{reason="bundle"} 1.0' in await doctor.stuck()
    await unparking.retry_task(hand.store, "w")
    await doctor.look(route)
    await hand.commit(await hand.take(route))
    assert await client.count("WorkflowHealth = 'stuck'") == 0
    assert 'luaflow_workflows_stuck{reason="bundle"} 0.0' in await doctor.stuck()
    with pytest.raises(InvalidArgument, match="no health 'ill'"):
        await client.count("WorkflowHealth = 'ill'")
