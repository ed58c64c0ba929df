"""The option tables of activities and workflow starts, read into typed values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from luaflow.domain.attributes import MOST, values_in
from luaflow.domain.cron import parse_cron
from luaflow.domain.durations import duration_ms
from luaflow.domain.failure import Invalid
from luaflow.domain.retry import RetryPolicy

START_TO_CLOSE_MS: Final = 600_000
TASK_TIMEOUT_MS: Final = 10_000

_CONFLICT: Final = ("fail", "use_existing", "terminate_existing")
_REUSE: Final = (
    "allow_duplicate",
    "allow_duplicate_failed_only",
    "reject_duplicate",
    "terminate_if_running",
)
_PARENT_CLOSE: Final = ("terminate", "abandon", "request_cancel")
_INTENT: Final = ("compatible", "default", "inherit_build_id", "use_assignment_rules")

# Other readers of the same table take these.
_NOT_OURS: Final = ("default_host", "network", "retry", "timeout")


@dataclass(frozen=True, slots=True)
class Priority:
    """Which of several waiting tasks goes first: the lower key, then fair shares by weight."""

    priority_key: int = 0
    fairness_key: str = ""
    fairness_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class VersioningOverride:
    """The code a run must use, whatever its worker says: mode "auto_upgrade" or "pinned"."""

    mode: str
    deployment_name: str = ""
    build_id: str = ""


@dataclass(frozen=True, slots=True)
class ActivityOptions:
    """How one activity call runs; times in milliseconds, None for no limit or not given."""

    start_to_close_ms: int = START_TO_CLOSE_MS
    schedule_to_close_ms: int | None = None
    schedule_to_start_ms: int | None = None
    heartbeat_ms: int | None = None
    id: str | None = None
    task_queue: str | None = None
    wait_for_cancellation: bool = False
    disable_eager_execution: bool = False
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    versioning_intent: str | None = None
    summary: str | None = None
    priority: Priority | None = None


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How a workflow starts; times in milliseconds, None for no limit or not given.

    `id` None asks for a generated one. `retry_policy` None means no retry. The last four fields
    are for children only.
    """

    id: str | None = None
    task_queue: str | None = None
    execution_timeout_ms: int | None = None
    run_timeout_ms: int | None = None
    task_timeout_ms: int = TASK_TIMEOUT_MS
    id_conflict_policy: str = "fail"
    id_reuse_policy: str = "allow_duplicate"
    retry_policy: RetryPolicy | None = None
    cron_schedule: str | None = None
    memo: dict[str, Any] = field(default_factory=dict)
    search_attributes: dict[str, Any] = field(default_factory=dict)
    enable_eager_start: bool = False
    start_delay_ms: int | None = None
    summary: str | None = None
    details: str | None = None
    versioning_override: VersioningOverride | None = None
    priority: Priority | None = None
    namespace: str | None = None
    wait_for_cancellation: bool = False
    parent_close_policy: str = "terminate"
    versioning_intent: str | None = None

    def fields(self) -> dict[str, Any]:
        """What the first event of the run says of these options; only what was given."""
        found: dict[str, Any] = {
            "memo": self.memo,
            "search_attributes": self.search_attributes,
            "run_timeout_ms": self.run_timeout_ms,
            "execution_timeout_ms": self.execution_timeout_ms,
            "task_timeout_ms": self.task_timeout_ms,
            "start_delay_ms": self.start_delay_ms,
            "retry_policy": self.retry_policy and self.retry_policy.to_json(),
            "cron_schedule": self.cron_schedule,
            "summary": self.summary,
            "details": self.details,
            "priority": self.priority and asdict(self.priority),
        }
        if self.task_timeout_ms == TASK_TIMEOUT_MS:
            del found["task_timeout_ms"]
        return {key: value for key, value in found.items() if value}


Reader = Callable[[object, str], Any]
"""Reads one value; the second argument is the key as the user wrote it, for messages."""


USUAL: Final = ActivityOptions()
"""Those of a call that says nothing."""
_NOTHING: Final[tuple[object, ...]] = (
    None,
    {},
    [],
)  # (an empty Lua table travels as an empty list)


