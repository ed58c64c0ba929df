"""Start options on the command line, by the names of Temporal's; what is wrong starts nothing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.support.commands import Commands

START = ("workflow", "start", "-t", "app:pay", "-w", "w1")


def first_event(luaflow: Commands) -> dict[str, Any]:
    """What the history of the workflow begins with."""
    shown = luaflow("workflow", "show", "-w", "w1", "-o", "json").out
    event: dict[str, Any] = orjson.loads(shown.splitlines()[0])
    return event


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cron", "@every 90s"), {"cron_schedule": "@every 90s"}),
        (("--execution-timeout", "1h"), {"execution_timeout_ms": 3_600_000}),
        (("--run-timeout", "1.5s"), {"run_timeout_ms": 1_500}),
        (("--task-timeout", "20s"), {"task_timeout_ms": 20_000}),
        (("--memo", 'who="me"', "--memo", "n=[1]"), {"memo": {"who": "me", "n": [1]}}),
        (("--search-attribute", "amount=5"), {"search_attributes": {"amount": 5}}),
        (
            ("--static-summary", "pays", "--static-details", "all"),
            {"summary": "pays", "details": "all"},
        ),
        (
            ("--priority-key", "2", "--fairness-key", "a", "--fairness-weight", "1.5"),
            {"priority": {"priority_key": 2, "fairness_key": "a", "fairness_weight": 1.5}},
        ),
        (("--option", 'summary="pays"'), {"summary": "pays"}),
        (("--option", 'temporal.workflow.static_summary="pays"'), {"summary": "pays"}),
        (
            (
                *("--retry-maximum-attempts", "3", "--retry-initial-interval", "5s"),
                *("--retry-backoff-coefficient", "1.5", "--retry-maximum-interval", "1m"),
                *("--retry-non-retryable", "Invalid", "--retry-non-retryable", "NotFound"),
            ),
            {
                "retry_policy": {
                    "maximum_attempts": 3,
                    "initial_interval_ms": 5_000,
                    "backoff_coefficient": 1.5,
                    "maximum_interval_ms": 60_000,
                    "non_retryable_error_types": ["Invalid", "NotFound"],
                }
            },
        ),
    ],
)
def test_options_reach_the_history(
    luaflow: Commands, words: tuple[str, ...], said: dict[str, Any]
) -> None:
    """Each is in the first event, where workers and schedulers read it."""
    answer = luaflow(*START, *words)
    assert answer.code == 0, answer.err
    assert said.items() <= first_event(luaflow).items()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--cron", "now and then"), "workflow.cron_schedule must be a cron expression"),
        (("--run-timeout", "soon"), "workflow.run_timeout must be a duration"),
        (("--start-delay", "-1s"), "workflow.start_delay must not be negative"),
        (("--id-conflict-policy", "x"), "workflow.id_conflict_policy must be one of"),
        (("--retry-maximum-attempts", "-1"), "workflow.retry_policy.maximum_attempts must be"),
        (("--priority-key", "-1"), "workflow.priority.priority_key must be"),
        (("--search-attribute", "a={}"), "workflow.search_attributes.a must be"),
        (("--option", "run_timeout=true"), "workflow.run_timeout must be a duration"),
        (("--option", "run_timeout"), "must be KEY=JSON"),
    ],
)
def test_what_is_wrong_starts_nothing(luaflow: Commands, words: tuple[str, ...], why: str) -> None:
    """The message names the option; nothing is written."""
    answer = luaflow(*START, *words)
    assert answer.code == 2
    assert why in answer.err
    assert luaflow("workflow", "count", "-o", "json").json == {"count": 0}


def test_policies(luaflow: Commands) -> None:
    """A running id is used again, refused, or its run is ended for the new one."""
    first = luaflow(*START, "-o", "json").json
    again = luaflow(*START, "-o", "json").json
    assert (again["run_id"], again["existed"]) == (first["run_id"], True)
    assert luaflow(*START, "--fail-existing").code == 5
    assert luaflow(*START, "--id-conflict-policy", "Fail").code == 5
    third = luaflow(*START, "--id-conflict-policy", "terminate-existing", "-o", "json").json
    assert third["run_id"] != first["run_id"]
    luaflow("workflow", "terminate", "-w", "w1", "-y")
    assert luaflow(*START, "--id-reuse-policy", "reject_duplicate").code == 5


def test_lists_by_attribute(luaflow: Commands) -> None:
    """list and count take conditions on search attributes; what cannot be read says where."""
    for n, city in enumerate(("Rome", "Oslo", "Rome")):
        words = ("-w", f"w{n}", "--search-attribute", f"n={n}")
        luaflow(*START[:-2], *words, "--search-attribute", f'city="{city}"')
    listed = luaflow("workflow", "list", "--query", "city = 'Rome' AND n > 0", "-o", "json").json
    assert [run["workflow_id"] for run in listed["workflows"]] == ["w2"]
    assert luaflow("workflow", "count", "--query", "city = 'Rome'", "-o", "json").json == {
        "count": 2
    }
    answer = luaflow("workflow", "list", "--query", "city = 'Rome' OR n = 1")
    assert answer.code == 2
    assert "cannot be read at 14" in answer.err
