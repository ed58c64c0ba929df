"""Starts that start nothing, against the rate limit of their type."""

from __future__ import annotations

import pytest
from tests.protocol.test_rate_limits import ready
from tests.support.engine import Engine, within
from tests.support.mutants import proves, replaced

from luaflow.client import starting
from luaflow.errors import AlreadyExists
from luaflow.store.store import Store
from luaflow.store.transitions import Route

WAITS = 'local function main() return (process.listen("go"):receive()) end'
LIMIT = {"wait": {"rate_limit": {"limit": 3, "per": "1h"}}}


async def unknown(_store: Store, _route: Route) -> bool:
    """No workflow id is known."""
    return False


async def gated(engine: Engine, workflow_id: str) -> bool:
    """Whether its present run waits for its rate limit."""
    (run,) = await engine.store.read(
        ("HGET", engine.store.partition(workflow_id).wf(workflow_id), "run")
    )
    (task,) = await engine.store.read(
        ("HGET", engine.store.partition(workflow_id).run(bytes(run).decode()), "task")
    )
    return bool(task == b"gated")


@proves(replaced(starting, "is_known", unknown))
async def test_a_refused_start_wastes_no_moment(engine: Engine) -> None:
    """However often somebody asks for what runs already: others begin at once."""
    await ready(engine, workflows={"wait": WAITS}, entries=LIMIT, workers=1)
    first = await engine.start("wait", id="w", request_id="r")
    for _ in range(5):
        with pytest.raises(AlreadyExists):
            await engine.start("wait", id="w", options={"workflow.id_conflict_policy": "fail"})
        again = await engine.start("wait", id="w", request_id="r")
        assert again.run_id == first.run_id
        using = await engine.start(
            "wait", id="w", options={"workflow.id_conflict_policy": "use_existing"}
        )
        assert using.run_id == first.run_id
    for name in ("x", "y"):
        await engine.start("wait", id=name)
        assert not await gated(engine, name)
    await engine.start("wait", id="z")
    assert await gated(engine, "z")
    for name in "wxyz":
        await engine.client.get_handle(name).terminate()


@proves(replaced(starting, "_may_reuse", lambda *_: False))
async def test_what_starts_all_the_same_asks(engine: Engine) -> None:
    """An id that was used before, and one that is taken from a run: they count like others."""
    await ready(engine, workflows={"wait": WAITS}, entries=LIMIT, workers=1)
    handle = await engine.start("wait", id="w")
    await handle.signal("go", "gone")
    assert await within(handle.result()) == "gone"
    await engine.start("wait", id="w")
    for _ in range(2):
        await engine.start(
            "wait", id="w", options={"workflow.id_conflict_policy": "terminate_existing"}
        )
    assert await gated(engine, "w")
    only_failed = {"workflow.id_reuse_policy": "allow_duplicate_failed_only"}
    await engine.client.get_handle("w").terminate()
    await engine.start("wait", id="w", options=only_failed)
    assert await gated(engine, "w")
    await engine.client.get_handle("w").terminate()
    with pytest.raises(AlreadyExists):
        await engine.start("wait", id="w", options={"workflow.id_reuse_policy": "reject_duplicate"})
