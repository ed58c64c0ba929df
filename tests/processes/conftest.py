"""An app whose functions and processes run in nodes of the test; see ``Stage``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
import pytest
from tests.support.engine import Engine, engine, make_engine

from luaflow.client.client import Client
from luaflow.registry.app import load_app
from luaflow.store.store import Store
from luaflow_worker.node import Node

__all__ = ["engine", "make_engine", "stage"]

MODULES = ["funcs", "time", "workflow", "json", "uuid", "ctx", "logger"]
HEAD: list[dict[str, Any]] = [
    {"name": "client", "kind": "temporal.client", "address": "redis://localhost:6379"},
    {"name": "worker", "kind": "temporal.worker", "client": "client", "task_queue": "q"},
    {"name": "processes", "kind": "process.host"},
]
BEFORE = """
local funcs, time = require("funcs"), require("time")
local workflow, ctx = require("workflow"), require("ctx")
local HOST = "app:processes"
local function kinds(err) return err and err:kind() end
"""


class Stage:
    """An engine with an app folder, and nodes that run its functions."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.nodes: list[Node] = []
        self._stores: list[Store] = []

    async def app(
        self,
        code: Mapping[str, str],
        *,
        workflows: Mapping[str, str] | None = None,
        entries: list[dict[str, Any]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Stage:
        """Write and deploy an app: bodies of functions and processes, and of workflows, by name.

        Each function is an activity, too. ``options`` are the ``meta.options`` of functions.
        """
        folder = self.engine.folder
        folder.mkdir(exist_ok=True)
        found = [*HEAD, *(entries or [])]
        for kind, bodies in (("function", code), ("workflow", workflows or {})):
            for name, body in bodies.items():
                text = body if "function main" in body else f"local function main(...)\n{body}\nend"
                (folder / f"{name}.lua").write_text(f"{BEFORE}{text}\nreturn {{ main = main }}\n")
                role = "activity" if kind == "function" else "workflow"
                meta: dict[str, Any] = {"temporal": {role: {"worker": "worker"}}}
                if given := (options or {}).get(name):
                    meta["options"] = given
                found.append(
                    {
                        "name": name,
                        "kind": "process.lua" if name.startswith("p_") else f"{kind}.lua",
                        "method": "main",
                        "source": f"file://{name}.lua",
                        "modules": MODULES,
                        "meta": meta,
                    }
                )
        index = {"version": "1.0", "namespace": "app", "entries": found}
        (folder / "_index.json").write_bytes(orjson.dumps(index))
        await self.engine.deploy()
        return self

    async def node(self) -> Node:
        """One more node, with connections of its own, as in another OS process."""
        store = await Store.open(self.engine.store.url, self.engine.store.namespace)
        self._stores.append(store)
        node = Node(load_app(self.engine.folder), Client(store), settings=store.settings)
        self.nodes.append(node)
        return node

    async def call(self, name: str, *args: Any, **how: Any) -> Any:
        """Call a function in the first node."""
        node = self.nodes[0] if self.nodes else await self.node()
        return await node.call(f"app:{name}", list(args), **how)

    @property
    def excused(self) -> bool:
        """Whether a planted violation may leave anything behind."""
        return self.engine.excused

    @excused.setter
    def excused(self, value: bool) -> None:
        self.engine.excused = value

    async def check(self) -> None:
        """What ``proves`` checks at the end of a test."""
        await self.close()
        await self.engine.check()

    async def close(self) -> None:
        """Close the nodes."""
        for node in self.nodes:
            await node.close()
            assert not node.processes.calls
        for store in self._stores:
            await store.close()
        self.nodes, self._stores = [], []


@pytest.fixture
async def stage(engine: Engine) -> AsyncIterator[Stage]:
    """A stage; its nodes are closed before the engine is checked."""
    one = Stage(engine)
    try:
        yield one
    finally:
        await one.close()