def parse_activity_options(
    entry_id: str,
    options: object = None,
    defaults: object = None,
) -> tuple[ActivityOptions, list[str]]:
    """The options of one activity call and the warnings about ignored keys.

    `defaults` is the entry's `meta.options`; each key of `options` beats it, in either spelling.
    Raises Invalid "invalid temporal activity options for <id>: <key> must be ...".
    """
    if options in _NOTHING and defaults in _NOTHING:
        return USUAL, []
    warnings: list[str] = []
    try:
        found = _canonical(defaults, "activity", _ACTIVITY, warnings)
        found.update(_canonical(options, "activity", _ACTIVITY, warnings))
        fields = _read(found, _ACTIVITY, warnings)
    except Invalid as error:
        raise Invalid(f"invalid temporal activity options for {entry_id}: {error}") from None
    return ActivityOptions(**fields), warnings


def parse_start_options(
    options: object = None,
    *,
    name: str | None = None,
    child: bool = False,
) -> tuple[StartOptions, list[str]]:
    """The options of a workflow start and the warnings about ignored keys.

    `name` is what `with_name` gave: the workflow id when no `workflow.id` is set. `child` is True
    for a spawn from inside a workflow. Raises Invalid "<key> must be ...".
    """
    warnings: list[str] = []
    found = _canonical(options, "workflow", _START, warnings)
    for key in _TOP_ONLY if child else _CHILD_ONLY:
        if key in found:
            where = "child workflows" if child else "workflows that are not children"
            warnings.append(f"{found.pop(key)[0]} is ignored for {where}")
    fields = _read(found, _START, warnings)
    fields["id"] = fields.get("id") or name
    # A chosen id means "this one workflow": starting it twice finds the first, unless told not to.
    started_is_error = fields.pop("started_is_error", fields["id"] is None)
    fields.setdefault("id_conflict_policy", "fail" if started_is_error else "use_existing")
    return StartOptions(**fields), warnings


def _canonical(
    options: object, prefix: str, known: Mapping[str, Any], warnings: list[str]
) -> dict[str, tuple[str, object]]:
    """Short key -> (key as written, value); the canonical spelling beats the alias."""
    # An empty Lua table travels as an empty list.
    if options is None or options == []:
        return {}
    if not isinstance(options, Mapping):
        raise Invalid(f"options must be a table, got {type(options).__name__}")
    found: dict[str, tuple[str, object]] = {}
    for written, value in options.items():
        name = str(written)
        alias = name.startswith("temporal.")
        group, _, short = name.removeprefix("temporal.").partition(".")
        if alias and prefix == "workflow":
            short = _ALIASES.get(short, short)
        if group != prefix or short not in known:
            if name not in _NOT_OURS:
                warnings.append(f"option {name} is not known and ignored")
        elif value is not None and not (alias and short in found):
            found[short] = (name, value)
    return found


