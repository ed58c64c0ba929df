"""The HTTP of the claims: a server that examples ask, and handlers that are asked themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from tests.support.engine import Engine

from luaflow.domain import values
from luaflow.registry.app import App
from luaflow.registry.entries import FunctionEntry
from luaflow_web.exchange import HttpExchange
from luaflow_web.handlers import Handlers

PATH = "/orders/7?page=2&tag=a&tag=b"
ENTRY = "X-Entry"


async def answer(request: web.Request) -> web.StreamResponse:
    """What the server of the examples says: what it was asked, or what its path asks for."""
    match request.path.split("/")[1:]:
        case ["status", code]:
            return web.Response(status=int(code))
        case ["lines"]:
            return web.Response(text="one\ntwo\n")
        case ["long"]:
            return web.Response(text="x" * 100_000)
        case ["slow"]:
            await asyncio.sleep(30)
        case ["broken"]:
            assert request.transport is not None
            request.transport.close()
    return web.json_response(
        {
            "method": request.method,
            "query": dict(request.query),
            "body": (await request.read()).decode(),
            "tenant": request.headers.get("X-Tenant"),
            "auth": request.headers.get("Authorization"),
        }
    )


@asynccontextmanager
async def served(answering: Any) -> AsyncIterator[str]:
    """A server on this machine; its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answering)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


class HandlerClaims:
    """Runs functions of an app as handlers of a real request, each named by a header."""

    def __init__(self, engine: Engine, app: App) -> None:
        """Nothing is served before ``asked``."""
        self.app = app
        self.handlers = Handlers(app, engine.client)
        self.found: dict[str, str] = {}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        entry = request.headers[ENTRY]
        peer = request.transport.get_extra_info("peername") if request.transport else ("", 0)
        exchange = HttpExchange(request, {"id": "7"}, {}, f"{peer[0]}:{peer[1]}")
        try:
            function = self.app.functions[entry]
            assert isinstance(function, FunctionEntry)
            outcome = await self.handlers.run(function, exchange)
            if outcome.failure:
                self.found[entry] = f"it fails: {outcome.failure.message}"
            else:
                self.found[entry] = str(values.loads(outcome.result))
            return await exchange.finish()
        finally:
            exchange.release()

    async def asked(self, entry: str, *, form: bool) -> str:
        """Ask a handler; what is wrong with its claims."""
        headers = {ENTRY: entry, "Accept": "application/json", "X-Tenant": "acme"}
        data: Any = b'{"total": 5}'
        if form:
            data = aiohttp.FormData()
            data.add_field("title", "sun")
            data.add_field("photo", b"GIF89a", filename="sun.gif", content_type="image/gif")
        else:
            headers["Content-Type"] = "application/json"
        async with (
            served(self._handle) as url,
            aiohttp.ClientSession() as http,
            http.post(url + PATH, headers=headers, data=data) as response,
        ):
            await response.read()
        return self.found[entry]

    async def close(self) -> None:
        """End what the handlers left."""
        await self.handlers.close()
