"""Code of one module, run as a workflow by hand or as a function of an app."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.lua.support_kernel import Play, source

from luaflow.client.client import Client
from luaflow.domain import values
from luaflow.errors import LuaflowError
from luaflow.registry.app import App, load_app
from luaflow_worker.calling import call_function


async def no_world() -> Client:
    """These functions start no workflows."""
    raise LuaflowError("this function has no server")


def requires(modules: Sequence[str]) -> str:
    """The lines that require modules under their own names."""
    return "".join(f'local {name} = require("{name}") ' for name in modules)


def play(body: str, *args: Any, modules: Sequence[str], **how: Any) -> Play:
    """A workflow whose main function is ``body``, started."""
    code = f"{requires(modules)}return function(...) {body}\nend"
    return Play(source(code, modules=modules), *args, **how)


def in_workflow(body: str, *args: Any, modules: Sequence[str]) -> Any:
    """What a workflow that waits for nothing returns."""
    last = play(body, *args, modules=modules).last
    assert last.status == "done", last.failure
    return values.loads(last.result or b"null")


def write_function(
    folder: Path,
    body: str,
    modules: Sequence[str],
    entries: Sequence[Mapping[str, Any]] = (),
) -> App:
    """An app with the function ``app:f`` and other entries."""
    code = f"{requires(modules)}local function main(...) {body}\nend return {{main = main}}"
    (folder / "f.lua").write_text(code)
    function = {"name": "f", "kind": "function.lua", "method": "main", "source": "file://f.lua"}
    everything = [{**function, "modules": list(modules)}, *entries]
    index = {"version": "1.0", "namespace": "app", "entries": everything}
    (folder / "_index.json").write_bytes(orjson.dumps(index))
    return load_app(folder, {})


async def in_function(
    folder: Path,
    body: str,
    *args: Any,
    modules: Sequence[str],
    entries: Sequence[Mapping[str, Any]] = (),
) -> Any:
    """What a function returns, called as ``luaflow call`` does."""
    app = write_function(folder, body, modules, entries)
    return await call_function(app, app.functions["app:f"], list(args), no_world)


def in_both_contexts(
    cases: Mapping[str, tuple[str, Any]], modules: Sequence[str]
) -> tuple[Callable[..., None], Callable[..., Any]]:
    """Two tests of these cases (name -> body, what it returns): in workflows and in functions."""

    @pytest.mark.parametrize("name", cases)
    def in_workflows(name: str) -> None:
        body, expected = cases[name]
        assert in_workflow(body, modules=modules) == expected

    @pytest.mark.parametrize("name", cases)
    async def in_functions(tmp_path: Path, name: str) -> None:
        body, expected = cases[name]
        assert await in_function(tmp_path, body, modules=modules) == expected

    return in_workflows, in_functions
