"""luaflow call in an app where other things are wrong."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from tests.support.apps import HEAD, write_app
from tests.support.commands import Commands

from luaflow.registry import load_app
from luaflow_cli.local import running

ENTRIES = """\
  - {name: add, kind: process.lua, source: "file://add.lua", method: add, imports: {m: maths}}
  - {name: maths, kind: library.lua, source: "return {add = function(a: T, b) return a + b end}"}
  - {name: says, kind: function.lua, source: "return function(x) print('got', x) return x end"}
  - {name: broken, kind: function.lua, source: "return {"}
  - {name: missing, kind: workflow.lua, source: "file://none.lua",
     meta: {temporal: {workflow: {worker: nobody}}}}
  - {name: uses, kind: function.lua, source: "return print", imports: {b: broken, c: none}}
  - {name: wf, kind: workflow.lua, source: "return function(a) return a.n + 1 end",
     meta: {temporal: {workflow: {worker: worker}}}}
"""
ADD = (
    "local m = require('m')\nreturn {add = function(a: number, b: number) return m.add(a, b) end}\n"
)
NOWHERE = {"LUAFLOW_REDIS_URL": "redis://127.0.0.1:1"}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_app(tmp_path / "app", {"src/app.yaml": HEAD + ENTRIES, "src/add.lua": ADD})
    monkeypatch.chdir(folder)
    return folder


def test_other_entries_do_not_matter(luaflow: Commands, app: Path) -> None:
    """A function runs though others do not parse, or name what is not there."""
    answer = luaflow("call", "app:add", "2", "3", "-o", "json", env=NOWHERE)
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == {"status": "completed", "result": 5}


def test_what_it_logs_is_shown(luaflow: Commands, app: Path) -> None:
    """Beside the result, on standard error."""
    answer = luaflow("call", "app:says", "2", env=NOWHERE)
    assert (answer.code, answer.out, answer.err) == (0, "2\n", "app:says:1: info: got 2\n")


def test_a_function_that_is_misspelt_is_named(luaflow: Commands, app: Path) -> None:
    """It is looked for among workflows, and the error speaks of functions, too."""
    answer = luaflow("call", "app:sayz", "2")
    assert answer.code == 4
    assert "no workflow type 'app:sayz'" in answer.err
    assert "; the app has a function 'app:says'" in answer.err


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("app:broken", "src/app.yaml:13:57: expected an expression, found the end"),
        ("app:missing", "src/app.yaml:14: source cannot be read: file://none.lua does not exist"),
        ("app:uses", "src/app.yaml:13:57: expected an expression, found the end"),
    ],
)
def test_what_is_called_matters(luaflow: Commands, app: Path, entry: str, says: str) -> None:
    """What keeps the entry itself from running, or a library of it, is told: exit code 2."""
    answer = luaflow("call", entry, env=NOWHERE)
    assert (answer.code, answer.err.startswith(f"error: {says}")) == (2, True), answer.err


def test_a_workflow_is_executed(luaflow: Commands, app: Path) -> None:
    """By the workers of the server; the address is that of the command, not of the YAML."""

    ready, done = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with running(load_app(app, partly=True), luaflow.url, luaflow.namespace):
            ready.set()
            await done.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        answer = luaflow("call", "app:wf", '{"n": 41}', "-o", "json")
        assert answer.json == {"status": "completed", "result": 42}
        failed = luaflow("call", "app:wf", "1", "-o", "json")
        assert (failed.code, failed.json["status"]) == (1, "failed")
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
