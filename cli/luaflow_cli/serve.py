"""``luaflow serve``: the HTTP services of an app, and the HTTP API, until SIGTERM."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from typing import TYPE_CHECKING, Any, Literal

import click

from luaflow_cli.check import look, show_warnings
from luaflow_cli.common import common, load_app, place, run, settings

if TYPE_CHECKING:
    from luaflow.observe.http import OpsServer
    from luaflow.registry import App
    from luaflow.registry.http import Address
    from luaflow_web.serving import WebConfig, WebServer

INSTALL = 'pip install "luaflow[http]"'
API_PORT = 8233


class Port(click.types.StringParamType):
    """A port, 0 for any that is free; ``none`` where nothing shall listen."""

    name = "port"

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Read it."""
        if value is None or value in ("none", "off"):
            return None
        try:
            found = int(value)
        except ValueError:
            found = -1
        if not 0 <= found <= 65535:
            self.fail(f"{value!r} is not a port: write 0 to 65535, or none", param, ctx)
        return found


def has_http() -> bool:
    """Whether the library of HTTP is installed."""
    return importlib.util.find_spec("aiohttp") is not None


@click.command()
@click.argument("folder", required=False, metavar="[APP]")
@click.option(
    "--port",
    type=Port(),
    default=str(API_PORT),
    show_default=True,
    help="Of the HTTP API; 0 = any free port, none = no API.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve the API on.")
@click.option("--addr", metavar="HOST:PORT", help="In the place of the app's http.service address.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve /metrics, /healthz, /readyz; 0 = any free port.",
)
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True, help="Address to serve them on."
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="LUAFLOW_LOG_FORMAT",
    help="Form of log lines.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    envvar="LUAFLOW_LOG_LEVEL",
    metavar="LEVEL",
    help="Lines that are written; for one logger NAME=LEVEL: info,luaflow.store=debug.",
)
@common()
@click.pass_context
def serve(
    ctx: click.Context,
    folder: str | None,
    port: int | None,
    host: str,
    addr: str | None,
    metrics_port: int | None,
    metrics_host: str,
    log_format: Literal["text", "json"],
    log_level: str,
) -> None:
    """Serve the HTTP services of an app, and the HTTP API.

    Of the http.service entries those are served that have auto_start; where none has, all.
    """
    if not has_http():
        click.echo(f"error: HTTP is not installed: {INSTALL}", err=True)
        ctx.exit(2)
    from luaflow.observe.logs import setup_logging
    from luaflow.observe.tracing import set_up
    from luaflow.registry.http import Address
    from luaflow_web.serving import CannotListen, WebConfig, chosen

    try:
        setup_logging(log_format, log_level)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--log-level'") from None
    set_up("luaflow-serve")
    app = _app(folder)
    if app is not None:
        look(app)  # what cannot run is an error now, and not at the first request
        show_warnings(app.warnings)
    api = None if port is None else Address(host, port)
    config = WebConfig(app, api, _address(addr))
    chosen(config)
    try:
        run(_serve(config, metrics_host, metrics_port))
    except CannotListen as error:
        click.echo(f"error: {error.message}", err=True)
        ctx.exit(1)


def _app(folder: str | None) -> App | None:
    """The app that was named; without a name that of this folder, if it holds one."""
    from luaflow.registry import NoApp

    if folder or settings().app:
        return load_app(folder)
    try:
        return load_app(".")
    except NoApp:
        return None


def _address(text: str | None) -> Address | None:
    from luaflow.errors import InvalidArgument
    from luaflow.registry.http import parse_address

    if text is None:
        return None
    found = parse_address(text)
    if found is None:
        raise InvalidArgument(f"--addr must be host:port, such as 127.0.0.1:8080, not {text!r}")
    return found


async def _serve(config: WebConfig, metrics_host: str, metrics_port: int | None) -> None:
    from prometheus_client import CollectorRegistry

    from luaflow import loops
    from luaflow.client.client import DEFAULT_NAMESPACE, DEFAULT_URL
    from luaflow.store.opening import open_store
    from luaflow_web.serving import WebServer

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    url, namespace = place(config.app)
    store = await open_store(
        url or DEFAULT_URL, namespace or DEFAULT_NAMESPACE, stop, name="luaflow-serve"
    )
    if store is None:
        return
    registry = CollectorRegistry()
    ops: OpsServer | None = None
    try:
        server = WebServer(store, config, registry)
        served = await server.start()
        loops.settle()
        try:
            ops = _ops(server, registry, metrics_host, metrics_port)
            click.echo(f"luaflow serve (process {os.getpid()}) serves {', '.join(served)}")
            await stop.wait()
        finally:
            await server.stop()
            if ops:
                ops.stop()
    finally:
        await store.close()


def _ops(server: WebServer, registry: Any, host: str, port: int | None) -> OpsServer | None:
    from luaflow.observe.http import OpsServer
    from luaflow_web.serving import CannotListen

    if port is None:
        return None

    def ready() -> tuple[bool, str]:
        if server.draining:
            return False, "draining"
        if not server.store.link.connected:
            return False, "no connection to Redis"
        return server.watch.ready()

    ops = OpsServer(host, port, registry, server.alive, ready)
    try:
        ops.start()
    except (OSError, OverflowError) as error:
        raise CannotListen(
            f"cannot serve metrics on {host}:{port}: {error}; choose another --metrics-port"
        ) from error
    click.echo(f"metrics on http://{host}:{ops.port}/metrics")
    return ops
