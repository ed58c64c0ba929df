"""``luaflow call``: a function runs in this process, a workflow is executed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luaflow_cli.common import common, parse_json, place, run, settings

if TYPE_CHECKING:
    from luaflow.registry import App
    from luaflow.registry.entries import CallableEntry


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("entry")
@click.argument("arguments", nargs=-1, metavar="[JSON]...")
@common()
@click.pass_context
def call(ctx: click.Context, entry: str, arguments: tuple[str, ...]) -> None:
    """Call a function or run a workflow, and print its result.

    A function of the app runs in this process, and what it logs goes to standard error; what else
    is wrong in the app does not matter. A workflow is executed on the server, by the workers there.
    """
    from luaflow.client import Client
    from luaflow.domain.ids import closest
    from luaflow.errors import NotFound, WorkflowFailed
    from luaflow.registry import RegistryErrors
    from luaflow_cli.loglines import log_lines
    from luaflow_cli.output import show_failure, show_result

    args = [parse_json(text, "the argument") for text in arguments]
    app = _app()
    if app and (faults := app.faults(entry)):
        raise RegistryErrors(faults)
    function = app.functions.get(entry) if app else None

    async def work() -> Any:
        if app is not None and function is not None:
            return await _call(app, function, args)
        async with await Client.connect(*place(app)) as client:
            try:
                return await client.execute(entry, *args)
            except NotFound as error:
                near = closest(entry, app.functions) if app else None
                hint = f"; the app has a function {near!r}" if near else ""
                raise NotFound(error.message + hint) from None

    try:
        with log_lines(lambda line: click.echo(line, err=True)):
            value = run(work())
    except WorkflowFailed as error:
        show_failure(error, as_json=settings().json)
        ctx.exit(1)
    show_result(value, as_json=settings().json)


def _app() -> App | None:
    """The app that was named; without a name this folder, if it holds one."""
    from luaflow.registry import NoApp, load_app

    named = settings().app
    try:
        return load_app(Path(named or "."), partly=True)
    except NoApp:
        if named:
            raise
        return None


async def _call(app: App, entry: CallableEntry, args: list[Any]) -> Any:
    """Run a function of the app here; Redis is asked only when the function asks for it."""
    from luaflow.client import Client
    from luaflow_worker.calling import call_function
    from luaflow_worker.modules.egress import allow_private

    allow_private()
    return await call_function(app, entry, args, lambda: Client.connect(*place(app)))
