"""Option tables become typed values, or an error that names the key."""

from __future__ import annotations

from typing import Any

import pytest

from luaflow.domain.failure import Invalid
from luaflow.domain.options import (
    ActivityOptions,
    Priority,
    StartOptions,
    VersioningOverride,
    parse_activity_options,
    parse_start_options,
)
from luaflow.domain.retry import RetryPolicy


def test_no_options_are_the_defaults() -> None:
    """Ten minutes an attempt, unlimited attempts; an empty Lua table counts as none."""
    tables: list[object] = [None, {}, []]
    for nothing in tables:
        assert parse_activity_options("app:a", nothing) == (ActivityOptions(), [])
    assert ActivityOptions().start_to_close_ms == 600_000


def test_every_activity_option_is_read() -> None:
    """Both prefixes, durations as text or milliseconds."""
    options, warnings = parse_activity_options(
        "app:a",
        {
            "activity.start_to_close_timeout": "30s",
            "temporal.activity.schedule_to_close_timeout": 5000,
            "activity.schedule_to_start_timeout": "1m",
            "activity.heartbeat_timeout": "2s",
            "activity.id": "x",
            "activity.task_queue": "q",
            "activity.wait_for_cancellation": True,
            "activity.disable_eager_execution": True,
            "activity.retry_policy": {"maximum_attempts": 3},
            "activity.versioning_intent": "COMPATIBLE",
            "activity.summary": "s",
            "activity.priority": {"priority_key": 1, "fairness_key": "k", "fairness_weight": 2},
        },
    )
    assert warnings == []
    assert options == ActivityOptions(
        start_to_close_ms=30_000,
        schedule_to_close_ms=5000,
        schedule_to_start_ms=60_000,
        heartbeat_ms=2000,
        id="x",
        task_queue="q",
        wait_for_cancellation=True,
        disable_eager_execution=True,
        retry_policy=RetryPolicy(maximum_attempts=3),
        versioning_intent="compatible",
        summary="s",
        priority=Priority(1, "k", 2.0),
    )


@pytest.mark.parametrize("flip", [False, True])
def test_canonical_spelling_beats_the_alias(flip: bool) -> None:
    """Whatever the order in the table."""
    pairs = [("activity.id", "canonical"), ("temporal.activity.id", "alias")]
    options, _ = parse_activity_options("app:a", dict(reversed(pairs) if flip else pairs))
    assert options.id == "canonical"


def test_call_options_beat_the_entry_defaults_in_any_spelling() -> None:
    """meta.options lie under the options of the call."""
    options, _ = parse_activity_options(
        "app:a",
        {"temporal.activity.start_to_close_timeout": "1s"},
        {"activity.start_to_close_timeout": "9s", "activity.heartbeat_timeout": "3s"},
    )
    assert (options.start_to_close_ms, options.heartbeat_ms) == (1000, 3000)


def test_unknown_keys_are_left_out_with_a_warning() -> None:
    """A misspelled key never changes behaviour silently; keys of other readers pass quietly."""
    options, warnings = parse_activity_options(
        "app:a",
        {
            "activity.start_to_close": "1s",
            "start_to_close_timeout": "1s",
            "timeout": 5,
            "activity.retry_policy": {"attempts": 3},
        },
    )
    assert options == ActivityOptions()
    assert [warning.split(" is ")[0] for warning in warnings] == [
        "option activity.start_to_close",
        "option start_to_close_timeout",
        "activity.retry_policy.attempts",
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("start_to_close_timeout", "soon", "must be a duration"),
        ("start_to_close_timeout", -1, "must not be negative"),
        ("task_queue", "", "must be a non-empty string"),
        ("task_queue", 3, "must be a non-empty string"),
        ("wait_for_cancellation", 1, "must be true or false"),
        ("retry_policy", 1, "must be a table"),
        ("versioning_intent", "maybe", "must be one of compatible, default"),
        ("priority", {"priority_key": "1"}, r"\.priority_key must be a whole number"),
        ("priority", {"fairness_weight": 0}, r"\.fairness_weight must be a number above 0"),
        ("summary", {}, "must be a string"),
    ],
)
def test_activity_errors_follow_the_contract(key: str, value: Any, message: str) -> None:
    """The text names the entry and the key as the user wrote it."""
    start = f"invalid temporal activity options for app:a: temporal.activity.{key}"
    with pytest.raises(Invalid, match=rf"^{start}.*{message}"):
        parse_activity_options("app:a", {f"temporal.activity.{key}": value})


