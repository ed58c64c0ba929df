"""Every claim of the Lua reference is true: each example runs in each context it is meant for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.reference.programs import Program, programs, write_app
from tests.reference.serving import HandlerClaims, answer, served
from tests.support.engine import Engine, engine, make_engine
from tools.lua_library import read_library

from luaflow.errors import WorkflowFailed
from luaflow.registry.app import App, load_app
from luaflow_worker.calling import call_with_client
from luaflow_worker.modules import egress

__all__ = ["engine", "make_engine"]

PATIENCE = 30.0
LIBRARY = read_library()
PROMISES = read_library(Path(__file__).parent / "promises")


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The server that the examples of http_client ask."""
    monkeypatch.setenv(egress.VARIABLE, "allow")
    async with served(answer) as found:
        yield found


@pytest.mark.parametrize("name", sorted(LIBRARY))
async def test_claims(engine: Engine, url: str, name: str) -> None:
    """What the definition file of this name claims."""
    await _prove(engine, list(programs(LIBRARY[name], url)))


@pytest.mark.parametrize("name", sorted(PROMISES))
async def test_promises(engine: Engine, url: str, name: str) -> None:
    """What no row has room for, in the same notation: words of errors, kinds, odd arguments."""
    await _prove(engine, list(programs(PROMISES[name], url)))


async def _prove(engine: Engine, found: list[Program]) -> None:
    if not found:
        return
    ids = write_app(engine.folder, found)
    await engine.deploy()
    await engine.worker()
    await engine.scheduler()
    app = load_app(engine.folder)
    handlers = HandlerClaims(engine, app)
    answers = await asyncio.gather(*(_run(engine, app, handlers, key, ids[key]) for key in ids))
    await handlers.close()
    wrong = [
        f"{program.row} in a {program.context}:\n    {answer}"
        for program, answer in zip(ids.values(), answers, strict=True)
        if answer
    ]
    assert not wrong, "\n" + "\n".join(wrong)


async def _run(
    engine: Engine, app: App, handlers: HandlerClaims, key: str, program: Program
) -> str:
    """What is wrong with a program's claims, '' when nothing is."""
    client = engine.client
    try:
        if program.context == "workflow":
            return await _executed(engine, key)
        if program.context == "activity":
            return await _executed(engine, "app:caller", key)
        async with asyncio.timeout(PATIENCE):
            if program.context in ("handler", "form"):
                return await handlers.asked(key, form=program.context == "form")
            return str(await call_with_client(client, app, app.functions[key], []))
    except TimeoutError:
        return "it does not end"
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
