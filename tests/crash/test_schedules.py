"""Schedules while schedulers are killed: each second has one run, not early, none is left out."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime

from tests.crash.conftest import APP, World
from tests.support.engine import Engine
from tests.support.processes import Fleet

from luaflow.client.schedules import ScheduleHandle
from luaflow.domain.schedules import time_text
from luaflow.store.schedules import Schedule, find_schedules

NAMES = ("s1", "s2", "s3", "s4")
KILLS = 4


async def test_each_second_once_whoever_dies(fleet: Fleet, world: World) -> None:
    """Two schedulers, one of which is killed each second, in turn; then none for two seconds."""
    client = await world()
    engine = Engine(client.store, APP)
    _, *schedulers = await asyncio.gather(fleet.worker(), fleet.scheduler(), fleet.scheduler())
    for name in NAMES:
        await client.create_schedule(
            name, "app:sleeper", [1], interval="1s", jitter="500ms", overlap="allow_all"
        )
    found = [one for one in await find_schedules(client.store, NAMES) if one]
    first = max(one.state.next or 0 for one in found)

    async def completed(second: int) -> None:
        for schedule in found:
            run = client.get_handle(*ids(schedule, first + second * 1000))
            await asyncio.wait_for(engine.until(run, "WorkflowExecutionCompleted"), 20)

    for number in range(KILLS):
        await completed(number)
        await schedulers.pop(0).kill()
        if number < KILLS - 2:
            schedulers.append(await fleet.scheduler())
    # nobody acts for a while, and then all of it is made up for
    await fleet.scheduler()
    await completed(KILLS + 2)
    for name in NAMES:
        await ScheduleHandle(client.store, name).delete()
    runs = (await client.list(limit=1000))["workflows"]
    assert len({run["workflow_id"] for run in runs}) == len(runs)
    for schedule in found:
        mine = [r for r in runs if r["search_attributes"]["scheduled_by"] == schedule.name]
        times = sorted(ms(r["search_attributes"]["scheduled_at"]) for r in mine)
        assert times == list(range(schedule.state.next or 0, times[-1] + 1, 1000))
        for run in mine:
            due = schedule.plan.when.due(
                schedule.name, ms(run["search_attributes"]["scheduled_at"])
            )
            assert ms(run["start_time"]) >= due, run


def ids(schedule: Schedule, at: int) -> tuple[str, str]:
    """The workflow and run id of the run for a time."""
    workflow_id = f"{schedule.name}-{time_text(at)}"
    digest = hashlib.sha256(f"{schedule.state.uid}\0{workflow_id}\0".encode()).hexdigest()
    return workflow_id, digest[:32]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)
