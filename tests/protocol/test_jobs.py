"""Plain jobs: a function through a task queue, without a workflow around it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from tests.protocol.hand import QUEUE, Hand
from tests.support.engine import Engine, Make, within
from tests.support.job_handlers import Begun
from tests.support.mutants import mutant, proves

from luaflow.client import Job
from luaflow.client.jobs import KEEP_MS, LEAST_KEEP_MS, JobHandle
from luaflow.errors import InvalidArgument, NotFound, Refused, WorkflowFailed
from luaflow.store import attempts, jobs
from luaflow.store.attempts import Proof, parse_record
from luaflow.store.jobs import How, NewJob, Take
from luaflow_scheduler.lost_jobs import LostJobs
from luaflow_scheduler.queues import Queues
from luaflow_worker.worker import Worker

DOUBLE = "local function main(x) return x * 2 end"
FAILS = "local function main() return nil, errors.new{message='no', kind='Invalid'} end"
FLAKY = """
local function main()
  if require('activity').info().attempt < 3 then error('not yet') end
  return require('activity').info()
end"""
QUICK = {"activity.retry_policy": {"initial_interval": "5ms", "maximum_attempts": 3}}


# -- the whole way -------------------------------------------------------------------------------


async def ready(engine: Engine, **activities: str) -> None:
    """Deploy activities and start a worker and a scheduler."""
    await engine.deploy(activities=activities)
    await engine.worker()
    await engine.scheduler()


async def test_a_job_returns_what_its_function_returns(engine: Engine) -> None:
    """`call` with a queue runs the function in a worker of that queue."""
    await ready(engine, double=DOUBLE)
    assert await within(engine.client.call("app:double", 21, queue="q")) == 42


async def test_the_queue_is_that_of_the_entry(engine: Engine) -> None:
    """With an app nobody has to name the queue; an entry that no worker has is NotFound."""
    await ready(engine, double=DOUBLE)
    job = await engine.client.enqueue("app:double", 4, app=engine.folder)
    assert await job.result(timeout=10) == 8
    assert (await job.describe())["task_queue"] == "q"
    with pytest.raises(NotFound, match="app:nothing"):
        await engine.client.enqueue("app:nothing", app=engine.folder)


async def test_a_job_without_a_queue_is_refused(engine: Engine) -> None:
    """Nothing says where it is to run."""
    with pytest.raises(InvalidArgument, match="which queue"):
        await engine.client.enqueue("app:double", 1)
    with pytest.raises(InvalidArgument, match=r"the job id 'a\|b' holds '\|'"):
        await engine.client.enqueue("app:double", 1, id="a|b", queue="q")


async def test_a_failed_job_raises_its_failure(engine: Engine) -> None:
    """Kind and message are those of the function; the outcome is kept."""
    await ready(engine, fails=FAILS)
    policy = {"activity.retry_policy": {"maximum_attempts": 1}}
    job = await engine.client.enqueue("app:fails", queue="q", options=policy)
    with pytest.raises(WorkflowFailed, match="no") as caught:
        await job.result(timeout=10)
    assert (caught.value.kind, caught.value.status) == ("Invalid", "failed")
    described = await job.describe()
    assert described["status"] == "failed"
    assert described["failure"]["message"] == "no"


async def test_a_job_is_tried_again(engine: Engine) -> None:
    """The retry policy is that of activities; the code sees which attempt it is."""
    await ready(engine, flaky=FLAKY)
    job = await engine.client.enqueue("app:flaky", id="j1", queue="q", options=QUICK)
    info = await job.result(timeout=10)
    assert (info["attempt"], info["job_id"], info["workflow_id"]) == (3, "j1", "")
    assert info["idempotency_key"] == f"{(await job.describe())['run_id']}/1"


async def test_many_jobs_start_together(engine: Engine) -> None:
    """A bulk of jobs: each its own result; one id twice is one job."""
    await ready(engine, double=DOUBLE)
    many = [Job("app:double", (n,), f"job-{n}") for n in range(600)]
    handles = await engine.client.enqueue_many([*many, many[0]], queue="q")
    assert len(handles) == 600
    results = await within(asyncio.gather(*(handle.result() for handle in handles)))
    assert sorted(results) == [2 * n for n in range(600)]


async def hanging(engine: Engine) -> tuple[JobHandle, Worker]:
    """A job whose first attempt runs, and hangs; the worker that runs it."""
    begun = Begun.listen()
    await engine.deploy(python={"work": "tests.support.job_handlers:hang_once"})
    worker = await engine.worker()
    await engine.scheduler()
    job = await engine.client.enqueue("app:work", queue="q", options=QUICK)
    assert await within(begun.get()) == 1
    return job, worker


async def test_a_killed_worker_costs_an_attempt(make_engine: Make) -> None:
    """Its lease ends, the attempt failed (worker_lost), and another worker runs the next one."""
    engine = await make_engine(lease_ms=300)
    job, worker = await hanging(engine)
    assert (await job.describe())["state"] == "started"
    await engine.kill(worker)
    await engine.worker()
    assert await job.result(timeout=10) == 2


async def test_a_start_delay_and_a_cancellation(engine: Engine) -> None:
    """A job that waits never runs once it was canceled."""
    await ready(engine, double=DOUBLE)
    job = await engine.client.enqueue("app:double", 1, queue="q", start_delay="1h")
    assert (await job.describe())["state"] == "backing_off"
    await job.cancel()
    with pytest.raises(WorkflowFailed) as caught:
        await job.result(timeout=10)
    assert caught.value.status == "canceled"
    with pytest.raises(Refused, match="ended already"):
        await job.cancel()


async def test_a_delayed_job_starts_at_its_time(engine: Engine) -> None:
    """The delay is namespace time."""
    await ready(engine, double=DOUBLE)
    job = await engine.client.enqueue("app:double", 3, queue="q", start_delay="1h")
    await engine.shift(3_600_000)
    assert await job.result(timeout=10) == 6


async def test_a_running_job_is_asked_to_stop(make_engine: Make) -> None:
    """The worker hears of it with the next renewal of its lease."""
    engine = await make_engine(lease_ms=300)
    job, _ = await hanging(engine)
    await job.cancel()
    with pytest.raises(WorkflowFailed) as caught:
        await job.result(timeout=10)
    assert caught.value.status == "canceled"


async def test_a_job_of_a_function(engine: Engine) -> None:
    """`funcs` of a function with a queue in its options goes through that queue."""
    calls = """
