"""``luaflow-worker``: the command line of the worker."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal, NoReturn

import click
from prometheus_client import CollectorRegistry

from luaflow import loops
from luaflow.errors import LuaflowError, exit_code
from luaflow.observe import tracing
from luaflow.observe.http import OpsServer
from luaflow.observe.logs import setup_logging
from luaflow.store.opening import open_store
from luaflow_worker.supervisor import PULSE_SECONDS, Supervisor, pulse_fd, worker_command
from luaflow_worker.worker import ROLES, Worker, WorkerConfig

log = logging.getLogger("luaflow.worker")

DEFAULT_REDIS = "redis://127.0.0.1:6379"
MAX_SECONDS = 30 * 24 * 3600.0
THREAD_SECONDS = 0.5
"""What idle threads may take to end."""


class MetricsAddressError(Exception):
    """The metrics cannot be served where they should be; the text says where and why."""


class Seconds(click.FloatRange):
    """A number of seconds, ``least`` or more; nan, which is neither, is refused."""

    name = "seconds"

    def __init__(self, least: float) -> None:
        super().__init__(min=least, max=MAX_SECONDS)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        found: float = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return found


@click.command(context_settings={"auto_envvar_prefix": "LUAFLOW", "show_default": True})
@click.option(
    "--queue",
    "queues",
    multiple=True,
    required=True,
    envvar=["LUAFLOW_QUEUE", "LUAFLOW_QUEUES"],
    help="Task queue to serve; repeat for more (in LUAFLOW_QUEUE: with spaces between).",
)
@click.option(
    "--role", type=click.Choice(ROLES), default="all", help="What to run of these queues."
)
@click.option(
    "--redis", envvar="LUAFLOW_REDIS_URL", default=DEFAULT_REDIS, help="Address of the server."
)
@click.option("--namespace", default="default", help="Namespace to work in.")
@click.option(
    "--app",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Registry folder (activities).",
)
@click.option(
    "--processes",
    default=1,
    type=click.IntRange(1, 64),
    help="Worker processes under a supervisor.",
)
@click.option("--cache", default=1000, type=click.IntRange(0), help="Runs kept in memory.")
@click.option(
    "--drain-timeout",
    type=Seconds(0),
    help="Seconds running activities get at SIGTERM; else worker_stop_timeout of the YAML, or 30.",
)
@click.option(
    "--hang-timeout",
    default=10.0,
    type=Seconds(1),
    help="Seconds of silence after which a process is killed.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve /metrics, /healthz, /readyz; 0 = any free port.",
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
@click.option("--child", type=int, hidden=True, allow_from_autoenv=False)
def main(
    queues: tuple[str, ...],
    role: str,
    redis: str,
    namespace: str,
    app: Path | None,
    processes: int,
    cache: int,
    drain_timeout: float | None,
    hang_timeout: float,
    metrics_port: int | None,
    metrics_host: str,
    log_format: Literal["text", "json"],
    log_level: str,
    child: int | None,
) -> None:
    """Run workflow tasks and activities of the given queues until SIGTERM."""
    try:
        setup_logging(log_format, log_level)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--log-level'") from None
    if metrics_port and child:
        metrics_port += child
    try:
        config = WorkerConfig(tuple(dict.fromkeys(queues)), role, app, cache, drain_timeout)
        if child is None and processes > 1:
            sys.exit(Supervisor(worker_command(), processes, hang_seconds=hang_timeout).run())
        tracing.set_up("luaflow-worker")
        loops.run(_serve(config, redis, namespace, metrics_host, metrics_port))
    except LuaflowError as error:
        _fail(error.message, exit_code(error))
    except MetricsAddressError as error:
        _fail(
            f"cannot serve metrics on {error}; choose another --metrics-port or --metrics-host", 1
        )
    _leave_handlers()


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"luaflow-worker: {text}", err=True)
    sys.exit(code)


def _leave_handlers() -> None:
    """End the process though handlers still run on threads: their attempts were handed back.

    Python would wait for them, however long they take.
    """
    end = time.monotonic() + THREAD_SECONDS
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.daemon:
            continue
        thread.join(max(0, end - time.monotonic()))
        if thread.is_alive():
            _leave(thread.name)


def _leave(what: str) -> NoReturn:
    log.warning("%s still runs an activity that was handed back: leaving it", what)
    logging.shutdown()
    tracing.flush()
    sys.stdout.flush()
    os._exit(0)


async def _serve(
    config: WorkerConfig, redis: str, namespace: str, host: str, port: int | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    store = await open_store(redis, namespace, stop, name="luaflow-worker")
    if store is None:
        return
    registry = CollectorRegistry()
    try:
        worker = Worker(store, config, registry)
        ops = _ops(worker, registry, host, port)
        pulse = _start_pulse(stop)  # from here on a supervisor takes our end for an accident
        await worker.start()
        loops.settle()
        queues = ", ".join(config.queues)
        who = f"luaflow-worker {worker.id} (process {os.getpid()})"
        click.echo(f"{who} serves {queues} ({config.role})")
        await stop.wait()
        await worker.stop()
        if ops:
            ops.stop()
        if pulse:
            pulse.cancel()
    finally:
        await store.close()
    if worker.deaf:  # the end of the event loop would wait for it, too
        _leave("a coroutine that caught its cancellation")


def _ops(
    worker: Worker, registry: CollectorRegistry, host: str, port: int | None
) -> OpsServer | None:
    if port is None:
        return None

    def ready() -> tuple[bool, str]:
        if worker.draining:
            return False, "draining"
        if not worker.store.link.connected:
            return False, "no connection to Redis"
        if not worker.healthy:
            return False, "a part of the worker failed"
        return worker.watch.ready()

    ops = OpsServer(host, port, registry, worker.alive, ready)
    try:
        ops.start()
    except (OSError, OverflowError) as error:
        raise MetricsAddressError(f"{host}:{port}: {error}") from error
    click.echo(f"metrics on http://{host}:{ops.port}/metrics")
    return ops


def _start_pulse(stop: asyncio.Event) -> asyncio.Task[None] | None:
    """Show the supervisor twice a second that the event loop turns; without it, stop."""
    fd = pulse_fd()
    if fd is None:
        return None

    async def beat() -> None:
        while True:
            try:
                os.write(fd, b".")
            except BrokenPipeError:
                log.warning("the supervisor is gone: stopping")
                stop.set()
                return
            await asyncio.sleep(PULSE_SECONDS)

    return asyncio.create_task(beat(), name="luaflow-pulse")


if __name__ == "__main__":
    main()
