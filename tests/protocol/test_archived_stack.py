"""Where the code of an archived run stands: nowhere, but it replays to its end."""

from __future__ import annotations

from pathlib import Path

from tests.protocol.test_archive import archived_at, leave
from tests.protocol.test_packed import order
from tests.support.engine import Engine
from tests.support.mutants import proves, replaced

from luaflow import deploy
from luaflow.store import keys
from luaflow_cli.stack import stack_of, stack_text


async def _no_code(*_: object) -> None:
    return None


@proves(replaced(deploy, "archived_bundle", _no_code))
async def test_the_stack_of_an_archived_run(engine: Engine, tmp_path: Path) -> None:
    """Its history and its code come from the archive when they have left the server."""
    await archived_at(engine, f"file://{tmp_path}/archive")
    handle = await order(engine)
    bundle = (await handle.describe())["bundle"]
    assert not await leave(engine, handle)
    await engine.store.read(("DEL", keys.bundle(engine.store.namespace, bundle)))
    for run_id in (handle.run_id, None):
        found = await stack_of(engine.client, handle.workflow_id, run_id)
        assert (found["run_id"], found["status"]) == (handle.run_id, "completed")
    text = await stack_text(engine.client, handle.workflow_id, None)
    assert text == "nothing waits: the workflow is completed"
