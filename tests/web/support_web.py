"""An app that serves HTTP, in this process: written, deployed, started, asked by a real client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from prometheus_client import CollectorRegistry
from tests.support.engine import Engine

from luaflow.registry.app import App, load_app
from luaflow.registry.http import Address
from luaflow_web.serving import WebConfig, WebServer

LOCAL = Address("127.0.0.1", 0)


def write_app(
    folder: Path,
    handlers: Mapping[str, str],
    routes: Mapping[str, str],
    *,
    workflows: Mapping[str, str] | None = None,
    modules: tuple[str, ...] = ("http", "json", "time", "funcs"),
    service: Mapping[str, Any] | None = None,
    router: Mapping[str, Any] | None = None,
) -> App:
    """Write an app and load it.

    ``handlers`` are function bodies by name, ``routes`` go from "METHOD /path" to such a name.
    """
    entries: list[dict[str, Any]] = [
        {"name": "client", "kind": "temporal.client", "address": "redis://localhost:6379"},
        {"name": "worker", "kind": "temporal.worker", "client": "client", "task_queue": "q"},
        {"name": "gateway", "kind": "http.service", "addr": "127.0.0.1:0", **(service or {})},
        {"name": "api", "kind": "http.router", "meta": {"server": "gateway"}, **(router or {})},
    ]
    folder.mkdir(exist_ok=True)
    for name, body in handlers.items():
        text = f"local function handler()\n{body}\nend\nreturn {{handler = handler}}\n"
        (folder / f"{name}.lua").write_text(text)
        entry = {"name": name, "kind": "function.lua", "method": "handler"}
        entries.append({**entry, "source": f"file://{name}.lua", "modules": list(modules)})
    for name, text in (workflows or {}).items():
        (folder / f"{name}.lua").write_text(f"{text}\nreturn {{main = main}}\n")
        entry = {"name": name, "kind": "workflow.lua", "source": f"file://{name}.lua"}
        meta = {"temporal": {"workflow": {"worker": "worker"}}}
        entries.append({**entry, "meta": meta, "modules": ["time", "workflow"]})
    for number, (route, func) in enumerate(routes.items()):
        method, _, path = route.partition(" ")
        route_entry = {"name": f"route{number}", "kind": "http.endpoint", "func": func}
        entries.append({**route_entry, "meta": {"router": "api"}, "method": method, "path": path})
    index = {"version": "1.0", "namespace": "app", "entries": entries}
    (folder / "_index.json").write_bytes(orjson.dumps(index))
    return load_app(folder)


class Served:
    """A server in this process and a client of it: ``async with Served(engine, app) as http``."""

    def __init__(self, engine: Engine, app: App | None, *, api: Address | None = None) -> None:
        self.registry = CollectorRegistry()
        self.server = WebServer(engine.store, WebConfig(app, api), self.registry)
        self.client: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        served = await self.server.start()
        url = served[0].rpartition(" ")[2]
        self.client = aiohttp.ClientSession(url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.client.close()
        await self.server.stop()

    @property
    def url(self) -> str:
        """Where the first part of it is."""
        return str(self.client._base_url).rstrip("/")

    async def text(self, method: str, path: str, **how: Any) -> tuple[int, str]:
        """Ask; return status and body."""
        async with self.client.request(method, path, **how) as response:
            return response.status, await response.text()

    async def json(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        """Ask; return status and the value of the body."""
        status, text = await self.text(method, path, **how)
        return status, orjson.loads(text)

    async def lua(self, path: str = "/", method: str = "GET", **how: Any) -> Any:
        """Ask a handler that answers with JSON, and well."""
        status, value = await self.json(method, path, **how)
        assert status == 200, value
        return value
