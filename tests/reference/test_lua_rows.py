"""Every claim of the Lua reference is true: each example runs in each context it is meant for."""

from __future__ import annotations

import asyncio

import pytest
from tests.reference.programs import Program, programs, write_app
from tests.support.engine import Engine, engine, make_engine
from tools.lua_library import read_library

from luaflow.errors import WorkflowFailed
from luaflow.registry.app import App, load_app
from luaflow_worker.calling import call_with_client

__all__ = ["engine", "make_engine"]

PATIENCE = 30.0
LIBRARY = read_library()


@pytest.mark.parametrize("name", sorted(LIBRARY))
async def test_claims(engine: Engine, name: str) -> None:
    """What the definition file of this name claims."""
    found = list(programs(LIBRARY[name]))
    if not found:
        return
    ids = write_app(engine.folder, found)
    await engine.deploy()
    await engine.worker()
    await engine.scheduler()
    app = load_app(engine.folder)
    answers = await asyncio.gather(*(_run(engine, app, key, ids[key]) for key in ids))
    wrong = [
        f"{program.row} in a {program.context}:\n    {answer}"
        for program, answer in zip(ids.values(), answers, strict=True)
        if answer
    ]
    assert not wrong, "\n" + "\n".join(wrong)


async def _run(engine: Engine, app: App, key: str, program: Program) -> str:
    """What is wrong with a program's claims, '' when nothing is."""
    client = engine.client
    try:
        if program.context == "workflow":
            return await _executed(engine, key)
        if program.context == "activity":
            return await _executed(engine, "app:caller", key)
        return str(await call_with_client(client, app, app.functions[key], []))
    except WorkflowFailed as error:
        return f"it fails: {error.kind}: {error.message}"


async def _executed(engine: Engine, key: str, *args: str) -> str:
    handle = await engine.client.start(key, *args)
    try:
        async with asyncio.timeout(PATIENCE):
            return str(await handle.result())
    except TimeoutError:
        told = await handle.describe()
        return f"it does not end: {told.get('health')} {told.get('pending_activities')}"
