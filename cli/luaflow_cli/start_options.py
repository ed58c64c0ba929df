"""The options of ``workflow start`` and ``workflow execute``, named as those of Temporal's CLI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from luaflow_cli.common import Json, parse_pairs

F = TypeVar("F", bound=Callable[..., Any])

REQUEST_ID: Final[dict[str, Any]] = {
    "metavar": "ID",
    "help": "Done once, however often it is called.",
}
_TIME: Final[dict[str, Any]] = {"metavar": "TIME"}
_PAIRS: Final[dict[str, Any]] = {"type": Json(), "multiple": True, "metavar": "KEY=JSON"}
_OPTIONS: Final[tuple[tuple[tuple[str, ...], dict[str, Any]], ...]] = (
    (("-t", "--type"), {"required": True, "help": "The workflow type, or its entry id."}),
    (("-w", "--workflow-id"), {"metavar": "ID", "help": "Its id; a generated one without."}),
    (("-q", "--task-queue"), {"metavar": "NAME", "help": "Not the queue of its worker entry."}),
    (
        ("--id-conflict-policy",),
        {"help": "When the id runs: use_existing (the default), fail, terminate_existing."},
    ),
    (
        ("--id-reuse-policy",),
        {
            "help": "When the id ran: allow_duplicate (the default), allow_duplicate_failed_only,"
            " reject_duplicate, terminate_if_running."
        },
    ),
    (("--fail-existing",), {"is_flag": True, "default": None, "help": "Fail when the id runs."}),
    (("--execution-timeout",), {**_TIME, "help": "For all its runs together: 1h30m."}),
    (("--run-timeout",), {**_TIME, "help": "For one run."}),
    (("--task-timeout",), {**_TIME, "help": "For one workflow task."}),
    (("--start-delay",), {**_TIME, "help": "Wait before the first task."}),
    (("--cron",), {"metavar": "SPEC", "help": "Run again and again: '0 9 * * 1-5', '@every 90s'."}),
    (("--retry-maximum-attempts",), {"type": int, "help": "Try a failed run again; 0: no limit."}),
    (("--retry-initial-interval",), {**_TIME, "help": "Pause before the second try: 1s."}),
    (("--retry-backoff-coefficient",), {"type": float, "help": "Each pause by so much longer."}),
    (("--retry-maximum-interval",), {**_TIME, "help": "No pause is longer."}),
    (("--retry-non-retryable",), {"multiple": True, "metavar": "KIND", "help": "Never retried."}),
    (("--memo",), {**_PAIRS, "help": "Shown by describe."}),
    (("--search-attribute",), {**_PAIRS, "help": "For list."}),
    (("--static-summary",), {"metavar": "TEXT", "help": "One line about it, for people."}),
    (("--static-details",), {"metavar": "TEXT", "help": "More about it, for people."}),
    (("--priority-key",), {"type": int, "metavar": "N", "help": "Lower goes first."}),
    (("--fairness-key",), {"metavar": "TEXT", "help": "Whose share of the work it is."}),
    (("--fairness-weight",), {"type": float, "help": "How large that share is."}),
    (("--option",), {**_PAIRS, "help": 'Any start option: versioning_override="auto_upgrade".'}),
    (("--request-id",), REQUEST_ID),
)

_NAMES: Final[dict[str, str]] = {
    "id_conflict_policy": "id_conflict_policy",
    "id_reuse_policy": "id_reuse_policy",
    "fail_existing": "execution_error_when_already_started",
    "execution_timeout": "execution_timeout",
    "run_timeout": "run_timeout",
    "task_timeout": "task_timeout",
    "start_delay": "start_delay",
    "cron": "cron_schedule",
    "static_summary": "summary",
    "static_details": "details",
    "workflow_id": "id",
}
"""The option of the command line, and the key of the start option without its prefix."""
_RETRY: Final = {
    "retry_maximum_attempts": "maximum_attempts",
    "retry_initial_interval": "initial_interval",
    "retry_backoff_coefficient": "backoff_coefficient",
    "retry_maximum_interval": "maximum_interval",
    "retry_non_retryable": "non_retryable_error_types",
}
_PRIORITY: Final = ("priority_key", "fairness_key", "fairness_weight")


def start_options(function: F, without: tuple[str, ...] = ()) -> F:
    """Add the options of a start to a command, all but those named."""
    for names, how in reversed([one for one in _OPTIONS if one[0][-1] not in without]):
        function = click.option(*names, **how)(function)
    return function


def how_to_start(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``Client.start`` that the options of a command say."""
    options: dict[str, Any] = {}
    for key, value in (parse_pairs(given["option"], "--option") or {}).items():
        options[key if key.startswith(("workflow.", "temporal.")) else f"workflow.{key}"] = value
    for name, key in _NAMES.items():
        if given.get(name) is not None:
            options[f"workflow.{key}"] = given[name]
    retry = {key: given[name] for name, key in _RETRY.items() if given[name] not in (None, ())}
    if retry:
        retry["non_retryable_error_types"] = list(retry.get("non_retryable_error_types", ()))
        options["workflow.retry_policy"] = retry
    priority = {key: given[key] for key in _PRIORITY if given[key] is not None}
    if priority:
        options["workflow.priority"] = priority
    return {
        "task_queue": given["task_queue"],
        "options": options,
        "memo": parse_pairs(given["memo"], "--memo"),
        "search_attributes": parse_pairs(given["search_attribute"], "--search-attribute"),
        "request_id": given.get("request_id"),
    }
