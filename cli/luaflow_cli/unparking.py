"""What an operator does about what is stuck: see it, try it now, fail it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from luaflow_cli.common import common, tell
from luaflow_cli.options import target

if TYPE_CHECKING:
    from luaflow.client import Client

F = TypeVar("F", bound=Callable[..., Any])

REASON_CHARACTERS = 100


def stuck_table(runs: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Names and rows of a list of stuck workflows: which, why, how often."""
    rows = []
    for one in runs:
        health = one["health"]
        reason = health.get("reason", "")
        word = reason.get("reason", "") if isinstance(reason, dict) else ""
        text = str(reason.get("message", "")) if isinstance(reason, dict) else str(reason)
        head = text.splitlines()[0] if text else ""
        failures = str(health.get("failures", ""))
        rows.append([one["workflow_id"], one["type"], word, failures, head[:REASON_CHARACTERS]])
    return ("workflow_id", "type", "reason", "failures", "why"), rows


@click.command()
@target
@common()
def retry(workflow_id: str, run_id: str | None) -> None:
    """Try the task of a stuck workflow now, without waiting for its pause to end."""

    async def verb(client: Client) -> None:
        from luaflow.client.unparking import retry_task

        await retry_task(client.store, workflow_id, run_id)

    tell(verb, {"workflow_id": workflow_id, "run_id": run_id}, f"{workflow_id}: is tried again")


def place(function: F) -> F:
    """Add the options that name an activity: of a workflow, or one that was started by itself."""
    function = click.option("-r", "--run-id", metavar="ID", help="This run of it.")(function)
    function = click.option(
        "-w", "--workflow-id", metavar="ID", help="Its workflow; none for one started by itself."
    )(function)
    return click.option(
        *("-a", "--activity-id"), metavar="ID", help="Its number (describe shows it), or its id."
    )(function)


@click.command()
@place
@common()
def reset(activity_id: str | None, workflow_id: str | None, run_id: str | None) -> None:
    """Begin the next attempt of an activity now: it is parked, or waits under its retry policy."""

    async def verb(client: Client) -> None:
        from luaflow.client.unparking import try_now

        await try_now(client.store, await find(client, activity_id, workflow_id, run_id))

    found = {"workflow_id": workflow_id, "activity_id": activity_id}
    tell(verb, found, f"activity {activity_id}: is tried again")


async def find(
    client: Client, activity_id: str | None, workflow_id: str | None, run_id: str | None
) -> Any:
    """Where the activity is that the options name; InvalidArgument where they name none."""
    from luaflow.client.unparking import place_of_activity, place_of_job
    from luaflow.errors import InvalidArgument

    if activity_id is None:
        raise InvalidArgument("say which activity: --activity-id, and --workflow-id if it has one")
    if workflow_id is None:
        return place_of_job(client.store, activity_id)
    if not activity_id.isdecimal():
        raise InvalidArgument(
            f"an activity of a workflow has a number, which describe shows, not {activity_id!r}"
        )
    return await place_of_activity(client.store, workflow_id, int(activity_id), run_id)
