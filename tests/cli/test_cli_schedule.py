"""``luaflow schedule`` and the schedules that ``luaflow deploy`` brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.apps import HEAD, WORKFLOW, write_app
from tests.support.commands import Commands

from luaflow import SyncClient

CREATE = ("schedule", "create", "-s", "s1", "-t", "app:pay")


def described(luaflow: Commands, name: str = "s1") -> dict[str, Any]:
    answer = luaflow("schedule", "describe", "-s", name, "-o", "json")
    assert answer.code == 0, answer.err
    found: dict[str, Any] = answer.json
    return found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cron", "0 9 * * 1-5", "--cron", "@daily"), {"cron": ["0 9 * * 1-5", "@daily"]}),
        (("--interval", "1h/5m"), {"interval": [{"every": "1h", "offset": "5m"}]}),
        (("--interval", "90s"), {"interval": [{"every": "90s"}]}),
        (
            ("--calendar", '{"hour": 9, "day_of_week": "MON-FRI"}', "--time-zone", "Asia/Tokyo"),
            {"calendar": [{"hour": 9, "day_of_week": "MON-FRI"}], "timezone": "Asia/Tokyo"},
        ),
        (
            ("--interval", "1h", "--start-time", "2030-01-01T00:00:00Z", "--jitter", "5s"),
            {
                "interval": [{"every": "1h"}],
                "start_at": "2030-01-01T00:00:00Z",
                "jitter": "5s",
            },
        ),
    ],
)
def test_create_says_when(luaflow: Commands, words: tuple[str, ...], said: dict[str, Any]) -> None:
    """By the option names of Temporal's command line."""
    answer = luaflow(*CREATE, *words, "-o", "json")
    assert (answer.code, answer.json) == (0, {"schedule_id": "s1"}), answer.err
    found = described(luaflow)
    assert found["spec"] == said
    assert len(found["next_times"]) == 5


def test_create_says_what_and_how(luaflow: Commands) -> None:
    """The workflow, its options, and the policies."""
    answer = luaflow(
        *CREATE,
        *("--cron", "@yearly", "-w", "bill", "-q", "slow", "-i", '{"a": 1}', "-i", "2"),
        *("--overlap-policy", "BufferOne", "--catchup-window", "10m", "--pause-on-failure"),
        *("--remaining-actions", "3", "--notes", "for Ada", "--paused"),
        *("--run-timeout", "1h", "--memo", 'who="me"', "--search-attribute", "n=1"),
        *("--schedule-memo", "cost=5"),
    )
    assert (answer.code, answer.out) == (0, "s1: created\n"), answer.err
    found = described(luaflow)
    assert found["workflow"] == {
        "type": "app:pay",
        "input": [{"a": 1}, 2],
        "workflow_id": "bill",
        "options": {
            "workflow.run_timeout": "1h",
            "workflow.task_queue": "slow",
            "workflow.memo": {"who": "me"},
            "workflow.search_attributes": {"n": 1},
        },
    }
    assert (found["overlap"], found["catchup_window_ms"]) == ("buffer_one", 600_000)
    assert (found["pause_on_failure"], found["remaining_actions"]) == (True, 3)
    assert (found["paused"], found["note"], found["memo"]) == (True, "for Ada", {"cost": 5})
    assert (found["problem"], found["owner"]) == (None, None)


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("--cron", "now and then"), 2, "cron must be a cron expression"),
        (("--interval", "1h/2h"), 2, "interval.offset must be less than"),
        (("--calendar", "{"), 2, "is not JSON"),
        (("--calendar", '{"hour": 25}'), 2, "calendar.hour must be numbers from 0 to 23"),
        (("--time-zone", "Mars", "--cron", "@daily"), 2, "timezone must name"),
        (("--cron", "@daily", "--overlap-policy", "never"), 2, "overlap must be one of skip"),
        (("--cron", "@daily", "--remaining-actions", "-1"), 2, "limited_actions must be a whole"),
        (("--cron", "@daily", "--option", "id=1"), 2, "workflow.id must not be given"),
        ((), 2, "cron, interval or calendar must be given"),
        (("--cron", "@daily", "-t", "app:pai"), 4, "did you mean 'app:pay'?"),
    ],
)
def test_what_is_wrong_makes_nothing(
    luaflow: Commands, words: tuple[str, ...], code: int, why: str
) -> None:
    """The message says which word; there is no schedule afterwards."""
    answer = luaflow(*CREATE, *words)
    assert answer.code == code, answer.err
    assert why in answer.err
    assert luaflow("schedule", "list", "-o", "json").json == {"schedules": []}