def _read(
    found: dict[str, tuple[str, object]],
    known: Mapping[str, tuple[str, Reader]],
    warnings: list[str],
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for short in sorted(found):
        written, value = found[short]
        target, reader = known[short]
        if reader is _retry:
            fields[target] = RetryPolicy.from_options(value, written, warnings)
            continue
        result = reader(value, written)
        if result is not None:
            fields[target] = result
    return fields


def _retry(value: object, key: str) -> RetryPolicy:
    return RetryPolicy.from_options(value, key)


def _duration(value: object, key: str) -> int | None:
    """Zero is "not set", as in Temporal."""
    return duration_ms(value, key) or None


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{key} must be a string, got {value!r}")
    return value


def _name(value: object, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise Invalid(f"{key} must be a non-empty string, got {value!r}")
    return value


def _cron(value: object, key: str) -> str:
    text = _name(value, key)
    parse_cron(text, key)
    return text


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false, got {value!r}")
    return value


def _enum(words: tuple[str, ...], proto: str) -> Reader:
    """A reader of one of `words`: any case, `-` for `_`, the full proto name or its number."""

    def read(value: object, key: str) -> str | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= len(words):
            return words[value - 1] if value else None
        if isinstance(value, str):
            word = value.strip().lower().replace("-", "_").removeprefix(proto)
            if word in words:
                return word
            if word == "unspecified":
                return None
        raise Invalid(f"{key} must be one of {', '.join(words)}, got {value!r}")

    return read


def _table(value: object, key: str) -> dict[str, Any]:
    if value == []:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise Invalid(f"{key} must be a table with string keys, got {value!r}"[:200])
    return dict(value)


def _attributes(value: object, key: str) -> dict[str, Any]:
    table = _table(value, key)
    for name, item in table.items():
        texts = isinstance(item, list) and item and all(isinstance(part, str) for part in item)
        if not texts and not isinstance(item, (str, bool, int, float)):
            raise Invalid(
                f"{key}.{name} must be a string, boolean, number or list of strings, got {item!r}"
            )
    if values_in(table) > MOST:
        raise Invalid(f"{key} must be {MOST} values at most, got {values_in(table)}")
    return table


def _priority(value: object, key: str) -> Priority:
    table = _table(value, key)
    number, weight = table.get("priority_key", 0), table.get("fairness_weight", 1.0)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise Invalid(f"{key}.priority_key must be a whole number from 0, got {number!r}")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < 1e6:
        raise Invalid(f"{key}.fairness_weight must be a number above 0, got {weight!r}")
    fairness = _text(table.get("fairness_key", ""), f"{key}.fairness_key")
    return Priority(number, fairness, float(weight))


def _override(value: object, key: str) -> VersioningOverride:
    mode = value.get("mode") if isinstance(value, Mapping) else value
    word = mode.lower().replace("-", "_") if isinstance(mode, str) else None
    if word == "auto_upgrade":
        return VersioningOverride("auto_upgrade")
    version = value.get("version") if isinstance(value, Mapping) else None
    if word != "pinned" or not isinstance(version, Mapping):
        raise Invalid(
            f'{key} must be "auto_upgrade" or'
            f' {{mode="pinned", version={{deployment_name=..., build_id=...}}}}, got {value!r}'
        )
    return VersioningOverride(
        "pinned",
        _name(version.get("deployment_name"), f"{key}.version.deployment_name"),
        _name(version.get("build_id"), f"{key}.version.build_id"),
    )


_INTENT_READER: Final = _enum(_INTENT, "versioning_intent_")

_ACTIVITY: Final[Mapping[str, tuple[str, Reader]]] = {
    "disable_eager_execution": ("disable_eager_execution", _flag),
    "heartbeat_timeout": ("heartbeat_ms", _duration),
    "id": ("id", _name),
    "priority": ("priority", _priority),
    "retry_policy": ("retry_policy", _retry),
    "schedule_to_close_timeout": ("schedule_to_close_ms", _duration),
    "schedule_to_start_timeout": ("schedule_to_start_ms", _duration),
    "start_to_close_timeout": ("start_to_close_ms", _duration),
    "summary": ("summary", _text),
    "task_queue": ("task_queue", _name),
    "versioning_intent": ("versioning_intent", _INTENT_READER),
    "wait_for_cancellation": ("wait_for_cancellation", _flag),
}

_START: Final[Mapping[str, tuple[str, Reader]]] = {
    "cron_schedule": ("cron_schedule", _cron),
    "details": ("details", _text),
    "enable_eager_start": ("enable_eager_start", _flag),
    "execution_error_when_already_started": ("started_is_error", _flag),
    "execution_timeout": ("execution_timeout_ms", _duration),
    "id": ("id", _name),
    "id_conflict_policy": ("id_conflict_policy", _enum(_CONFLICT, "workflow_id_conflict_policy_")),
    "id_reuse_policy": ("id_reuse_policy", _enum(_REUSE, "workflow_id_reuse_policy_")),
    "memo": ("memo", _table),
    "namespace": ("namespace", _name),
    "parent_close_policy": ("parent_close_policy", _enum(_PARENT_CLOSE, "parent_close_policy_")),
    "priority": ("priority", _priority),
    "retry_policy": ("retry_policy", _retry),
    "run_timeout": ("run_timeout_ms", _duration),
    "search_attributes": ("search_attributes", _attributes),
    "start_delay": ("start_delay_ms", _duration),
    "summary": ("summary", _text),
    "task_queue": ("task_queue", _name),
    "task_timeout": ("task_timeout_ms", _duration),
    "versioning_intent": ("versioning_intent", _INTENT_READER),
    "versioning_override": ("versioning_override", _override),
    "wait_for_cancellation": ("wait_for_cancellation", _flag),
}

START_KEYS: Final = frozenset(_START)
"""The start options, without the prefix ``workflow.``."""

_ALIASES: Final = {
    "static_details": "details",
    "static_summary": "summary",
    "typed_search_attributes": "search_attributes",
}

_TOP_ONLY: Final = (
    "enable_eager_start",
    "execution_error_when_already_started",
    "start_delay",
    "versioning_override",
)
_CHILD_ONLY: Final = (
    "namespace",
    "parent_close_policy",
    "versioning_intent",
    "wait_for_cancellation",
)