local function main(x)
  local through = funcs.new():with_options({ ['activity.task_queue'] = 'q' })
  local value, err = through:call('app:double', x)
  if err then return nil, err end
  local _, failed = through:with_options({ ['activity.task_queue'] = 'q',
    ['activity.retry_policy'] = { maximum_attempts = 1 } }):call('app:fails')
  return { value, failed:kind() }
end"""
    await ready(engine, double=DOUBLE, calls=calls, fails=FAILS)
    assert await engine.client.call("app:calls", 5, app=engine.folder) == [10, "Invalid"]


# -- the rules of the scripts --------------------------------------------------------------------

HOW = How(QUEUE, b"", 60_000, 0, 0, 0, 0, 60_000)


async def start(hand: Hand, job_id: str = "j", run_id: str = "r1", **how: Any) -> list[Any]:
    """Start one job by hand; what the script answers."""
    job = NewJob(job_id, run_id, "app:f", b'{"activity":"app:f","input":[],"job":"r1"}')
    call = jobs.start_jobs(
        partition=hand.store.partition(job_id), how=HOW._replace(**how), jobs=[job]
    )
    return await hand.store.one(call)


async def record(hand: Hand, job_id: str = "j") -> attempts.Record:
    """The record of a job's activity."""
    (text,) = await hand.store.read(("HGET", hand.store.partition(job_id).job(job_id), "a:1"))
    return parse_record(text)


async def take(hand: Hand, token: str = "w.1", entry: str = "", times: int = 1) -> list[Any]:
    """Take the job ``j`` by hand; ``entry`` is that of its task, where it is not there any more."""
    one = await record(hand)
    task = Take("j", one.attempt, token, entry or one.token)
    tasks = [task._replace(token=f"{token}{n or ''}") for n in range(times)]
    p = hand.store.partition("j")
    answer = await hand.store.one(jobs.take_jobs(partition=p, queue=QUEUE, worker="w", tasks=tasks))
    return answer[2:]


async def finish(hand: Hand, *tokens: str, body: bytes = b'{"result":1}') -> list[bytes]:
    """Finish the job ``j`` by hand, once for each token; the verdicts."""
    kind = "ActivityTaskCompleted"
    ends = [jobs.End("j", Proof(token), kind, body) for token in tokens or ["w.1"]]
    call = jobs.finish_jobs(partition=hand.store.partition("j"), ends=ends)
    return list(map(bytes, await hand.store.one(call)))


async def entries(hand: Hand) -> int:
    """How many tasks stand in the queue of the partition."""
    (count,) = await hand.store.read(("XLEN", hand.store.partition("j").activity_queue(QUEUE)))
    return int(count)


@proves(
    mutant("start_jobs", "if not there then new[", "if true then new["),
    mutant("start_jobs", "(not there or there == ARGV[i + 1]) and 1 or 0", "1"),
    mutant("start_jobs", "seen[key] or rcall", "rcall"),
)
async def test_a_repeated_start_is_one_job(hand: Hand) -> None:
    """The same request again is answered the same; another one finds the job there."""
    assert await start(hand) == [b"ok", 1]
    assert await start(hand) == [b"ok", 1]
    assert await start(hand, run_id="r2") == [b"ok", 0]
    p = hand.store.partition("j")
    other = hand.id_in(p.number)
    mixed = [NewJob(i, f"r-{n}", "app:f", b"{}") for n, i in enumerate(("j", other, other))]
    answer = await hand.store.one(jobs.start_jobs(partition=p, how=HOW, jobs=mixed))
    assert answer == [b"ok", 0, 1, 0]
    assert await entries(hand) == 2


