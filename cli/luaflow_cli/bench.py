"""``luaflow bench``: how fast is it here? Rates, times and lateness against one's own Redis."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from luaflow_cli.common import common, place, run, settings, typed

if TYPE_CHECKING:
    from luaflow.client import Client
    from luaflow.store.store import Store
    from luaflow_cli.load import Found, Size
    from luaflow_cli.processes import Child

SCENARIOS: Final = ("start", "order", "timer", "job")
WORKER_SECONDS: Final = 120.0
"""How long somebody who was told so may take to start a worker."""
BAR: Final = 30
LEVELS: Final = ("fast", "replicated", "fsynced")


class Place(NamedTuple):
    """Where it is measured."""

    url: str
    namespace: str


def app_folder() -> Path:
    """The app of the measurements: in a wheel beside this module, in a checkout in bench/."""
    packed = Path(__file__).parent / "examples" / "bench"
    return packed if packed.exists() else Path(__file__).parents[2] / "bench" / "app"


@click.command()
@click.option(
    "--scenario",
    "scenarios",
    type=click.Choice(SCENARIOS),
    multiple=True,
    default=("start", "order", "timer"),
    show_default=True,
    help="What to measure; repeatable.",
)
@click.option("--runs", type=click.IntRange(1, 1_000_000), help="How many; 1000 without --seconds.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=10.0,
    show_default=True,
    help="How long orders and jobs are sent, without --runs.",
)
@click.option(
    "--at-once",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Clients; each waits for its answer before it goes on.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    default=1,
    show_default=True,
    help="Worker processes to start; 0: you start them, it says how.",
)
@click.option("--partitions", type=click.IntRange(1, 1024), default=16, show_default=True)
@click.option("--durability", type=click.Choice(LEVELS), default="fast", show_default=True)
@click.option("--among-others", is_flag=True, help="Also where --namespace has other work in it.")
@click.option("--clean", is_flag=True, help="Only remove what killed measurements left behind.")
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@common()
@click.pass_context
def bench(ctx: click.Context, /, as_json: bool, clean: bool, **given: Any) -> None:
    """Measure rates and times against your Redis.

    Works in a namespace of its own, which is removed at the end, with workers of its own. Its
    numbers are of this machine, this network and this minute: see docs/guides/measure.md.

    start: starts a second, while nobody waits. order: orders of three activities a second, each
    awaited. timer: how late sleeps of a second end. job: plain jobs a second, each awaited.
    """
    from luaflow.client.client import DEFAULT_URL

    if as_json:
        settings().output = "json"
    url, namespace = place()
    named = namespace if typed(ctx, "namespace") else None
    if clean:
        run(_clean(url or DEFAULT_URL))
        return
    where = Place(url or DEFAULT_URL, named or f"bench-{uuid.uuid4().hex[:8]}")
    try:
        code = run(_bench(where, **given))
    except asyncio.CancelledError:
        click.echo("stopped before the end", err=True)
        code = 143  # as a shell tells of SIGTERM
    ctx.exit(code)


async def _bench(
    where: Place,
    *,
    scenarios: Sequence[str],
    runs: int | None,
    seconds: float,
    at_once: int,
    workers: int,
    partitions: int,
    durability: str,
    among_others: bool,
) -> int:
    """Measure, show, clean up; the exit code."""
    from luaflow.store.namespaces import Settings
    from luaflow_cli.load import Size, play

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _end, asyncio.current_task())
    wanted, size = Settings(partitions, durability), Size(runs, seconds, at_once)
    async with _namespace(where, wanted, among_others=among_others) as client:
        about = await _about(client, where, size, workers)
        _say(_heading(about))
        async with _processes(client, where, workers):
            found = []
            for scenario in dict.fromkeys(scenarios):
                found.append(await play(client, scenario, size))
                _say(_words(found[-1]))
    if settings().json:
        from luaflow_cli.output import show_json

        show_json({**about, "scenarios": {one.what: one.to_json() for one in found}})
    return 1 if any(one.failed for one in found) else 0


def _end(task: asyncio.Task[Any] | None) -> None:
    """Stop as Ctrl-C does: everything that was started and made goes."""
    if task:
        task.cancel()


def _say(text: str) -> None:
    if not settings().json:
        click.echo(text)


# -- where -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _namespace(where: Place, wanted: Any, *, among_others: bool) -> AsyncIterator[Client]:
    """The namespace with the app in it; one of our own is gone afterwards."""
    from luaflow.client import Client
    from luaflow.deploy import deploy
    from luaflow.errors import AlreadyExists
    from luaflow.registry import load_app
    from luaflow.store.checks import check_at_start
    from luaflow.store.links import make_link
    from luaflow.store.namespaces import create_namespace

    made = True
    link = make_link(where.url)
    try:
        await check_at_start(link, wanted)
        await create_namespace(link, where.namespace, wanted)
    except AlreadyExists:
        made = False
    finally:
        await link.close()
    async with await Client.connect(where.url, where.namespace) as client:
        try:
            if not made and not among_others:
                await _refuse_others(client)
            await deploy(client.store, load_app(app_folder()))
            yield client
        finally:
            if made:
                await _remove(client.store)
    if not made:
        _say(f"its runs stay in '{where.namespace}' until their retention is over")


async def _remove(store: Store) -> None:
    """Remove the namespace as soon as no worker is there, which would make keys of it again."""
    from luaflow.store.forgetting import forget_namespace

    if await _workers_that_live(store):
        click.echo(f"stop the workers of '{store.namespace}' now: then it is removed", err=True)
    try:
        async with asyncio.timeout(WORKER_SECONDS):
            while await _workers_that_live(store):  # noqa: ASYNC110 - they tell nobody
                await asyncio.sleep(0.2)
    except TimeoutError:
        text = "it stays: luaflow bench --clean removes it when they are gone"
        click.echo(text, err=True)
        return
    await forget_namespace(store)


async def _refuse_others(client: Client) -> None:
    """Raise Refused where the namespace is in use."""
    from luaflow.errors import Refused
    from luaflow_cli.output import counted

    there = {
        "workflow": await client.count(),
        "plain job": len(await client.list_jobs()),
        "schedule": len(await client.list_schedules()),
        "worker": await _workers(client.store),
    }
    if others := ", ".join(counted(n, what) for what, n in there.items() if n):
        raise Refused(
            f"the namespace '{client.namespace}' has other work in it ({others}): leave --namespace"
            " out, and one is made for this and removed; or say --among-others"
        )


async def _workers(store: Store) -> int:
    """How many workers the namespace has, by their own word."""
    from luaflow.store import keys

    (count,) = await store.read(("ZCARD", keys.workers(store.namespace)))
    return int(count)


async def _clean(url: str) -> None:
    """Remove namespaces of measurements that nobody works in any more."""
    import re

    from luaflow.store.forgetting import forget_namespace
    from luaflow.store.links import make_link
    from luaflow.store.namespaces import list_namespaces
    from luaflow.store.store import Store
    from luaflow_cli.output import show_json

    link = make_link(url)
    try:
        names = [n for n in await list_namespaces(link) if re.fullmatch("bench-[0-9a-f]{8}", n)]
    finally:
        await link.close()
    removed = []
    for name in names:
        store = await Store.open(url, name)
        try:
            if await _workers_that_live(store):
                _say(f"{name}: a worker is at work there; left alone")
                continue
            await forget_namespace(store)
        finally:
            await store.close()
        removed.append(name)
        _say(f"{name}: removed")
    if settings().json:
        show_json({"removed": removed})


async def _workers_that_live(store: Store) -> bool:
    """Whether the record of a worker is there: it goes a minute after the worker."""
    from luaflow.store import keys

    (names,) = await store.read(("ZRANGE", keys.workers(store.namespace), 0, -1))
    asks = [("EXISTS", keys.worker(store.namespace, bytes(name).decode())) for name in names]
    return any(await store.read(*asks)) if asks else False


# -- who ---------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _processes(client: Client, where: Place, workers: int) -> AsyncIterator[None]:
    """A scheduler and workers, each a process; they have done something when this is entered."""
    from luaflow_cli.load import QUEUE
    from luaflow_cli.processes import Child, start_all

    at = ("--redis", where.url, "--namespace", where.namespace)
    words = (*at, "--queue", QUEUE, "--app", str(app_folder()))
    scheduler = ("luaflow_scheduler.cli", (*at, "--metrics-port", "0"))
    children: list[Child] = [Child("scheduler", *scheduler, quiet=True)]
    children += [
        Child(f"worker {n}", "luaflow_worker.cli", words, quiet=True) for n in range(1, workers + 1)
    ]
    try:
        await start_all(children)
        if not workers:
            command = shlex.join(("luaflow-worker", *words))
            click.echo(f"start workers now, as many as you like:\n  {command}\n", err=True)
        await _warm_up(client)
        yield
    finally:
        await asyncio.gather(*(child.stop() for child in children))


async def _warm_up(client: Client) -> None:
    """Have some work done before anything is measured; Refused where nobody does it."""
    from luaflow.errors import Refused
    from luaflow_cli.load import warm_up

    try:
        async with asyncio.timeout(WORKER_SECONDS):
            await warm_up(client)
    except TimeoutError:
        raise Refused(
            f"no worker did anything within {WORKER_SECONDS:g} s: with --workers 1 or more they are"
            " started for you"
        ) from None


# -- what is said ------------------------------------------------------------------------------


async def _about(client: Client, where: Place, size: Size, workers: int) -> dict[str, Any]:
    """What it is measured on."""
    import luaflow

    answers = await client.store.each_server(("INFO", "server"), ("CONFIG", "GET", "append*"))
    servers = [_server(*told) for told in answers.values()]
    return {
        "url": next(iter(answers)) if len(answers) == 1 else ", ".join(answers),
        "namespace": where.namespace,
        "server": servers[0],
        "durability": client.store.settings.durability,
        "partitions": client.store.settings.partitions,
        "workers": workers,
        "at_once": size.at_once,
        "luaflow": luaflow.__version__,
        "python": sys.version.split()[0],
    }


def _server(info: Any, config: Any) -> str:
    """Version and persistence in words; a server that tells neither is still a server."""
    lines = bytes(info).decode(errors="replace").splitlines() if isinstance(info, bytes) else []
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    name, version = (
        ("valkey", fields["valkey_version"])
        if "valkey_version" in fields
        else ("redis", fields.get("redis_version", "?"))
    )
    if not isinstance(config, list):
        return f"{name} {version}"
    said = [bytes(one).decode() for one in config]
    told = dict(zip(said[::2], said[1::2], strict=True))
    fsync = f", appendfsync {told['appendfsync']}" if told.get("appendonly") == "yes" else ""
    return f"{name} {version}, appendonly {told.get('appendonly', '?')}{fsync}"


def _heading(about: dict[str, Any]) -> str:
    width = max(map(len, about))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in about.items()) + "\n"


def _words(one: Found) -> str:
    """A scenario in lines for people."""
    found = one.to_json()
    late = "late" if one.what == "timer" else "each"
    lines = [f"{one.what:<6} {found['done']:,} in {found['seconds']:.1f} s"]
    lines[0] += f", {found['per_second']:,.0f} per s"
    if "ended_per_second" in found:
        lines[0] += f" (all ended: {found['ended_per_second']:,.0f} per s)"
    if one.failed:
        lines.append(f"       {one.failed:,} failed, the first with: {one.problem}")
    if one.ms:
        told = "  ".join(f"{name} {value:,.1f}" for name, value in found["ms"].items())
        lines.append(f"       {late}: {told} ms")
        most = max(count for _, count in found["histogram"])
        for bound, count in found["histogram"]:
            bar = "#" * round(BAR * count / most)
            lines.append(f"       < {bound:>8,g} ms  {count:>8,}  {bar}".rstrip())
    return "\n".join(lines) + "\n"
