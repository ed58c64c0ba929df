"""``luaflow dev``: a server, a worker and a scheduler for one app, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luaflow_cli.check import look, show_warnings
from luaflow_cli.common import common, load_app, place, run, settings, typed

if TYPE_CHECKING:
    from luaflow.registry import App
    from luaflow.store.deployed import DeployedType
    from luaflow_cli.processes import Child, ChildEnded


@click.command()
@click.argument("folder", required=False, metavar="[APP]")
@click.option("--port", type=int, default=8233, show_default=True, help="Of console and HTTP API.")
@click.option("--data", metavar="DIR", help="Where the data is kept; APP/.luaflow without.")
@common()
@click.pass_context
def dev(ctx: click.Context, folder: str | None, port: int, data: str | None) -> None:
    """Run everything for an app on this machine.

    It brings a server of its own, also where LUAFLOW_REDIS_URL names one; only --redis makes it use
    another.
    """
    from luaflow_worker.modules.egress import allow_private

    loaded = load_app(folder)
    allow_private()
    show_warnings(look(loaded))
    if ctx.get_parameter_source("port") is not click.core.ParameterSource.DEFAULT:
        click.echo(f"nothing listens on port {port}: this release has no console", err=True)
    if typed(ctx, "redis"):
        ctx.exit(run(_serve(loaded, str(settings().redis))))
    from luaflow.embedded import EmbeddedServer

    with EmbeddedServer(Path(data) if data else loaded.root / ".luaflow") as server:
        ctx.exit(run(_serve(loaded, server.url)))


async def _serve(app: App, url: str) -> int:
    """Deploy and run the app until a signal, or until a process ends; return the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    children: list[Child] = []
    work = asyncio.create_task(_work(app, url, children), name="luaflow-dev-work")
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


async def _work(app: App, url: str, children: list[Child]) -> int:
    """Deploy the app and run its processes until one of them ends; return the exit code.

    ``children`` gets what was started; the caller stops it.
    """
    from luaflow.deploy import deploy
    from luaflow.store.checks import check_at_start
    from luaflow_cli.local import open_namespace
    from luaflow_cli.processes import ChildEnded

    namespace = place(app)[1] or "default"
    store = await open_namespace(url, namespace)
    try:
        await check_at_start(store)
        types = await deploy(store, app)
    finally:
        await store.close()
    children += _children(app, url, namespace)
    try:
        for child in children:
            await child.start()
        async with _processes(app, url, namespace):
            _tell(url, namespace, types)
            return _tell_end(await _first_end(children))
    except ChildEnded as end:
        return _tell_end(end)


@contextlib.asynccontextmanager
async def _processes(app: App, url: str, namespace: str) -> AsyncIterator[None]:
    """Keep the app's ``process.service`` entries running, in this process."""
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


def _children(app: App, url: str, namespace: str) -> list[Child]:
    from luaflow_cli.processes import Child

    where = ("--redis", url, "--namespace", namespace)
    queues = sorted({worker.task_queue for worker in app.workers.values()})
    children = [Child("scheduler", "luaflow_scheduler.cli", (*where, "--metrics-port", "0"))]
    if queues:
        named = [word for queue in queues for word in ("--queue", queue)]
        arguments = (*where, "--app", str(app.root), *named)
        children.append(Child("worker", "luaflow_worker.cli", arguments))
    return children


def _tell(url: str, namespace: str, types: Sequence[DeployedType]) -> None:
    """Say that everything runs, and what to do next."""
    click.echo(f"\nluaflow is ready: namespace '{namespace}' at {url}")
    for one in types:
        click.echo(f"  {one.type} on {one.task_queue}")
    name = types[0].type if types else "TYPE"
    words = (f"export LUAFLOW_REDIS_URL={url}", f"LUAFLOW_NAMESPACE={namespace}")
    click.echo("\nIn another terminal:")
    click.echo(f"  {' '.join(words)}")
    click.echo(f"  luaflow workflow execute -t {shlex.quote(name)} -i '{{}}'")
    click.echo("  luaflow workflow list\n\nCtrl-C stops it; the data stays.")
