"""A list names the runs that are damaged, and shows all others."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.engine import Engine

ECHO = "local function main(x) return x end"


async def _damaged(engine: Engine, *command: Any) -> list[Any]:
    """What lists say after ``command`` was done to the key of one run of three."""
    engine.excused = True
    await engine.deploy({"echo": ECHO})
    runs = [await engine.start("echo", n) for n in range(3)]
    p, broken = engine.store.partition(runs[1].workflow_id), runs[1]
    key = p.pend(str(broken.run_id)) if command[1] == "a:1" else p.run(str(broken.run_id))
    if command[0] == "SET":
        await engine.store.read(("DEL", key))
    await engine.store.read((command[0], key, *command[1:]))
    found = [await engine.client.list(query) for query in (None, "WorkflowType = 'app:echo'")]
    found.append(await engine.client.list("TaskQueue = 'q'"))
    for one in found:
        assert {run["workflow_id"] for run in one["workflows"]} >= {
            runs[0].workflow_id,
            runs[2].workflow_id,
        }
        (damage,) = one["damaged"]
        assert damage["run_id"] == broken.run_id
    return [broken, *found]


@pytest.mark.parametrize(
    "damage",
    [
        ("HSET", "len", "many"),
        ("HSET", "start", b"\xff"),
        ("HDEL", "type"),
        ("HSET", "a:1", "r|x"),
        ("SET", "no hash"),
    ],
    ids=lambda damage: "-".join(map(str, damage[:2])),
)
async def test_a_damaged_run_is_named_and_the_others_are_listed(
    engine: Engine, damage: tuple[Any, ...]
) -> None:
    broken, *found = await _damaged(engine, *damage)
    name = broken.workflow_id if damage[0] != "SET" else None
    whose = f"the workflow {name!r}" if name else f"the run {broken.run_id}"
    for one in found:
        (told,) = one["damaged"]
        assert told["workflow_id"] == name
        assert told["message"].startswith(f"{whose} cannot be listed: ")


async def test_a_list_of_sound_runs_says_nothing_of_damage(engine: Engine) -> None:
    await engine.deploy({"echo": ECHO})
    await engine.start("echo", 1)
    assert set(await engine.client.list()) == {"workflows", "next_page"}
    await engine.worker()
