"""The timeouts of plain jobs, and what a worker does with those it still runs when it stops."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.engine import PATIENCE, Engine, Make, within
from tests.support.job_handlers import Begun

from luaflow import Job, SyncClient
from luaflow.client.jobs import JobHandle
from luaflow.errors import InvalidArgument, Refused, WorkflowFailed

HANGS = {"work": "tests.support.job_handlers:hang_once"}
ONCE = {"maximum_attempts": 1}
QUICK = {"initial_interval": "5ms"}


async def started(engine: Engine, **options: Any) -> JobHandle:
    """A job with options of activities."""
    named = {f"activity.{name}": value for name, value in options.items()}
    return await engine.client.enqueue("app:work", queue="q", options=named)


async def timeout_type(job: JobHandle) -> str:
    """Which of its timeouts ended a job."""
    with pytest.raises(WorkflowFailed) as caught:
        await job.result(timeout=PATIENCE)
    assert (caught.value.kind, caught.value.status) == ("Timeout", "timed_out")
    assert caught.value.details
    return str(caught.value.details["timeout_type"])


async def test_nobody_takes_it(engine: Engine) -> None:
    """Without a worker the schedule-to-start timeout ends a job, and retries nothing."""
    await engine.scheduler()
    job = await started(engine, schedule_to_start_timeout="50ms")
    assert await timeout_type(job) == "schedule_to_start"


async def test_all_attempts_together(engine: Engine) -> None:
    """The schedule-to-close timeout ends a job that waits for its next attempt."""
    fails = {"work": "local function main() error('again') end"}
    await engine.deploy(activities=fails)
    await engine.worker()
    await engine.scheduler()
    job = await started(
        engine, schedule_to_close_timeout="300ms", retry_policy={"initial_interval": "1h"}
    )
    assert await timeout_type(job) == "schedule_to_close"


@pytest.mark.parametrize(
    ("option", "kind"),
    [("start_to_close_timeout", "start_to_close"), ("heartbeat_timeout", "heartbeat")],
)
async def test_an_attempt_takes_too_long(engine: Engine, option: str, kind: str) -> None:
    """An attempt that hangs is over; where the policy allows another one, that one runs."""
    Begun.listen()
    await engine.deploy(python=HANGS)
    await engine.worker()
    await engine.scheduler()
    last = await started(engine, **{option: "150ms"}, retry_policy=ONCE)
    assert await timeout_type(last) == kind
    job = await started(engine, **{option: "150ms"}, retry_policy=QUICK)
    assert await job.result(timeout=PATIENCE) == 2


async def stopped_while_it_runs(engine: Engine, **options: Any) -> tuple[JobHandle, list[str]]:
    """A job whose worker is stopped while the first attempt hangs; what the worker counted."""
    begun, counted = Begun.listen(), list[str]()
    await engine.deploy(python=HANGS)
    worker = await engine.worker(drain_seconds=0.05)
    with patch.object(worker.metrics, "attempt", lambda *what: counted.append(what[1])):
        await engine.scheduler()
        job = await started(engine, **options)
        await within(begun.get())
        await engine.retire(worker)
    return job, counted


async def test_a_stopped_worker_hands_its_jobs_back(engine: Engine) -> None:
    """What it runs when its time is over is a failed attempt, at once; another worker goes on."""
    job, counted = await stopped_while_it_runs(engine, retry_policy=QUICK)
    await engine.worker()
    assert await job.result(timeout=PATIENCE) == 2
    assert counted == ["retried"]


async def test_a_stopped_worker_ends_a_last_attempt(engine: Engine) -> None:
    """Where no attempt is left the job is over."""
    job, counted = await stopped_while_it_runs(engine, retry_policy=ONCE)
    assert await timeout_type(job) == "worker_lost"
    assert counted == ["failed"]


async def test_a_job_too_large_is_not_started(make_engine: Make) -> None:
    """The payload limit of the namespace holds; nothing of a bulk is started then."""
    engine = await make_engine(payload_max_bytes=2000, payload_warn_bytes=2000)
    with pytest.raises(Refused, match="the namespace allows 2000"):
        await engine.client.enqueue("app:work", "x" * 2000, queue="q")
    assert await engine.client.list_jobs() == []


async def test_the_sync_facade(engine: Engine) -> None:
    """The same verbs for code without an event loop."""

    def verbs() -> None:
        with SyncClient.connect(engine.store.url, engine.store.namespace) as client:
            job = client.enqueue("app:work", 1, id="j1", queue="q")
            again = client.enqueue("app:work", 1, id="j1", queue="q")
            assert (job.existed, again.existed, job.job_id) == (False, True, "j1")
            assert client.get_job("j1").status() == "running"
            assert job.describe()["state"] == "scheduled"
            assert [one["job_id"] for one in client.list_jobs()] == ["j1"]
            job.cancel()
            with pytest.raises(TimeoutError):
                job.result(timeout=0.01)
            (other,) = client.enqueue_many([Job("app:work", (2,))], queue="q")
            assert not other.existed
            with pytest.raises(InvalidArgument, match="no task token"):
                client.complete_activity("x")

    await asyncio.to_thread(verbs)