@proves(
    mutant("finish_jobs", "not told[key] and v[1] == 'running' and ", ""),
    mutant("finish_jobs", "v[1] == 'running' and speaks_for(v[2])", "true"),
)
async def test_a_job_is_finished_once(hand: Hand) -> None:
    """A second end is fenced, and changes nothing; also one that comes with the first."""
    await start(hand)
    assert await take(hand) != [b"gone"]
    assert await finish(hand, "other.1", "w.1", "w.1") == [b"fenced", b"ok", b"fenced"]
    assert await finish(hand, body=b'{"result":2}') == [b"fenced"]
    p = hand.store.partition("j")
    ((body, status),) = await hand.store.read(("HMGET", p.job("j"), "body", "status"))
    assert (orjson.loads(body), status) == ({"result": 1}, b"ActivityTaskCompleted")


@proves(mutant("finish_jobs", "rcall('PEXPIRE', key, told[key])\n", ""))
async def test_an_outcome_is_kept_for_a_while(hand: Hand) -> None:
    """When a job ends its hash gets a time to live; nothing else of it is left."""
    await start(hand, keep=90_000, schedule_to_close=500_000, schedule_to_start=1000)
    await take(hand)
    await finish(hand)
    p = hand.store.partition("j")
    left, open_, leases, timers = await hand.store.read(
        ("PTTL", p.job("j")),
        ("ZCARD", p.jobs),
        ("ZCARD", p.leases),
        ("ZCARD", p.timers),
    )
    assert 80_000 < left <= 90_000
    assert (open_, leases, timers) == (0, 0, 0)


async def test_how_long_outcomes_are_kept(engine: Engine) -> None:
    """A day unless the job says otherwise, and a minute at least."""
    p = engine.store.partition("j")
    for given, kept in ((None, KEEP_MS), ("1s", LEAST_KEEP_MS), ("2h", 7_200_000)):
        job = await engine.client.enqueue(
            "app:f", id=f"j-{given}", queue="q", start_delay="1h", result_ttl=given
        )
        p = engine.store.partition(job.job_id)
        assert int((await engine.store.read(("HGET", p.job(job.job_id), "ttl")))[0]) == kept
        await job.cancel()
    await engine.scheduler()
    for given in (None, "1s", "2h"):
        with pytest.raises(WorkflowFailed):
            await engine.client.get_job(f"j-{given}").result(timeout=10)


@proves(
    mutant("take_jobs", "not taken[key] and ", ""),
    mutant("take_jobs", "(a.state ~= 'q' and not again)", "false"),
)
async def test_a_taken_job_is_not_taken_again(hand: Hand) -> None:
    """The same token again gets the same answer, another one is told that it is gone."""
    await start(hand)
    entry = (await record(hand)).token
    first, second = await take(hand, times=2)
    assert (orjson.loads(first[0])["activity"], second) == ("app:f", b"gone")
    assert await take(hand, entry=entry) == [first]
    assert await take(hand, "other.1", entry=entry) == [b"gone"]


@proves(mutant("start_jobs", "rcall('ZADD', jobs_key, (unpack or table.unpack)(open))\n", ""))
async def test_a_lost_task_is_rebuilt(hand: Hand) -> None:
    """The stream is an index: the sweep finds the job whose entry is gone, once."""
    await start(hand)
    p = hand.store.partition("j")
    await hand.store.read(("DEL", p.activity_queue(QUEUE)))
    lost = LostJobs(hand.store, Queues(hand.store))
    for found in (1, 0):
        calls = await lost.find(p)
        assert len(calls) == found
        await hand.store.run(*calls)
    assert await take(hand) != [b"gone"]


async def test_a_full_server_refuses_new_jobs(hand: Hand) -> None:
    """From 85% of its memory on nothing new is started; a repeat is answered all the same."""
    await start(hand)
    p = hand.store.partition("j")
    await hand.store.read(("HSET", p.meta, "full", 91))
    assert await start(hand, "j", "r1") == [b"ok", 1]
    other = hand.id_in(p.number)
    assert await start(hand, other, "r9") == [b"full", b"91"]


async def test_a_job_that_is_not_there(engine: Engine) -> None:
    """Nobody waits for ever for what never was."""
    with pytest.raises(NotFound, match="'nobody'"):
        await engine.client.get_job("nobody").result()
    with pytest.raises(NotFound):
        await engine.client.get_job("nobody").cancel()
