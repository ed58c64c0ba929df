"""``luaflow workflow``: what one does with runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from luaflow_cli import asking, unparking
from luaflow_cli.common import common, connect, parse_inputs, run, settings
from luaflow_cli.options import arguments as _input
from luaflow_cli.options import target as _target
from luaflow_cli.start_options import REQUEST_ID, how_to_start, start_options

if TYPE_CHECKING:
    from luaflow.client import Handle

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
@common()
def workflow() -> None:
    """Start, watch, signal and end workflows."""


workflow.add_command(unparking.retry)
workflow.add_command(asking.query)
workflow.add_command(asking.update)


def _start_options(function: F) -> F:
    return start_options(common()(_input(function)))


@workflow.command()
@_start_options
def start(**given: Any) -> None:
    """Start a workflow and return at once."""
    from luaflow_cli.output import show_started

    async def work() -> Handle:
        args, how = parse_inputs(given["inputs"], given["input_file"]), how_to_start(given)
        async with await connect() as client:
            return await client.start(given["type"], *args, **how)

    handle = run(work())
    found = {"workflow_id": handle.workflow_id, "run_id": handle.run_id, "pid": handle.pid}
    already = "already running" if handle.existed else ""
    show_started(found, already, as_json=settings().json)


@workflow.command()
@_start_options
def execute(**given: Any) -> None:
    """Start a workflow and wait for its result."""
    args, how = parse_inputs(given["inputs"], given["input_file"]), how_to_start(given)

    async def work() -> Any:
        async with await connect() as client:
            handle = await client.start(given["type"], *args, **how)
            if not settings().json:
                what = "already running:" if handle.existed else "started"
                click.echo(f"{what} {handle.workflow_id} (run {handle.run_id})", err=True)
            return await handle.result()

    _show_outcome(work)


@workflow.command()
@_target
@common()
def result(workflow_id: str, run_id: str | None) -> None:
    """Wait for the result of a workflow."""

    async def work() -> Any:
        async with await connect() as client:
            return await client.get_handle(workflow_id, run_id).result()

    _show_outcome(work)


def _show_outcome(work: Callable[[], Any]) -> None:
    from luaflow.errors import WorkflowFailed
    from luaflow_cli.output import show_failure, show_result

    try:
        value = run(work())
    except WorkflowFailed as error:
        show_failure(error, as_json=settings().json)
        click.get_current_context().exit(1)
    show_result(value, as_json=settings().json)


@workflow.command("list")
@click.option(
    "--query", metavar="QUERY", help="Such as: ExecutionStatus='Running' AND amount > 100."
)
@click.option("--stuck", is_flag=True, help="Those that are stuck, and why.")
@click.option("--limit", type=int, default=20, show_default=True, help="How many at most.")
@click.option("--page", metavar="TEXT", help="The next_page of the page before.")
@click.option("--archived", is_flag=True, help="Those that are in the archive alone.")
@common()
def list_(query: str | None, limit: int, page: str | None, *, stuck: bool, archived: bool) -> None:
    """List workflows, the newest first."""
    from luaflow_cli.output import show_json, show_table

    if archived and (query or page or stuck):
        raise click.UsageError("--archived lists the newest ones: give --limit alone with it")
    if stuck:
        query = " AND ".join(filter(None, (query, "WorkflowHealth = 'stuck'")))

    async def work() -> dict[str, Any]:
        async with await connect() as client:
            if archived:
                return {"workflows": await client.list_archived(limit), "next_page": None}
            return await client.list(query, limit, page)

    found = run(work())
    names = ("status", "workflow_id", "type", "start_time")
    if settings().json:
        show_json(found)
    elif stuck:
        show_table(*unparking.stuck_table(found["workflows"]))
    else:
        show_table(names, [[run[name] for name in names] for run in found["workflows"]])
    if found["next_page"] and not settings().json:
        click.echo(f"more: --page {found['next_page']}", err=True)
    for one in found.get("damaged", ()):
        click.echo(f"error: {one['message']}", err=True)
    if "damaged" in found:
        click.get_current_context().exit(1)


@workflow.command()
@click.option("--query", metavar="QUERY", help="As for list.")
@common()
def count(query: str | None) -> None:
    """Count workflows."""
    from luaflow_cli.output import show_json

    async def work() -> int:
        async with await connect() as client:
            return await client.count(query)

    found = run(work())
    if settings().json:
        show_json({"count": found})
    else:
        click.echo(found)


@workflow.command()
@_target
@common()
def describe(workflow_id: str, run_id: str | None) -> None:
    """Show what a workflow is and what it waits for."""
    from luaflow_cli.output import show_fields, show_json

    async def work() -> dict[str, Any]:
        async with await connect() as client:
            return await client.get_handle(workflow_id, run_id).describe()

    found = run(work())
    if settings().json:
        show_json(found)
        return
    activities, locks = found.pop("pending_activities"), found.pop("locks")
    health = found.pop("health")
    views = {f"view {name}": value for name, value in found.pop("views", {}).items()}
    show_fields(found | {"health": health["state"] if len(health) == 1 else health} | views)
    for activity in activities:
        click.echo()
        show_fields({"pending_activity": activity.pop("activity"), **activity})
    for lock in locks:
        click.echo()
        show_fields({"lock": lock.pop("key"), **lock})


@workflow.command()
@_target
@click.option("--follow", is_flag=True, help="Go on until the run is closed.")
@common()
def show(workflow_id: str, run_id: str | None, *, follow: bool) -> None:
    """Show the history of a workflow, one event a line."""
    from luaflow_cli.output import show_event

    async def work() -> None:
        async with await connect() as client:
            async for event in client.get_handle(workflow_id, run_id).history(follow=follow):
                show_event(event, as_json=settings().json)

    run(work())


def _once(function: F) -> F:
    return click.option("--request-id", **REQUEST_ID)(function)


@workflow.command()
@_target
@click.option("-n", "--name", required=True, help="The name of the signal.")
@_input
@_once
@common()
def signal(
    workflow_id: str,
    run_id: str | None,
    name: str,
    inputs: tuple[str, ...],
    input_file: str | None,
    request_id: str | None,
) -> None:
    """Send a signal to a workflow."""
    payloads = parse_inputs(inputs, input_file)

    def verb(handle: Handle) -> Any:
        return handle.signal(name, *payloads, request_id=request_id)

    _ask(workflow_id, run_id, verb, "signaled")


@workflow.command()
@_target
@click.option("--reason", help="What the workflow is told.")
@_once
@common()
def cancel(
    workflow_id: str, run_id: str | None, reason: str | None, request_id: str | None
) -> None:
    """Ask a workflow to end; its code decides how."""

    def verb(handle: Handle) -> Any:
        return handle.cancel(reason, request_id=request_id)

    _ask(workflow_id, run_id, verb, "asked to cancel")


@workflow.command()
@_target
@click.option("--reason", help="What its history says.")
@click.option("-y", "--yes", is_flag=True, expose_value=False, help="Never ask back.")
@common()
def terminate(workflow_id: str, run_id: str | None, reason: str | None) -> None:
    """End a workflow at once; its code is not asked."""
    _ask(workflow_id, run_id, lambda handle: handle.terminate(reason), "terminated")


@workflow.command()
@_target
@common()
def pin(workflow_id: str, run_id: str | None) -> None:
    """Keep a workflow after its end until it is unpinned."""
    _ask(workflow_id, run_id, lambda handle: handle.pin(), "pinned")


@workflow.command()
@_target
@common()
def unpin(workflow_id: str, run_id: str | None) -> None:
    """Let the retention of a pinned workflow begin."""
    _ask(workflow_id, run_id, lambda handle: handle.unpin(), "unpinned")


@workflow.command()
@_target
@common()
def stack(workflow_id: str, run_id: str | None) -> None:
    """Show where the code of a workflow waits."""
    from luaflow_cli.output import show_json
    from luaflow_cli.stack import stack_of, stack_text

    async def work() -> None:
        async with await connect() as client:
            if settings().json:
                show_json(await stack_of(client, workflow_id, run_id))
            else:
                click.echo(await stack_text(client, workflow_id, run_id))

    run(work())


def _ask(workflow_id: str, run_id: str | None, verb: Callable[[Handle], Any], done: str) -> None:
    from luaflow.errors import LuaflowError
    from luaflow_cli.output import show_json

    async def work() -> str | None:
        async with await connect() as client:
            await verb(client.get_handle(workflow_id, run_id))
            if run_id or not settings().json:
                return run_id
            with contextlib.suppress(LuaflowError):  # it is done, whether or not this is answered
                return (await client.store.route(workflow_id)).run_id
            return None

    found = run(work())
    if settings().json:
        show_json({"workflow_id": workflow_id, "run_id": found})
    else:
        click.echo(f"{workflow_id}: {done}")
