"""Reading `schedule` entries: a workflow that is started again and again, deployed with its app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from luaflow.domain.failure import Invalid
from luaflow.domain.ids import closest
from luaflow.domain.schedule_words import make_plan
from luaflow.domain.schedules import OVERLAPS, Plan
from luaflow.errors import InvalidArgument
from luaflow.registry.entries import Entry, WorkflowEntry
from luaflow.registry.fields import Fields
from luaflow.registry.problems import Problems
from luaflow.registry.schemas import check_input, text_of

_PLAIN: Final = ("cron", "interval", "calendar", "start_at", "end_at")
_TEXTS: Final = ("timezone", "workflow_id")
_HOW: Final = 'write cron: "0 9 * * 1-5", say'


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleEntry(Entry):
    """`schedule`: its id is the schedule's id; `plan` is None where it could not be read.

    `paused` and `limited_actions` are how it begins: a deploy does not bring them back.
    """

    workflow: str
    plan: Plan | None = field(repr=False)
    paused: bool = False
    limited_actions: int = 0


def read_schedule(common: dict[str, Any], fields: Fields) -> ScheduleEntry:
    """A schedule entry; mistakes are noted in the fields' problems."""
    workflow = fields.reference("workflow") or ""
    if not workflow:
        fields.error(
            "workflow", "is required", "add workflow: and the name of a workflow.lua entry"
        )
    words: dict[str, Any] = {key: fields.get(key) for key in _PLAIN}
    words |= {key: fields.optional(key) for key in _TEXTS}
    words["jitter"] = fields.duration("jitter", 0) or None
    words["catchup_window"] = fields.duration("catchup_window", 0) or None
    words["overlap"] = fields.choice("overlap", OVERLAPS)
    words["pause_on_failure"] = fields.flag("pause_on_failure")
    words["options"] = fields.get("options")
    entry = ScheduleEntry(
        **common,
        workflow=workflow,
        plan=_plan(str(common["id"]), workflow, fields, words),
        paused=fields.flag("paused"),
        limited_actions=fields.integer("limited_actions", 0),
    )
    fields.unknown()
    return entry


def _plan(name: str, workflow: str, fields: Fields, words: dict[str, Any]) -> Plan | None:
    given = {key: value for key, value in words.items() if value is not None}
    args = fields.get("input")
    if args is not None and not isinstance(args, list):
        fields.error("input", "must be a list of arguments", "write input: [...]")
        args = None
    if not isinstance(given.get("options", {}), Mapping):
        fields.error("options", "must be a mapping", "write start options below options:")
        del given["options"]
    try:
        return make_plan(name, workflow, args or [], given, owner=fields.namespace)
    except (Invalid, InvalidArgument) as error:
        _note(fields, error.message)
        return None


def _note(fields: Fields, message: str) -> None:
    """Put a mistake to the line of the key that its message begins with."""
    said, _, remedy = message.partition(": ")
    problem = fields.problems.error
    problem(said, fields.document.file, fields.line(*_place(fields.data, said)), remedy or _HOW)


def _place(data: Mapping[str, Any], said: str) -> tuple[str, ...]:
    word = said.split(" ", maxsplit=1)[0]
    if word.startswith(("workflow.", "temporal.")):
        written = data.get("options")
        names = written if isinstance(written, Mapping) else {}
        return ("options", *[n for n in (word, word.removeprefix("workflow.")) if n in names][:1])
    key = "workflow_id" if said.startswith("the workflow id") else word.partition(".")[0]
    return (key,) if key in data else ()


def link(entries: Mapping[str, Entry], problems: Problems) -> None:
    """Note schedules of what is no workflow, or no workflow that can run with their input."""
    for entry in entries.values():
        if isinstance(entry, ScheduleEntry) and entry.workflow:
            _link(entry, entries, problems)


def _link(entry: ScheduleEntry, entries: Mapping[str, Entry], problems: Problems) -> None:
    found = entries.get(entry.workflow)
    if not isinstance(found, WorkflowEntry):
        near = closest(entry.workflow, [e.id for e in entries.values() if _is_workflow(e)])
        remedy = f"did you mean {near}?" if near else "add an entry of kind workflow.lua"
        what = "is no workflow" if found else "does not exist"
        message = f"workflow {entry.workflow} of {entry.id} {what}"
        problems.error(message, entry.file, entry.line("workflow"), remedy)
    elif found.worker is None:
        message = f"workflow {entry.workflow} of {entry.id} is run by no worker"
        remedy = f"add meta: {{temporal: {{workflow: {{worker: ...}}}}}} to {found.id}"
        problems.error(message, entry.file, entry.line("workflow"), remedy)
    elif entry.plan is not None:
        try:
            check_input(text_of(found.input_schema), entry.plan.input, entry.id)
        except Invalid as error:
            remedy = f"give what the input_schema of {found.id} asks for"
            problems.error(error.message, entry.file, entry.line("input"), remedy)


def _is_workflow(entry: Entry) -> bool:
    return isinstance(entry, WorkflowEntry)
