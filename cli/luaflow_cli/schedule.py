"""``luaflow schedule``: workflows that are started again and again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from luaflow_cli.common import (
    Json,
    common,
    connect,
    parse_inputs,
    parse_json,
    parse_pairs,
    run,
    settings,
)
from luaflow_cli.start_options import how_to_start, start_options

if TYPE_CHECKING:
    from luaflow.client.schedules import ScheduleHandle

F = TypeVar("F", bound=Callable[..., Any])

_OWN: Final = (
    *("--cron", "--id-conflict-policy", "--id-reuse-policy", "--fail-existing"),
    *("--start-delay", "--request-id", "--type", "--workflow-id"),
)
_WORDS: Final[tuple[tuple[tuple[str, ...], dict[str, Any]], ...]] = (
    (("--cron",), {"multiple": True, "metavar": "SPEC", "help": "'0 9 * * 1-5'; repeatable."}),
    (
        ("--interval",),
        {"multiple": True, "metavar": "EVERY[/OFFSET]", "help": "1h, or 1h/5m; repeatable."},
    ),
    (
        ("--calendar",),
        {
            "multiple": True,
            "type": Json(),
            "metavar": "JSON",
            "help": """'{"hour": 9, "day_of_week": "MON-FRI"}'; repeatable.""",
        },
    ),
    (("--time-zone",), {"metavar": "NAME", "help": "Of cron and calendar; UTC without."}),
    (("--start-time",), {"metavar": "TIME", "help": "Not before: 2030-01-31T09:00:00Z."}),
    (("--end-time",), {"metavar": "TIME", "help": "Not after."}),
    (("--jitter",), {"metavar": "TIME", "help": "Later by up to so much."}),
    (
        ("--overlap-policy",),
        {
            "help": "When the run before goes on: Skip (the default), BufferOne, BufferAll,"
            " CancelOther, TerminateOther, AllowAll."
        },
    ),
    (("--catchup-window",), {"metavar": "TIME", "help": "How late a time may be acted on."}),
    (("--pause-on-failure",), {"is_flag": True, "default": None, "help": "When a run failed."}),
    (("--remaining-actions",), {"type": int, "metavar": "N", "help": "How often; 0: no limit."}),
    (("--notes",), {"metavar": "TEXT", "help": "About its state, for people."}),
    (
        ("--schedule-memo",),
        {"type": Json(), "multiple": True, "metavar": "KEY=JSON", "help": "Shown by describe."},
    ),
)
_NAMES: Final = {
    "time_zone": "timezone",
    "start_time": "start_at",
    "end_time": "end_at",
    "jitter": "jitter",
    "overlap_policy": "overlap",
    "catchup_window": "catchup_window",
    "pause_on_failure": "pause_on_failure",
    "remaining_actions": "limited_actions",
    "notes": "note",
    "workflow_id": "workflow_id",
}
"""The option of the command line, and the word of ``Client.create_schedule``."""


@click.group()
@common()
def schedule() -> None:
    """Start workflows again and again, at times."""


def _target(function: F) -> F:
    options: dict[str, Any] = {"required": True, "metavar": "ID", "help": "The schedule."}
    return click.option("-s", "--schedule-id", **options)(function)


def _words(*, required: bool) -> Callable[[F], F]:
    def add(function: F) -> F:
        function = start_options(common()(function), _OWN)
        function = click.option(
            "--input-file", metavar="FILE", help="A file that holds one argument as JSON."
        )(function)
        function = click.option(
            *("-i", "--input", "inputs"),
            type=Json(),
            multiple=True,
            metavar="JSON",
            help="An argument; repeatable.",
        )(function)
        for names, how in reversed(_WORDS):
            function = click.option(*names, **how)(function)
        function = click.option(
            "-w", "--workflow-id", metavar="ID", help="What the ids of its runs begin with."
        )(function)
        text = "The workflow type, or its entry id."
        return click.option("-t", "--type", required=required, help=text)(function)

    return add


def _said(given: dict[str, Any]) -> dict[str, Any]:
    """The words of ``Client.create_schedule`` that the options of a command say."""
    found = {word: given[name] for name, word in _NAMES.items() if given[name] is not None}
    if given["cron"]:
        found["cron"] = list(given["cron"])
    if given["interval"]:
        found["interval"] = [_interval(text) for text in given["interval"]]
    if given["calendar"]:
        found["calendar"] = [parse_json(text, "--calendar") for text in given["calendar"]]
    if memo := parse_pairs(given["schedule_memo"], "--schedule-memo"):
        found["schedule_memo"] = memo
    how = how_to_start({k: v for k, v in given.items() if k not in ("cron", "workflow_id")})
    return found | {key: value for key, value in how.items() if value}


def _interval(text: str) -> dict[str, str]:
    every, slash, offset = text.partition("/")
    return {"every": every, **({"offset": offset} if slash else {})}


@schedule.command()
@_target
@_words(required=True)
@click.option("--paused", is_flag=True, help="Begin paused.")
@click.option("--trigger-immediately", is_flag=True, help="Act once at once.")
def create(schedule_id: str, *, paused: bool, trigger_immediately: bool, **given: Any) -> None:
    """Make a schedule."""
    args = parse_inputs(given["inputs"], given["input_file"])

    async def work() -> None:
        async with await connect() as client:
            await client.create_schedule(
                schedule_id,
                given["type"],
                *args,
                trigger_immediately=trigger_immediately,
                paused=paused,
                **_said(given),
            )

    _tell(schedule_id, work(), "created")


@schedule.command()
@_target
@_words(required=False)
def update(schedule_id: str, **given: Any) -> None:
    """Change a schedule; what is not named stays as it is."""
    words = _said(given)
    if given["type"]:
        words["type"] = given["type"]
    if given["inputs"] or given["input_file"]:
        words["args"] = parse_inputs(given["inputs"], given["input_file"])
    _ask(schedule_id, lambda handle: handle.update(**words), "updated")


@schedule.command("list")
@common()
def list_() -> None:
    """List the schedules."""
    from luaflow_cli.output import show_json, show_table

    async def work() -> list[dict[str, Any]]:
        async with await connect() as client:
            return await client.list_schedules()

    found = run(work())
    if settings().json:
        show_json({"schedules": found})
        return
    names = ("schedule_id", "type", "next_time", "last_time", "running", "state")
    show_table(names, [_row(one) for one in found])


def _row(found: dict[str, Any]) -> list[str]:
    recent = found["recent_actions"]
    return [
        found["schedule_id"],
        found["workflow"]["type"],
        next(iter(found["next_times"]), "-"),
        recent[0]["scheduled_at"] if recent else "-",
        str(len(found["running"])),
        "paused" if found["paused"] else "active",
    ]


@schedule.command()
@_target
@common()
def describe(schedule_id: str) -> None:
    """Show what a schedule is, what it did and when it acts next."""
    from luaflow_cli.output import show_fields, show_json

    async def work() -> dict[str, Any]:
        async with await connect() as client:
            return await client.get_schedule(schedule_id).describe()

    found = run(work())
    if settings().json:
        show_json(found)
        return
    recent = found.pop("recent_actions")
    show_fields(found)
    for action in recent:
        click.echo(f"{action['scheduled_at']}  {action['status']:<11}  {action['workflow_id']}")


@schedule.command()
@_target
@click.option("--pause", is_flag=True, help="Stop acting on its times.")
@click.option("--unpause", is_flag=True, help="Go on, from now.")
@click.option("--reason", default="", help="Why.")
@common()
def toggle(schedule_id: str, *, pause: bool, unpause: bool, reason: str) -> None:
    """Pause or unpause a schedule."""
    if pause == unpause:
        raise click.UsageError("give --pause or --unpause")
    _pause(schedule_id, reason, pause=pause)


@schedule.command("pause")
@_target
@click.option("--reason", default="", help="Why.")
@common()
def pause_(schedule_id: str, reason: str) -> None:
    """Stop acting on its times; what runs goes on."""
    _pause(schedule_id, reason, pause=True)


@schedule.command()
@_target
@click.option("--reason", default="", help="Why.")
@common()
def unpause(schedule_id: str, reason: str) -> None:
    """Act on its times again, from now on."""
    _pause(schedule_id, reason, pause=False)


def _pause(schedule_id: str, reason: str, *, pause: bool) -> None:
    def verb(handle: ScheduleHandle) -> Any:
        return handle.pause(reason) if pause else handle.unpause(reason)

    _ask(schedule_id, verb, "paused" if pause else "unpaused")


_OVERLAP: Final[dict[str, Any]] = {"help": "Other than the schedule's; words as for create."}


@schedule.command()
@_target
@click.option("--overlap-policy", **_OVERLAP)
@common()
def trigger(schedule_id: str, overlap_policy: str | None) -> None:
    """Act once, now."""
    _ask(schedule_id, lambda handle: handle.trigger(overlap_policy), "triggered")


@schedule.command()
@_target
@click.option("--start-time", required=True, metavar="TIME", help="The first time it missed.")
@click.option("--end-time", required=True, metavar="TIME", help="The last one; not to come.")
@click.option("--overlap-policy", **_OVERLAP)
@common()
def backfill(schedule_id: str, start_time: str, end_time: str, overlap_policy: str | None) -> None:
    """Act on times that have passed."""

    def verb(handle: ScheduleHandle) -> Any:
        return handle.backfill(start_time, end_time, overlap_policy)

    _ask(schedule_id, verb, "backfilled")


@schedule.command()
@_target
@click.option("-y", "--yes", is_flag=True, expose_value=False, help="Never ask back.")
@common()
def delete(schedule_id: str) -> None:
    """Remove a schedule; runs it started go on."""
    _ask(schedule_id, lambda handle: handle.delete(), "deleted")


def _ask(schedule_id: str, verb: Callable[[ScheduleHandle], Any], done: str) -> None:
    async def work() -> None:
        async with await connect() as client:
            await verb(client.get_schedule(schedule_id))

    _tell(schedule_id, work(), done)


def _tell(schedule_id: str, work: Coroutine[Any, Any, None], done: str) -> None:
    from luaflow_cli.output import show_json

    run(work)
    if settings().json:
        show_json({"schedule_id": schedule_id})
    else:
        click.echo(f"{schedule_id}: {done}")
