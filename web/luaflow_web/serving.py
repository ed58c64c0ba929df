"""WebServer: all that ``luaflow serve`` runs: the app's HTTP services, and the HTTP API."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from luaflow.client import Client
from luaflow.errors import InvalidArgument
from luaflow.observe.server import ServerFindings
from luaflow.observe.turning import Turning
from luaflow.observe.vitals import Vitals
from luaflow.registry.app import App
from luaflow.registry.http import Address, HttpServiceEntry
from luaflow.store.store import Store
from luaflow.store.watch import ServerWatch
from luaflow_web.api import Api
from luaflow_web.handlers import Handlers
from luaflow_web.listening import CannotListen, Listener
from luaflow_web.metrics import WebMetrics
from luaflow_web.service import HttpService

__all__ = ["CannotListen", "WebConfig", "WebServer"]

log = logging.getLogger("luaflow.web")

API_STOP_SECONDS = 5.0
API_IDLE_SECONDS = 75.0
_LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What to serve: an app or None; where the API listens, None for none.

    ``address`` takes the place of that of the app's only service. ``processes``: run the
    ``process.service`` entries, too.
    """

    app: App | None
    api: Address | None
    address: Address | None = None
    processes: bool = True


class WebServer:
    """Serves until it is stopped. Raises InvalidArgument for a configuration that makes no sense.

    ``store`` is the caller's; closing it is, too.
    """

    def __init__(self, store: Store, config: WebConfig, registry: CollectorRegistry) -> None:
        self.store = store
        self.draining = False
        self.watch = ServerWatch(store)
        ServerFindings(registry, lambda: self.watch.findings)
        self._processes = config.processes
        vitals = Vitals(registry, lambda: store.link.connected)
        self.watch.answered = vitals.round_trip
        self._turning = Turning(vitals.late)
        self.alive = self._turning.alive
        self._client = Client(store)
        self._handlers: Handlers | None = None
        self._services: list[HttpService] = []
        self._running: list[HttpService] = []
        self._api: Api | None = None
        self._api_listener: Listener | None = None
        entries = chosen(config)
        if config.app is not None:
            self._handlers = handlers = Handlers(config.app, self._client)
            metrics = WebMetrics(registry, lambda: sum(one.in_flight for one in self._running))
            self._services = [
                HttpService(config.app, entry, handlers, metrics, config.address)
                for entry in entries
            ]
        if config.api is not None:
            self._listen_api(config.api)

    def _listen_api(self, address: Address) -> None:
        local = address.host in _LOCAL
        if not local:
            log.warning("the HTTP API asks nobody who he is: let only friends reach %s", address)
        self._api = Api(self._client, local=local)
        self._api_listener = Listener(
            self._api.answer,
            address,
            what="the HTTP API",
            idle_seconds=API_IDLE_SECONDS,
            stop_seconds=API_STOP_SECONDS,
        )

    async def start(self) -> list[str]:
        """Listen everywhere; return what is served where, for people. Raises CannotListen."""
        self._turning.start()
        try:
            served = []
            for service in self._services:
                await service.start()
                self._running.append(service)
                served.append(f"{service.entry.id} on {service.url}")
            if self._api_listener is not None:
                await self._api_listener.start()
                served.append(f"the API on {self._api_listener.url}")
            if self._handlers is not None and self._processes:
                await self._handlers.start()
            await self.watch.start()
        except BaseException:
            await self.stop()
            raise
        return served

    async def stop(self) -> None:
        """Take no new requests; wait for those in flight, each service as long as it says."""
        self.draining = True
        if self._api is not None:
            self._api.stopping.set()
        stops = [service.stop() for service in self._running]
        if self._api_listener is not None:
            stops.append(self._api_listener.stop())
        await asyncio.gather(*stops, self.watch.stop())
        if self._handlers is not None:
            await self._handlers.close()
        self._turning.stop()


def starting_by_themselves(app: App) -> list[HttpServiceEntry]:
    """The services of an app with ``lifecycle.auto_start``."""
    entries = app.entries.values()
    services = [entry for entry in entries if isinstance(entry, HttpServiceEntry)]
    return [entry for entry in services if entry.lifecycle.auto_start]


def chosen(config: WebConfig) -> list[HttpServiceEntry]:
    """The services to serve: those that start by themselves; all where none says so."""
    entries = config.app.entries.values() if config.app else ()
    services = [entry for entry in entries if isinstance(entry, HttpServiceEntry)]
    if config.app is not None:
        services = starting_by_themselves(config.app) or services
    if config.address is not None and len(services) != 1:
        raise InvalidArgument(
            f"--addr is the address of the app's http.service, and it has {len(services)}:"
            " write addr: in their entries"
        )
    if not services and config.api is None:
        raise InvalidArgument(
            "there is nothing to serve: the app has no http.service entry, and the API is off"
        )
    return services
