"""Plain jobs, and questions, under rate limits and in lanes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.protocol import gates
from tests.protocol.test_priority import ONE_AT_A_TIME, URGENT
from tests.protocol.test_rate_limits import obeys, ready
from tests.support.engine import Engine, within
from tests.support.mutants import mutant, patience, proves, replaced

from luaflow.client import Job, asking
from luaflow.client import jobs as client_jobs
from luaflow.errors import NoAnswer
from luaflow_worker import lanes, limits

LIMIT = {"stamp": {"rate_limit": {"limit": 2, "per": "600ms"}}}
NOTE = {"note": "tests.protocol.gates:note"}


async def enqueue(engine: Engine, name: str, number: int, **how: Any) -> None:
    """Run jobs of one function to their end."""
    many = [Job(f"app:{name}", (str(n),)) for n in range(number)]
    for job in await engine.client.enqueue_many(many, queue="q", **how):
        await job.result(timeout=patience())


@proves(
    mutant("take_jobs", "a.hb, v[6] }", "a.hb, false }"),
    replaced(limits.Limits, "of", lambda _self, _attempt: []),
)
async def test_jobs_obey_the_rate_of_their_function(
    engine: Engine, asked: list[tuple[Any, ...]]
) -> None:
    """Each asks once: what was put off comes back at its moment, and passes."""
    await ready(engine, entries=LIMIT, workers=1)
    began = time.monotonic()
    await enqueue(engine, "stamp", 6)
    assert len(gates.stamps) == 6
    assert obeys(gates.stamps, began, 2, 0.3), gates.stamps
    assert gates.stamps[-1] - began >= 0.9
    assert len(asked) <= 6


async def test_a_job_that_is_put_off_leaves_nothing(engine: Engine) -> None:
    """Its outcome is kept, and not the moment that was its."""
    await ready(engine, entries=LIMIT, workers=1)
    jobs = await engine.client.enqueue_many(
        [Job("app:stamp", (str(n),), f"j{n}") for n in range(4)], queue="q"
    )
    for job in jobs:
        await job.result(timeout=10)
        (fields,) = await engine.store.read(("HKEYS", job._partition.job(job.job_id)))
        assert b"p:1" not in fields


@proves(
    replaced(lanes, "_ORDER", ("!lo", "", "!hi")),
    replaced(client_jobs, "lane_of", lambda queue, _: queue),
)
async def test_urgent_jobs_go_first(engine: Engine) -> None:
    """Whoever comes first, the lane of the urgent ones is read before the queue."""
    gates.reset()
    await engine.deploy(python=NOTE, worker=ONE_AT_A_TIME)
    made = [
        await engine.client.enqueue(
            "app:note",
            name,
            id=engine.id_in(3, name),  # one partition has an order of arrival
            queue="q",
            options={"activity.priority": {"priority_key": level}},
        )
        for name, level in (("low", 5), ("usual", 3), ("high", 1))
    ]
    await engine.worker()
    for job in made:
        await job.result(timeout=10)
        assert (await job.describe())["task_queue"] == "q"
    assert gates.calls == ["high", "usual", "low"]


async def test_the_entry_of_a_job_names_its_priority(engine: Engine) -> None:
    """Where the app is known to whoever asks for the job."""
    await ready(engine, entries={"stamp": {"priority": 1}}, workers=1)
    job = await engine.client.enqueue("app:stamp", "x", app=engine.folder)
    await job.result(timeout=10)
    (queue,) = await engine.store.read(("HGET", job._partition.job(job.job_id), "queue"))
    assert queue == b"q!hi"


ANSWERS = """
local workflow = require("workflow")
local function main()
  workflow.on_query("how", function() return "well" end)
  process.listen("go"):receive()
end
"""


@proves(replaced(asking, "base_of", lambda lane: lane))
async def test_a_run_in_a_lane_answers_queries(engine: Engine) -> None:
    """Questions have no lanes: they go to whoever serves the queue."""
    await engine.deploy({"answers": ANSWERS})
    await engine.worker()
    run = await engine.start("answers", options=URGENT)
    assert (await engine.fields(run))["queue"] == "q!hi"
    assert await within(run.query("how", timeout=5)) == "well"


async def test_a_run_without_a_slot_cannot_be_asked(engine: Engine) -> None:
    """Its code has not begun: whoever asks is told what it waits for."""
    entries = {"answers": {"concurrency": 1}}
    await ready(engine, workflows={"answers": ANSWERS}, entries=entries, workers=1)
    first, second = [await engine.start("answers") for _ in range(2)]
    assert await within(first.query("how", timeout=5)) == "well"
    with pytest.raises(NoAnswer, match="a slot, its concurrency limit is reached"):
        await second.query("how", timeout=0.2)
    for run in (first, second):
        await run.signal("go")
        await within(run.result())