def test_a_life(luaflow: Commands) -> None:
    """Every verb, what it says, and what is there afterwards."""
    assert luaflow(*CREATE, "--cron", "@yearly").code == 0
    again = luaflow(*CREATE, "--cron", "@yearly")
    assert (again.code, "there is a schedule 's1' already" in again.err) == (5, True)
    said = luaflow("schedule", "toggle", "-s", "s1", "--pause", "--reason", "holidays")
    assert said.out == "s1: paused\n"
    assert described(luaflow)["note"] == "holidays"
    assert luaflow("schedule", "toggle", "-s", "s1").code == 2
    listed = luaflow("schedule", "list").out.splitlines()
    assert listed[1].split() == ["s1", "app:pay", "-", "-", "0", "paused"]
    assert luaflow("schedule", "unpause", "-s", "s1").out == "s1: unpaused\n"
    assert luaflow("schedule", "pause", "-s", "s1", "-o", "json").json == {"schedule_id": "s1"}
    words = ("--interval", "1h", "-i", "7", "--overlap-policy", "allow-all", "-t", "app:ship")
    assert luaflow("schedule", "update", "-s", "s1", *words).out == "s1: updated\n"
    found = described(luaflow)
    assert (found["spec"], found["overlap"]) == ({"interval": [{"every": "1h"}]}, "allow_all")
    assert (found["workflow"]["type"], found["workflow"]["input"]) == ("app:ship", [7])
    assert found["paused"]
    assert luaflow("schedule", "trigger", "-s", "s1").out == "s1: triggered\n"
    times = ("--start-time", "2024-01-01T00:30:00Z", "--end-time", "2024-01-01T02:30:00Z")
    assert luaflow("schedule", "backfill", "-s", "s1", *times).out == "s1: backfilled\n"
    assert described(luaflow)["waiting"] == 3
    assert "spec" in luaflow("schedule", "describe", "-s", "s1").out
    assert luaflow("schedule", "delete", "-s", "s1", "-y").out == "s1: deleted\n"
    for verb in ("describe", "trigger", "delete", "pause"):
        gone = luaflow("schedule", verb, "-s", "s1")
        assert (gone.code, "there is no schedule 's1'" in gone.err) == (4, True)


def test_the_client_that_blocks(luaflow: Commands) -> None:
    """The same verbs, each done when it returns."""
    with SyncClient.connect(luaflow.url, luaflow.namespace) as client:
        made = client.create_schedule("s", "app:pay", 1, interval="1h", trigger_immediately=True)
        assert made.describe()["waiting"] == 1
        made.pause("later")
        made.trigger("allow_all")
        assert made.backfill("2024-01-01T00:30:00Z", "2024-01-01T02:30:00Z") == 2
        made.update(jitter="1m")
        made.unpause()
        (one,) = client.list_schedules()
        assert (one["schedule_id"], one["spec"]["jitter"]) == ("s", "1m")
        client.get_schedule("s").delete()
        assert client.list_schedules() == []


ENTRY = """\
  - {name: nightly, kind: schedule, workflow: wf, cron: 0 2 * * *, paused: true}
"""


def deploy(luaflow: Commands, folder: Path, more: str, *words: str) -> dict[str, str]:
    """Deploy an app with these entries; what it says of schedules."""
    files: dict[str, str | bytes] = {
        "src/app.yaml": HEAD + WORKFLOW + more,
        "src/wf.lua": "return function() end",
    }
    answer = luaflow("deploy", str(write_app(folder, files)), "-o", "json", *words)
    assert answer.code == 0, answer.err
    return {one["schedule_id"]: one["change"] for one in answer.json["schedules"]}


def test_deploy_makes_changes_and_removes(luaflow: Commands, tmp_path: Path) -> None:
    """What people did to an unchanged one stays; only what was deployed is removed."""
    luaflow(*CREATE, "--cron", "@yearly")
    assert deploy(luaflow, tmp_path, ENTRY, "--check") == {"app:nightly": "new"}
    assert luaflow("schedule", "describe", "-s", "app:nightly").code == 4
    assert deploy(luaflow, tmp_path, ENTRY) == {"app:nightly": "new"}
    assert described(luaflow, "app:nightly")["paused"]
    luaflow("schedule", "unpause", "-s", "app:nightly")
    assert deploy(luaflow, tmp_path, ENTRY) == {"app:nightly": "same"}
    assert not described(luaflow, "app:nightly")["paused"]
    luaflow("schedule", "pause", "-s", "app:nightly")
    assert deploy(luaflow, tmp_path, ENTRY.replace("0 2", "0 3")) == {"app:nightly": "changed"}
    found = described(luaflow, "app:nightly")
    assert (found["spec"], found["paused"]) == ({"cron": "0 3 * * *"}, True)
    assert deploy(luaflow, tmp_path, "") == {"app:nightly": "removed"}
    listed = luaflow("schedule", "list", "-o", "json").json["schedules"]
    assert [one["schedule_id"] for one in listed] == ["s1"]


def test_deploy_leaves_the_schedules_of_others_alone(luaflow: Commands, tmp_path: Path) -> None:
    """An entry of the same id is refused, and nothing of the app's schedules is written."""
    words = ("-s", "app:nightly", "-t", "app:pay", "--cron", "@yearly")
    assert luaflow("schedule", "create", *words).code == 0
    other = ENTRY.replace("nightly", "a")
    files: dict[str, str | bytes] = {
        "src/app.yaml": HEAD + WORKFLOW + ENTRY + other,
        "src/wf.lua": "return function() end",
    }
    answer = luaflow("deploy", str(write_app(tmp_path, files)))
    assert answer.code == 5
    assert "a schedule 'app:nightly' that was not deployed with this app" in answer.err
    assert luaflow("schedule", "describe", "-s", "app:a").code == 4
