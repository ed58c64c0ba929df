"""``luaflow-scheduler``: the command line of the scheduler."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Literal, NoReturn

import click
from prometheus_client import CollectorRegistry

from luaflow import loops
from luaflow.errors import LuaflowError, exit_code
from luaflow.observe.http import OpsServer
from luaflow.observe.logs import setup_logging
from luaflow.store.opening import open_store
from luaflow_scheduler.backlog import BacklogPage
from luaflow_scheduler.scheduler import Scheduler

DEFAULT_REDIS = "redis://127.0.0.1:6379"


@click.command(context_settings={"auto_envvar_prefix": "LUAFLOW", "show_default": True})
@click.option(
    "--redis", envvar="LUAFLOW_REDIS_URL", default=DEFAULT_REDIS, help="Address of the server."
)
@click.option("--namespace", default="default", help="Namespace to look after.")
@click.option(
    "--metrics-port",
    default=9090,
    type=click.IntRange(0, 65535),
    help="Serve /metrics, /healthz, /readyz, backlogs of queues; 0 = any free port.",
)
@click.option("--metrics-host", default="127.0.0.1", help="Address to serve them on.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of log lines."
)
@click.option(
    "--log-level",
    default="info",
    metavar="LEVEL",
    help="Lines that are written; for one logger NAME=LEVEL: info,luaflow.store=debug.",
)
def main(
    redis: str,
    namespace: str,
    metrics_port: int,
    metrics_host: str,
    log_format: Literal["text", "json"],
    log_level: str,
) -> None:
    """Fire timers, relay messages, recover lost work, until SIGTERM.

    Run as many as you like; two are enough to survive the loss of one. Ends with exit code 3 when
    Redis cannot be reached at the start; later outages are waited out.
    """
    try:
        setup_logging(log_format, log_level)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--log-level'") from None
    try:
        loops.run(_serve(redis, namespace, metrics_host, metrics_port))
    except LuaflowError as error:
        _fail(str(error), exit_code(error))
    except OSError as error:
        where = f"{metrics_host}:{metrics_port}"
        _fail(f"cannot serve metrics on {where}: {error}; choose another --metrics-port", 1)


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"luaflow-scheduler: {text}", err=True)
    sys.exit(code)


async def _serve(redis: str, namespace: str, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    store = await open_store(redis, namespace, stop, name="luaflow-scheduler")
    if store is None:
        return
    try:
        registry = CollectorRegistry()
        scheduler = Scheduler(store, registry)
        page = BacklogPage(store)
        with OpsServer(host, port, registry, scheduler.alive, scheduler.ready, page) as ops:
            await scheduler.start()
            loops.settle()
            try:
                click.echo(f"metrics on http://{host}:{ops.port}/metrics")
                click.echo(f"luaflow-scheduler looks after the namespace '{namespace}'")
                await stop.wait()
            finally:
                await scheduler.stop()
                # on a thread: a request that is answered by this loop is waited for
                await asyncio.to_thread(ops.stop)
    finally:
        await store.close()


if __name__ == "__main__":
    main()
