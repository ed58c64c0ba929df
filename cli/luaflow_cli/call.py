"""``luaflow call``: a function runs in this process, a workflow is executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from luaflow_cli.common import common, connect, load_app, parse_json, place, run, settings

if TYPE_CHECKING:
    from luaflow.client import Client
    from luaflow.registry import App
    from luaflow.registry.entries import CallableEntry


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("entry")
@click.argument("arguments", nargs=-1, metavar="[JSON]...")
@common()
@click.pass_context
def call(ctx: click.Context, entry: str, arguments: tuple[str, ...]) -> None:
    """Call a function or run a workflow, and print its result."""
    from luaflow.errors import WorkflowFailed
    from luaflow_cli.output import show_failure, show_result

    args = [parse_json(text, "the argument") for text in arguments]
    app = _app()
    function = app.functions.get(entry) if app else None

    async def work() -> Any:
        if app is not None and function is not None:
            return await _call(app, function, args)
        async with await connect() as client:
            return await client.execute(entry, *args)

    try:
        value = run(work())
    except WorkflowFailed as error:
        show_failure(error, as_json=settings().json)
        ctx.exit(1)
    show_result(value, as_json=settings().json)


def _app() -> App | None:
    """The app that was named; without a name this folder, if it holds one."""
    from luaflow.registry import NoApp

    if settings().app:
        return load_app(None)
    try:
        return load_app(".")
    except NoApp:
        return None


async def _call(app: App, entry: CallableEntry, args: list[Any]) -> Any:
    """Run a function of the app here; Redis is asked only when the function asks for it."""
    from luaflow.domain import values
    from luaflow.errors import WorkflowFailed
    from luaflow.store.keys import Partition
    from luaflow.store.namespaces import Settings
    from luaflow_worker.attempt import Attempt
    from luaflow_worker.functions import FunctionHost
    from luaflow_worker.python_activities import PythonActivities

    limit = Settings().payload_max_bytes
    python = PythonActivities(app.root, threads=4, payload_max=limit)
    world = LateWorld(app)
    host = FunctionHost(app, python, world, node="call", cpu_seconds=1.0, payload_max=limit)
    attempt = Attempt(
        partition=Partition("call", 0),
        workflow_id="",
        run_id="call",
        seq=0,
        activity=entry.id,
        input=values.dumps(args),
        token="",
        queue="",
    )
    try:
        outcome = await host.call(entry, attempt)
    finally:
        python.close()
        await world.close()
    if (failure := outcome.failure) is None:
        return values.loads(outcome.result)
    raise WorkflowFailed(
        failure.message,
        kind=failure.kind,
        retryable=failure.retryable,
        details=failure.details,
    )


class LateWorld:
    """What a function may do to workflows, by a client that connects when it is first needed."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._client: Client | None = None

    async def _world(self) -> Any:
        from luaflow.client import Client
        from luaflow_worker.world import ClientWorld

        if self._client is None:
            self._client = await Client.connect(*place(self._app))
        return ClientWorld(self._client)

    async def spawn(self, *args: Any) -> tuple[str, Any]:
        """Start a workflow."""
        found: tuple[str, Any] = await (await self._world()).spawn(*args)
        return found

    async def send(self, *args: Any) -> None:
        """Signal a workflow."""
        await (await self._world()).send(*args)

    async def cancel(self, *args: Any) -> None:
        """Ask a workflow to cancel."""
        await (await self._world()).cancel(*args)

    async def terminate(self, *args: Any) -> None:
        """End a workflow."""
        await (await self._world()).terminate(*args)

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            await self._client.close()
