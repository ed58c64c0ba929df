"""``luaflow dev``: a server, a worker, a scheduler and HTTP for one app, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luaflow_cli.check import look, show_warnings
from luaflow_cli.common import common, load_app, place, run, settings, typed
from luaflow_cli.serve import API_PORT, INSTALL, Port, has_http

if TYPE_CHECKING:
    from luaflow.registry import App
    from luaflow.store.deployed import DeployedType
    from luaflow_cli.processes import Child, ChildEnded


@click.command()
@click.argument("folder", required=False, metavar="[APP]")
@click.option(
    "--port",
    type=Port(),
    default=str(API_PORT),
    show_default=True,
    help="Of the HTTP API; 0 = any free port, none = no API.",
)
@click.option("--data", metavar="DIR", help="Where the data is kept; APP/.luaflow without.")
@common()
@click.pass_context
def dev(ctx: click.Context, folder: str | None, port: int | None, data: str | None) -> None:
    """Run everything for an app on this machine.

    It brings a server of its own, also where LUAFLOW_REDIS_URL names one; only --redis makes it use
    another. Where somebody listens on the usual port, HTTP gets another one that is free.
    """
    from luaflow_worker.modules.egress import allow_private

    loaded = load_app(folder)
    allow_private()
    show_warnings(look(loaded))
    if ctx.get_parameter_source("port") is click.core.ParameterSource.DEFAULT and _taken(port):
        port = 0
    http = _http(loaded, port)
    if typed(ctx, "redis"):
        ctx.exit(run(_serve(loaded, str(settings().redis), http)))
    from luaflow.embedded import EmbeddedServer

    with EmbeddedServer(Path(data) if data else loaded.root / ".luaflow") as server:
        ctx.exit(run(_serve(loaded, server.url, http)))


def _taken(port: int | None) -> bool:
    """Whether somebody listens on a port of this machine."""
    if not port:
        return False
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


def _http(app: App, port: int | None) -> tuple[str, ...]:
    """The options of ``luaflow serve`` for an app; none where there is nothing to serve."""
    from luaflow.registry.http import HttpServiceEntry

    services = any(isinstance(entry, HttpServiceEntry) for entry in app.entries.values())
    if port is None and not services:
        return ()
    if not has_http():
        click.echo(f"HTTP is off, as it is not installed: {INSTALL}", err=True)
        return ()
    return ("--port", "none" if port is None else str(port), "--metrics-port", "0")


async def _serve(app: App, url: str, http: tuple[str, ...]) -> int:
    """Deploy and run the app until a signal, or until a process ends; return the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    children: list[Child] = []
    work = asyncio.create_task(_work(app, url, http, children), name="luaflow-dev-work")
    stopped = asyncio.create_task(stop.wait(), name="luaflow-dev-stop")
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        click.echo("stopping: running activities may finish")
        return 0
    finally:
        work.cancel()  # at whatever it is: opening the server and starting a child can take long
        stopped.cancel()
        await asyncio.wait({work, stopped})
        await asyncio.gather(*(child.stop() for child in children))


async def _work(app: App, url: str, http: tuple[str, ...], children: list[Child]) -> int:
    """Deploy the app and run its processes until one of them ends; return the exit code.

    ``children`` gets what was started; the caller stops it.
    """
    from luaflow.deploy import deploy
    from luaflow.deploy_schedules import deploy_schedules
    from luaflow.store.checks import check_at_start
    from luaflow_cli.local import open_namespace
    from luaflow_cli.processes import ChildEnded, start_all

    namespace = place(app)[1] or "default"
    store = await open_namespace(url, namespace)
    try:
        await check_at_start(store)
        types = await deploy(store, app)
        await deploy_schedules(store, app)
    finally:
        await store.close()
    children += _children(app, url, namespace, http)
    try:
        await start_all(children)
        async with contextlib.nullcontext() if http else _processes(app, url, namespace):
            _tell(url, namespace, types)
            return _tell_end(await _first_end(children))
    except ChildEnded as end:
        return _tell_end(end)


@contextlib.asynccontextmanager
async def _processes(app: App, url: str, namespace: str) -> AsyncIterator[None]:
    """Keep the app's ``process.service`` entries running here; ``luaflow serve`` does it, too."""
    from luaflow import Client
    from luaflow.observe.logs import setup_logging
    from luaflow_worker.node import Node
    from luaflow_worker.process_services import ProcessServices, services_of

    if not services_of(app):
        yield
        return
    setup_logging()
    async with await Client.connect(url, namespace) as client:
        node = Node(app, client, settings=client.store.settings)
        services = ProcessServices(node)
        try:
            await services.start()
            yield
        finally:
            await services.stop()
            await node.close()


async def _first_end(children: list[Child]) -> ChildEnded:
    waits = [asyncio.create_task(child.ended()) for child in children]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return next(wait.result() for wait in waits if wait in done)
    finally:
        for wait in waits:
            wait.cancel()


def _tell_end(end: ChildEnded) -> int:
    """Say which process ended; return its exit code, 1 for one that says nothing to a caller."""
    click.echo(f"error: {end.message}", err=True)
    return end.code if 1 <= end.code <= 5 else 1


def _children(app: App, url: str, namespace: str, http: tuple[str, ...]) -> list[Child]:
    from luaflow_cli.processes import Child

    where = ("--redis", url, "--namespace", namespace)
    queues = sorted({worker.task_queue for worker in app.workers.values()})
    children = [Child("scheduler", "luaflow_scheduler.cli", (*where, "--metrics-port", "0"))]
    if http:
        words = ("serve", str(app.root), *where, *http)
        children.append(Child("serve", "luaflow_cli.main", words))
    if queues:
        named = [word for queue in queues for word in ("--queue", queue)]
        arguments = (*where, "--app", str(app.root), *named)
        children.append(Child("worker", "luaflow_worker.cli", arguments))
    return children


def _tell(url: str, namespace: str, types: Sequence[DeployedType]) -> None:
    """Say that everything runs, and what to do next."""
    from luaflow.store.address import hide_password

    shown = hide_password(url) if "@" in url else url
    click.echo(f"\nluaflow is ready: namespace '{namespace}' at {shown}")
    for one in types:
        click.echo(f"  {one.type} on {one.task_queue}")
    name = types[0].type if types else "TYPE"
    words = (f"export LUAFLOW_REDIS_URL={shown}", f"LUAFLOW_NAMESPACE={namespace}")
    click.echo("\nIn another terminal:")
    click.echo(f"  {' '.join(words)}")
    # (an argument that its code does not expect would fail, and be tried again for ever)
    click.echo(f"  luaflow workflow execute -t {shlex.quote(name)}    # its arguments: -i JSON")
    click.echo("  luaflow workflow list\n\nCtrl-C stops it; the data stays.")
