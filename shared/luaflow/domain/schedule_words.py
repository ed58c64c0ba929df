"""The words a schedule is written in, by clients and in registry files, read into a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from luaflow.domain import values
from luaflow.domain.durations import duration_ms
from luaflow.domain.failure import Invalid
from luaflow.domain.ids import check_workflow_id, closest
from luaflow.domain.options import START_KEYS, parse_start_options
from luaflow.domain.schedule_specs import SPEC_KEYS, plain_words
from luaflow.domain.schedules import CATCHUP_MS, LEAST_CATCHUP_MS, OVERLAPS, Plan, time_text

POLICY_KEYS: Final = ("overlap", "catchup_window", "pause_on_failure")
_TIMES: Final = ("cron", "interval", "calendar")
_REFUSED: Final = {
    "cron_schedule": "the schedule itself says when",
    "id": "each run gets an id of its own; workflow_id says how these begin",
    "id_conflict_policy": "each run has an id of its own",
    "id_reuse_policy": "each run has an id of its own",
    "start_delay": "the schedule itself says when",
}


def make_plan(
    name: str, type: str, args: Sequence[Any], words: Mapping[str, Any], owner: str = ""
) -> Plan:
    """The plan of a new schedule; Invalid or InvalidArgument "<key> must be ..." for a bad word."""
    plan = Plan(type=type, spec={"interval": "1h"}, input=list(map(values.encode, args)))
    return change_plan(name, replace(plan, spec={}, owner=owner), words)


def change_plan(name: str, plan: Plan, words: Mapping[str, Any]) -> Plan:
    """The plan with some words said anew; what is not named stays.

    cron, interval and calendar go together: who gives one of them says anew when. The rest are
    ``POLICY_KEYS``, ``SPEC_KEYS``, type, args, workflow_id, schedule_memo and ``options``, a table
    of start options; further start options by their names without prefix.
    """
    rest = dict(words)
    spec: dict[str, Any] = {key: rest.pop(key) for key in SPEC_KEYS if key in rest}
    kept = {k: v for k, v in plan.spec.items() if k not in spec}
    if any(key in spec for key in _TIMES):
        kept = {key: value for key, value in kept.items() if key not in _TIMES}
    changes: dict[str, Any] = {"spec": plain_words({**kept, **spec})}
    for key in ("type", "workflow_id", "pause_on_failure"):
        if (value := rest.pop(key, None)) is not None:
            changes[key] = value
    if (args := rest.pop("args", None)) is not None:
        changes["input"] = [values.encode(one) for one in args]
    if (overlap := rest.pop("overlap", None)) is not None:
        changes["overlap"] = overlap_of(overlap)
    if (window := rest.pop("catchup_window", None)) is not None:
        changes["catchup_ms"] = _window(window)
    if (memo := rest.pop("schedule_memo", None)) is not None:
        changes["memo"] = values.encode(dict(memo))
    options = start_table(rest.pop("options", None) or {}, rest)
    if options:
        changes["options"] = values.encode({**values.decode(plan.options), **options})
    changed = replace(plan, **changes)
    changed.when  # noqa: B018 - a spec that cannot be read is refused here
    check_workflow_id(f"{changed.workflow_id or name}-{time_text(1)}")
    return changed


def overlap_of(word: str) -> str:
    """An overlap policy as Temporal writes it (BufferOne), or with dashes, in our spelling."""
    text = "".join(f"_{c.lower()}" if c.isupper() else c for c in str(word)).lstrip("_")
    text = text.replace("-", "_")
    if text not in OVERLAPS:
        raise Invalid(f"overlap must be one of {', '.join(OVERLAPS)}, got {word!r}")
    return text


def _window(value: Any) -> int:
    ms = duration_ms(_plain(value), "catchup_window") or CATCHUP_MS
    if ms < LEAST_CATCHUP_MS:
        raise Invalid(f"catchup_window must be {LEAST_CATCHUP_MS} ms at least, got {ms}")
    return ms


def start_table(options: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A table of start options; those of ``more`` are named without prefix. Invalid for a bad one.

    A schedule has no use for some of them, and says so.
    """
    found = {
        key if "." in key else f"workflow.{key}": _plain(value) for key, value in options.items()
    }
    for key, value in more.items():
        if key not in START_KEYS:
            known = (*START_KEYS, *SPEC_KEYS, *POLICY_KEYS, "workflow_id", "schedule_memo")
            near = closest(key, known)
            raise Invalid(f"{key} is not known" + (f": did you mean {near}?" if near else ""))
        if value is not None:
            found[f"workflow.{key}"] = _plain(value)
    for key in found:
        short = key.removeprefix("temporal.").removeprefix("workflow.")
        if short in _REFUSED:
            raise Invalid(f"{key} must not be given to a schedule: {_REFUSED[short]}")
        if short not in START_KEYS and not key.startswith("temporal."):
            near = closest(short, START_KEYS)
            raise Invalid(f"{key} is no start option" + (f": did you mean {near}?" if near else ""))
    parse_start_options(found)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value / timedelta(milliseconds=1)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value
