"""``luaflow activity``: functions run through a task queue, and activities ended from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from luaflow_cli import unparking
from luaflow_cli.common import Json, common, connect, parse_inputs, parse_json, run, settings, tell
from luaflow_cli.options import arguments

if TYPE_CHECKING:
    from luaflow.client import Client, JobHandle

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
@common()
def activity() -> None:
    """Run functions through a task queue, and end activities from outside."""


activity.add_command(unparking.reset)


_START_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("-t", "--type"), {"required": True, "metavar": "ENTRY", "help": "The function's entry id."}),
    (("-a", "--activity-id"), {"metavar": "ID", "help": "Its id; a generated one without."}),
    (("-q", "--task-queue"), {"metavar": "NAME", "help": "Without it that of the app's worker."}),
    (("--start-to-close-timeout",), {"metavar": "TIME", "help": "For one attempt: 30s, 10m."}),
    (("--schedule-to-close-timeout",), {"metavar": "TIME", "help": "For all attempts together."}),
    (("--schedule-to-start-timeout",), {"metavar": "TIME", "help": "Until a worker takes it."}),
    (("--heartbeat-timeout",), {"metavar": "TIME", "help": "Between two heartbeats."}),
    (("--retry-initial-interval",), {"metavar": "TIME", "help": "Before the second attempt."}),
    (("--retry-maximum-interval",), {"metavar": "TIME", "help": "Between attempts at most."}),
    (("--retry-backoff-coefficient",), {"type": float, "help": "How the intervals grow."}),
    (("--retry-maximum-attempts",), {"type": int, "help": "How many; 0: without limit."}),
    (("--start-delay",), {"metavar": "TIME", "help": "Wait before the first attempt."}),
    (("--result-ttl",), {"metavar": "TIME", "help": "How long its outcome is kept: a day."}),
)
_TIMEOUTS = ("start_to_close", "schedule_to_close", "schedule_to_start", "heartbeat")
_RETRY = ("initial_interval", "maximum_interval", "backoff_coefficient", "maximum_attempts")


def _start_options(function: F) -> F:
    function = common()(arguments(function))
    for names, how in reversed(_START_OPTIONS):
        function = click.option(*names, **how)(function)
    return function


def _target(function: F) -> F:
    options: dict[str, Any] = {"required": True, "metavar": "ID", "help": "The activity."}
    return click.option("-a", "--activity-id", **options)(function)


def _token(function: F) -> F:
    options: dict[str, Any] = {"required": True, "metavar": "TEXT", "help": "What defer() gave."}
    return click.option("--token", **options)(function)


def _app(queue: str | None) -> str | None:
    """The folder of the app that knows the function: the one named, or this one."""
    from luaflow.registry import NoApp, load_app

    if settings().app or queue:
        return settings().app
    try:
        load_app(Path())
    except NoApp:
        return None
    return "."


async def _enqueue(client: Client, given: dict[str, Any]) -> JobHandle:
    """Start what the options of start say."""
    options = {
        f"activity.{key}_timeout": given[f"{key}_timeout"]
        for key in _TIMEOUTS
        if given[f"{key}_timeout"] is not None
    }
    policy = {key: given[f"retry_{key}"] for key in _RETRY if given[f"retry_{key}"] is not None}
    if policy:
        options["activity.retry_policy"] = policy
    return await client.enqueue(
        given["type"],
        *parse_inputs(given["inputs"], given["input_file"]),
        id=given["activity_id"],
        queue=given["task_queue"],
        options=options,
        start_delay=given["start_delay"],
        result_ttl=given["result_ttl"],
        app=_app(given["task_queue"]),
    )


@activity.command()
@_start_options
def start(**given: Any) -> None:
    """Put a function into a task queue and return at once."""
    from luaflow_cli.output import show_started

    async def work() -> JobHandle:
        async with await connect() as client:
            return await _enqueue(client, given)

    job = run(work())
    found = {"job_id": job.job_id}
    already = "it is there already" if job.existed else ""
    show_started(found, already, as_json=settings().json)


@activity.command()
@_start_options
def execute(**given: Any) -> None:
    """Put a function into a task queue and wait for its result."""

    async def work() -> Any:
        async with await connect() as client:
            job = await _enqueue(client, given)
            if not settings().json:
                what = "is there already:" if job.existed else "started"
                click.echo(f"{what} {job.job_id}", err=True)
            return await job.result()

    _show_outcome(work)


@activity.command()
@_target
@common()
def result(activity_id: str) -> None:
    """Wait for the result of a function that was started."""

    async def work() -> Any:
        async with await connect() as client:
            return await client.get_job(activity_id).result()

    _show_outcome(work)


@activity.command()
@_target
@common()
def describe(activity_id: str) -> None:
    """Show what became of a function that was started."""
    from luaflow_cli.output import show_fields, show_json

    async def work() -> dict[str, Any]:
        async with await connect() as client:
            return await client.get_job(activity_id).describe()

    found = run(work())
    if settings().json:
        show_json(found)
    else:
        show_fields(found)


@activity.command("list")
@click.option("--limit", type=int, default=20, show_default=True, help="How many at most.")
@common()
def list_(limit: int) -> None:
    """List functions that were started and have not ended, the newest first."""
    from luaflow_cli.output import show_json, show_table

    async def work() -> list[dict[str, Any]]:
        async with await connect() as client:
            return await client.list_jobs(limit)

    found = run(work())
    if settings().json:
        show_json({"activities": found})
        return
    names = ("state", "job_id", "activity", "task_queue", "attempt", "start_time")
    show_table(names, [[str(one.get(name, "")) for name in names] for one in found])


@activity.command()
@_target
@common()
def cancel(activity_id: str) -> None:
    """Ask a function that was started to stop."""

    async def verb(client: Client) -> None:
        await client.get_job(activity_id).cancel()

    tell(verb, {"job_id": activity_id}, f"{activity_id}: asked to cancel")


@activity.command()
@_token
@click.option("--result", "value", type=Json(), default="null", metavar="JSON", help="Its result.")
@common()
def complete(token: str, value: str) -> None:
    """End an activity that said defer() with a result."""
    parsed = parse_json(value, "the result")

    async def verb(client: Client) -> None:
        await client.complete_activity(token, parsed)

    tell(verb, {"completed": True}, "completed")


@activity.command()
@click.option("--token", metavar="TEXT", help="What defer() gave; or name the activity.")
@unparking.place
@click.option("--reason", required=True, metavar="TEXT", help="What its workflow is told.")
@click.option("--kind", default="Internal", show_default=True, help="The kind of the error.")
@click.option("--non-retryable", is_flag=True, help="Not tried again, whatever its policy says.")
@common()
def fail(
    token: str | None,
    activity_id: str | None,
    workflow_id: str | None,
    run_id: str | None,
    reason: str,
    kind: str,
    *,
    non_retryable: bool,
) -> None:
    """Fail an activity: one that said defer(), by its token, or one that is parked or backs off.

    With a token its retry policy decides what follows; without, it has failed for good.
    """

    async def verb(client: Client) -> None:
        from luaflow.client.unparking import give_up

        if token is None:
            found = await unparking.find(client, activity_id, workflow_id, run_id)
            await give_up(client.store, found, reason, kind)
            return
        retryable = False if non_retryable else None
        await client.fail_activity(token, reason, kind=kind, retryable=retryable)

    tell(verb, {"failed": True}, "failed")


def _show_outcome(work: Callable[[], Any]) -> None:
    from luaflow.errors import WorkflowFailed
    from luaflow_cli.output import show_failure, show_result

    try:
        value = run(work())
    except WorkflowFailed as error:
        show_failure(error, as_json=settings().json)
        click.get_current_context().exit(1)
    show_result(value, as_json=settings().json)