def test_options_must_be_a_table() -> None:
    """A string in place of the table is refused."""
    with pytest.raises(Invalid, match="options must be a table, got str"):
        parse_start_options("x")


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        ({}, None, (None, "fail")),
        ({}, "named", ("named", "use_existing")),
        ({"workflow.id": "w"}, "named", ("w", "use_existing")),
        ({"workflow.id": "w", "workflow.execution_error_when_already_started": True}, None,
         ("w", "fail")),
        ({"workflow.execution_error_when_already_started": False}, None, (None, "use_existing")),
        ({"workflow.id": "w", "workflow.id_conflict_policy": "TERMINATE-existing"}, None,
         ("w", "terminate_existing")),
        ({"workflow.id": "w", "workflow.id_conflict_policy": "fail"}, None, ("w", "fail")),
        ({"workflow.id_conflict_policy": "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"}, None,
         (None, "use_existing")),
        ({"workflow.id_conflict_policy": 1}, "n", ("n", "fail")),
        ({"workflow.id_conflict_policy": 0}, "n", ("n", "use_existing")),
        ({"workflow.id_conflict_policy": "unspecified"}, "n", ("n", "use_existing")),
    ],
)  # fmt: skip
def test_conflict_policy_depends_on_who_chose_the_id(
    options: dict[str, Any], name: str | None, expected: tuple[str | None, str]
) -> None:
    """A chosen id finds the running workflow; a generated one may not clash."""
    found, warnings = parse_start_options(options, name=name)
    assert (found.id, found.id_conflict_policy) == expected
    assert warnings == []


def test_every_start_option_is_read() -> None:
    """All keys of a top-level start, aliases of text and attributes included."""
    found, warnings = parse_start_options(
        {
            "temporal.workflow.id": "w",
            "workflow.task_queue": "q",
            "workflow.execution_timeout": "1h",
            "workflow.run_timeout": "30m",
            "workflow.task_timeout": 5000,
            "workflow.id_reuse_policy": "Reject_Duplicate",
            "workflow.retry_policy": {"initialInterval": "1s"},
            "workflow.cron_schedule": "@hourly",
            "workflow.memo": {"a": 1},
            "temporal.workflow.typed_search_attributes": {"s": "x", "l": ["a"], "n": 1, "b": True},
            "workflow.enable_eager_start": True,
            "workflow.start_delay": "5s",
            "temporal.workflow.static_summary": "sum",
            "temporal.workflow.static_details": "det",
            "workflow.versioning_override": {
                "mode": "Pinned",
                "version": {"deployment_name": "d", "build_id": "b"},
            },
            "workflow.priority": {},
        }
    )
    assert warnings == []
    assert found == StartOptions(
        id="w",
        task_queue="q",
        execution_timeout_ms=3_600_000,
        run_timeout_ms=1_800_000,
        task_timeout_ms=5000,
        id_conflict_policy="use_existing",
        id_reuse_policy="reject_duplicate",
        retry_policy=RetryPolicy(),
        cron_schedule="@hourly",
        memo={"a": 1},
        search_attributes={"s": "x", "l": ["a"], "n": 1, "b": True},
        enable_eager_start=True,
        start_delay_ms=5000,
        summary="sum",
        details="det",
        versioning_override=VersioningOverride("pinned", "d", "b"),
        priority=Priority(),
    )


def test_children_have_their_own_keys() -> None:
    """Keys of the other kind of start are ignored with a warning, not an error."""
    options = {
        "workflow.parent_close_policy": "PARENT_CLOSE_POLICY_ABANDON",
        "workflow.namespace": "n",
        "workflow.wait_for_cancellation": True,
        "workflow.versioning_intent": 3,
        "workflow.start_delay": "1s",
    }
    child, warnings = parse_start_options(options, child=True)
    assert child.parent_close_policy == "abandon"
    assert (child.namespace, child.wait_for_cancellation) == ("n", True)
    assert child.versioning_intent == "inherit_build_id"
    assert child.start_delay_ms is None
    assert warnings == ["workflow.start_delay is ignored for child workflows"]
    top, warnings = parse_start_options(options)
    assert (top.parent_close_policy, top.start_delay_ms) == ("terminate", 1000)
    assert len(warnings) == 4


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("id", "", "workflow.id must be a non-empty string"),
        ("id_reuse_policy", "sometimes", "workflow.id_reuse_policy must be one of allow_duplicate"),
        ("id_reuse_policy", 5, "must be one of"),
        ("id_reuse_policy", True, "must be one of"),
        ("memo", "x", "workflow.memo must be a table with string keys"),
        ("memo", [1], "workflow.memo must be a table"),
        ("search_attributes", {"a": ["x", 1]}, r"workflow.search_attributes.a must be a string"),
        ("search_attributes", {"a": {"b": 1}}, r"workflow.search_attributes.a must be"),
        ("versioning_override", "pinned", 'workflow.versioning_override must be "auto_upgrade" or'),
        ("versioning_override", {"mode": "pinned", "version": {}}, "deployment_name must be"),
        ("run_timeout", {}, "workflow.run_timeout must be a duration"),
    ],
)
def test_start_errors_name_the_key(key: str, value: Any, message: str) -> None:
    """A wrong type is refused before anything starts."""
    with pytest.raises(Invalid, match=message):
        parse_start_options({f"workflow.{key}": value})
