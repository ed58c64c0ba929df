"""``luaflow demo``: an order that survives ``kill -9`` of everything that runs it."""

from __future__ import annotations

import asyncio
import shlex
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luaflow_cli.common import common, load_app, run

if TYPE_CHECKING:
    from luaflow.client import Client, Handle
    from luaflow.domain.events import Event
    from luaflow.registry import App
    from luaflow_cli.processes import Child

ORDER = {"total": 120, "customer_id": "ada", "shipping_address": "12 Analytical Row", "wait": "4s"}
TROUBLE = {"total": 80, "customer_id": "bob", "items": ["lamp"], "shipping_address": ""}
QUEUE = "orders"
LIMIT_SECONDS = 55
COLORS = {"order": "cyan", "saga": "yellow"}


def example() -> Path:
    """The order application: in a wheel beside this module, in a checkout where it is kept."""
    packed = Path(__file__).parent / "examples" / "orders"
    return packed if packed.exists() else Path(__file__).parents[2] / "examples" / "orders"


@click.command()
@click.argument("folder", required=False, metavar="[APP]")
@click.option(
    "--data", metavar="DIR", default=".luaflow/demo", show_default=True, help="Data folder."
)
@common()
def demo(folder: str | None, data: str) -> None:
    """Watch an order survive the death of everything that runs it.

    Starts a server, a scheduler, a workflow worker and an activity worker; kills all but the
    server during a durable sleep; starts new ones. Ends by itself in under a minute.
    """
    from luaflow.embedded import EmbeddedServer

    app = load_app(folder or str(example()))
    begun = time.monotonic()
    with EmbeddedServer(Path(data)) as server:
        _say(f"A server of our own is up ({server.url}), its data is in {data}.")
        run(_limited(app, server.url))
    _say(f"Done in {time.monotonic() - begun:.0f} s; nothing is left running. To look again:")
    click.echo(f"    luaflow dev {shlex.quote(_short(app.root))} --data {data}")
    click.echo("    luaflow workflow list      # in another terminal, as dev tells you\n")


def _short(folder: Path) -> str:
    """A folder as one would type it here."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


async def _limited(app: App, url: str) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        await _play(app, url)


async def _play(app: App, url: str) -> None:
    """The whole story: start, crash, recover, results."""
    from luaflow.client import Client
    from luaflow.deploy import deploy
    from luaflow_cli.output import counted

    async with await Client.connect(url, "default") as client:
        types = await deploy(client.store, app)
        _say(f"Deployed {counted(len(types), 'workflow')} of {app.root.name}.")
        children = await _start(app, url)
        try:
            tag = uuid.uuid4().hex[:6]
            order = await client.start("app:order_demo", {"id": tag, **ORDER}, id=f"order-{tag}")
            saga = await client.start("app:saga", {"id": tag, **TROUBLE}, id=f"saga-{tag}")
            _say("An order (charge, sleep, ship) and a saga whose shipping fails are on their way:")
            watch = Watch(client)
            watch.follow("order", order)
            watch.follow("saga", saga)
            await watch.until("order", "TimerStarted")
            await asyncio.gather(saga.result())
            await _crash(children)
            children = await _start(app, url)
            _say("New ones run. The order goes on where it was, the card is not charged twice:")
            for name, handle in (("order", order), ("saga", saga)):
                await _show_result(name, handle)
            await watch.close()
            _how_to_look(order)
        finally:
            await asyncio.gather(*(child.stop() for child in children))


async def _start(app: App, url: str) -> list[Child]:
    from luaflow_cli.processes import Child, start_all

    scheduler = ("--redis", url, "--metrics-port", "0")
    worker = ("--redis", url, "--queue", QUEUE, "--app", str(app.root), "--role")
    children = [
        Child("scheduler", "luaflow_scheduler.cli", scheduler, quiet=True),
        Child("workflow worker", "luaflow_worker.cli", (*worker, "workflow"), quiet=True),
        Child("activity worker", "luaflow_worker.cli", (*worker, "activity"), quiet=True),
    ]
    await start_all(children)
    _say("A scheduler, a workflow worker and an activity worker run, each a process.")
    return children


async def _crash(children: list[Child]) -> None:
    click.echo()
    for child in children:
        pid = await child.kill()
        click.secho(f"  kill -9 {pid}  the {child.name} is dead", fg="red", bold=True)
    click.echo()


async def _show_result(name: str, handle: Handle) -> None:
    result = await handle.result()
    click.secho(f"  {name} {handle.workflow_id} ended: {result}", fg="green", bold=True)


def _how_to_look(order: Handle) -> None:
    _say("Everything above is in the history. With a server running you would look like this:")
    for command in ("describe", "show", "result"):
        click.echo(f"    luaflow workflow {command} -w {order.workflow_id}")
    click.echo()


def _say(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


class Watch:
    """Prints each event of some runs as it lands."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._begun = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._seen: dict[tuple[str, str], asyncio.Event] = {}

    def follow(self, name: str, handle: Handle) -> None:
        """Print the events of a run from its first on."""
        self._tasks.append(asyncio.create_task(self._print(name, handle), name=f"watch-{name}"))

    async def until(self, name: str, type: str) -> None:
        """Wait for an event of a type."""
        await self._event(name, type).wait()

    async def close(self) -> None:
        """Print what is left; the histories are closed."""
        await asyncio.gather(*self._tasks)

    async def _print(self, name: str, handle: Handle) -> None:
        async for event in handle.history(follow=True):
            at = f"{time.monotonic() - self._begun:6.2f}s"
            words = click.style(f"{name:>6} {event.id:>3}  {event.type:<30}", fg=COLORS[name])
            click.echo(f"  {at} {words} {_about(event)}")
            self._event(name, event.type).set()

    def _event(self, name: str, type: str) -> asyncio.Event:
        return self._seen.setdefault((name, type), asyncio.Event())


_ABOUT: dict[str, Callable[[dict[str, Any]], object]] = {
    "WorkflowExecutionStarted": lambda body: body["type"],
    "ActivityTaskScheduled": lambda body: body["activity"],
    "ActivityTaskCompleted": lambda body: body.get("result"),
    "ActivityTaskFailed": lambda body: body["failure"]["message"],
    "TimerStarted": lambda body: f"{body['ms'] / 1000:g} s",
    "WorkflowTaskCompleted": lambda body: f"by {body['worker']}",
    "WorkflowExecutionCompleted": lambda body: body.get("result"),
}


def _about(event: Event) -> str:
    about = _ABOUT.get(event.type)
    return str(about(event.body))[:60] if about else ""
