"""``luaflow call``: a function runs in this process, a workflow is executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from luaflow_cli.common import common, connect, load_app, parse_json, place, run, settings

if TYPE_CHECKING:
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
    from luaflow.client import Client
    from luaflow_worker.calling import LateWorld, call_function
    from luaflow_worker.modules.egress import allow_private

    allow_private()
    world = LateWorld(lambda: Client.connect(*place(app)))
    try:
        return await call_function(app, entry, args, world)
    finally:
        await world.close()
