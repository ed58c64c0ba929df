"""HttpService: one `http.service` of an app; listens, finds the function, lets it answer."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from luaflow.domain.failure import Failure
from luaflow.errors import InvalidArgument
from luaflow.registry.app import App
from luaflow.registry.entries import FunctionEntry
from luaflow.registry.http import (
    Address,
    HttpEndpointEntry,
    HttpRouterEntry,
    HttpServiceEntry,
    ServerTls,
)
from luaflow_web.exchange import HttpExchange
from luaflow_web.handlers import Handlers
from luaflow_web.listening import Listener
from luaflow_web.metrics import WebMetrics
from luaflow_web.middleware import Cors, Visit, peer, real_ip
from luaflow_web.routing import Routes

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 75.0
"""How long a connection without requests is kept, where the service does not say."""
_POSITION = re.compile(r"^[^\s:]+\.lua:\d+: ")
_CLIENT_AUTH: Final = {
    "none": ssl.CERT_NONE,
    "request": ssl.CERT_OPTIONAL,
    "require": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint with all that its requests need."""

    name: str
    func: FunctionEntry
    router: HttpRouterEntry
    cors: Cors | None


class HttpService:
    """Serves the endpoints of one service entry; ``handlers`` runs their functions."""

    def __init__(
        self,
        app: App,
        entry: HttpServiceEntry,
        handlers: Handlers,
        metrics: WebMetrics,
        address: Address | None = None,
    ) -> None:
        """``address`` takes the place of the entry's own."""
        self.entry = entry
        self._handlers = handlers
        self._metrics = metrics
        self._routes = routes_of(app, entry)
        self._listener = Listener(
            self._answer,
            address or entry.address,
            what=entry.id,
            idle_seconds=entry.idle_timeout_ms / 1000 or IDLE_SECONDS,
            stop_seconds=entry.lifecycle.stop_timeout_ms / 1000,
            tls=tls_context(app.root, entry.tls),
        )

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return self._listener.in_flight

    @property
    def url(self) -> str:
        """Where it is reached from this machine."""
        return self._listener.url

    async def start(self) -> None:
        """Listen. Raises ``listening.CannotListen``."""
        await self._listener.start()

    async def stop(self) -> None:
        """Take no new request; those in flight have the entry's ``stop_timeout``."""
        await self._listener.stop()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        found = self._routes.find(request.rel_url.raw_path)
        if found is None:
            return error_response(404, f"nothing answers {request.path}")
        visit = Visit(request, peer(request))
        own = found.of(request.method)
        target, params = own or (next(iter(found.targets.values())), {})
        if target.cors is not None:
            target.cors.apply(visit)
            if preflight := target.cors.preflight(visit):
                return preflight
        if own is None:
            headers = {**visit.headers, "Allow": found.allow}
            if request.method == "OPTIONS":
                return web.Response(status=204, headers=headers)
            text = f"{request.path} answers {found.allow}, not {request.method}"
            return error_response(405, text, headers)
        return await self._measured(target, visit, params)

    async def _measured(
        self, target: Target, visit: Visit, params: Mapping[str, str]
    ) -> web.StreamResponse:
        since, code = time.monotonic(), 499  # what proxies write of a client that went away
        try:
            response = await self._handle(target, visit, params)
            code = response.status
            return response
        finally:
            if "metrics" in target.router.middleware:
                self._metrics.answered(target.name, code, time.monotonic() - since)

    async def _handle(
        self, target: Target, visit: Visit, params: Mapping[str, str]
    ) -> web.StreamResponse:
        if "real_ip" in target.router.middleware:
            real_ip(visit)
        exchange = HttpExchange(
            visit.request,
            params,
            visit.headers,
            visit.remote,
            compress="compress" in target.router.middleware,
            read_seconds=self.entry.read_timeout_ms / 1000,
        )
        try:
            async with asyncio.timeout(self.entry.write_timeout_ms / 1000 or None):
                outcome = await self._handlers.run(target.func, exchange)
                if outcome.failure is None:
                    return await exchange.finish()
            return self._failed(target, exchange, outcome.failure)
        except TimeoutError:
            log.warning("%s: no answer within %d ms", target.name, self.entry.write_timeout_ms)
            return self._broken(exchange, error_response(504, "the answer took too long"))
        finally:
            exchange.release()

    def _failed(
        self, target: Target, exchange: HttpExchange, failure: Failure
    ) -> web.StreamResponse:
        """Tell the log everything, and the client what happened."""
        log.error(
            "%s: %s failed: %s: %s%s",
            target.name,
            target.func.id,
            failure.kind or "error",
            failure.message,
            f"\n{failure.stack}" if failure.stack else "",
        )
        return self._broken(exchange, error_response(500, _POSITION.sub("", failure.message)))

    def _broken(self, exchange: HttpExchange, response: web.Response) -> web.StreamResponse:
        """The answer for a handler that did not end well; a response that has begun is cut off."""
        if exchange.sent is None:
            for name, value in exchange.added.items():
                response.headers.setdefault(name, value)
            return response
        if exchange.request.transport is not None:
            exchange.request.transport.abort()
        return exchange.sent


def routes_of(app: App, service: HttpServiceEntry) -> Routes[Target]:
    """The endpoints of all routers of a service."""
    routes: Routes[Target] = Routes()
    for entry in app.entries.values():
        if not isinstance(entry, HttpEndpointEntry):
            continue
        router = app.entries[entry.router]
        func = app.entries[entry.func]
        assert isinstance(router, HttpRouterEntry)
        assert isinstance(func, FunctionEntry)
        if router.server == service.id:
            path = router.prefix + entry.route
            cors = Cors.of(router.options) if "cors" in router.middleware else None
            routes.add(entry.method, path, Target(f"{entry.method} {path}", func, router, cors))
    return routes


def tls_context(root: Path, tls: ServerTls) -> ssl.SSLContext | None:
    """The certificates of a service; None without. Raises InvalidArgument."""
    if not tls.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(root / tls.cert, root / tls.key)
        if tls.client_ca:
            context.load_verify_locations(root / tls.client_ca)
            context.verify_mode = _CLIENT_AUTH[tls.client_auth]
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(
            f"the certificate {tls.cert} with the key {tls.key} cannot be used: {error}; both are"
            " PEM files below the app folder"
        ) from None
    return context


def error_response(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error as JSON: ``{"error": message}``."""
    body: dict[str, Any] = {"error": message}
    return web.json_response(body, status=status, headers=headers)
