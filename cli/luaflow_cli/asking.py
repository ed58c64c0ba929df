"""``luaflow workflow query`` and ``update``: what one asks of the code of a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import click

from luaflow_cli.common import common, connect, parse_inputs, run, settings
from luaflow_cli.options import arguments, target

if TYPE_CHECKING:
    from luaflow.errors import HandlerFailed

_TIMEOUT: dict[str, Any] = {"metavar": "TIME", "help": "How long the answer may take: 90s."}


@click.command()
@target
@click.option("-n", "--name", required=True, help="The name of the query, or of a view.")
@arguments
@click.option("--timeout", **_TIMEOUT)
@common()
def query(workflow_id: str, run_id: str | None, name: str, **given: Any) -> None:
    """Ask the code of a workflow; nothing changes.

    What it shows with workflow.set_view is answered without a worker. The query __stack_trace is
    always there.
    """
    from luaflow.client.asking import ASK_SECONDS
    from luaflow.errors import QueryFailed

    args = parse_inputs(given["inputs"], given["input_file"])
    seconds = _seconds(given["timeout"])

    async def work() -> Any:
        async with await connect() as client:
            handle = client.get_handle(workflow_id, run_id)
            return await handle.query(name, *args, timeout=seconds or ASK_SECONDS)

    try:
        value = run(work())
    except QueryFailed as error:
        _fail(error, "failed", {})
    if name == "__stack_trace" and not settings().json:
        click.echo(value)
    else:
        _show(value, {})


@click.command()
@target
@click.option("-n", "--name", required=True, help="The name of the update.")
@arguments
@click.option("--update-id", metavar="ID", help="Done once; asked again, the same answer.")
@click.option(
    "--wait",
    type=click.Choice(["accepted", "completed"]),
    default="completed",
    show_default=True,
    help="What to wait for.",
)
@click.option("--timeout", **_TIMEOUT)
@common()
def update(workflow_id: str, run_id: str | None, name: str, **given: Any) -> None:
    """Send an update to a workflow and wait for its answer."""
    import uuid

    from luaflow.errors import UpdateFailed, UpdateRejected
    from luaflow_cli.output import show_json

    args = parse_inputs(given["inputs"], given["input_file"])
    update_id = given["update_id"] or uuid.uuid4().hex
    how = {"update_id": update_id, "wait": given["wait"], "timeout": _seconds(given["timeout"])}

    async def work() -> Any:
        async with await connect() as client:
            return await client.get_handle(workflow_id, run_id).update(name, *args, **how)

    said = {"workflow_id": workflow_id, "update_id": update_id}
    try:
        value = run(work())
    except UpdateFailed as error:
        _fail(error, "rejected" if isinstance(error, UpdateRejected) else "failed", said)
    if given["wait"] == "completed":
        _show(value, said | {"status": "completed"})
    elif settings().json:
        show_json(said | {"status": "accepted"})
    else:
        click.echo(f"{workflow_id}: accepted the update {update_id}")


def _seconds(text: str | None) -> float | None:
    from luaflow.domain.durations import duration_ms

    return None if text is None else duration_ms(text, "--timeout") / 1000


def _show(value: Any, said: dict[str, Any]) -> None:
    from luaflow.domain import values
    from luaflow_cli.output import dump, show_json

    tree = values.encode(value)
    if settings().json:
        show_json(said | {"result": tree})
    else:
        click.echo(dump(tree, pretty=True))


def _fail(error: HandlerFailed, status: str, said: dict[str, Any]) -> NoReturn:
    from luaflow.domain import values
    from luaflow_cli.output import show_json

    if settings().json:
        details = values.encode(error.details) if error.details else None
        shape = {"kind": error.kind, "message": error.message, "retryable": error.retryable}
        show_json(said | {"status": status, "error": shape | {"details": details}})
    else:
        kind = f"{error.kind}: " if error.kind else ""
        click.echo(f"{status}: {kind}{error.message}", err=True)
    click.get_current_context().exit(1)
