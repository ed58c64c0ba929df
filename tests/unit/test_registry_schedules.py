"""Schedule entries of an app: what is read, and what is said of mistakes, by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.apps import HEAD, WORKFLOW, write_app

from luaflow.registry import RegistryErrors, check_app, load_app
from luaflow.registry.app import App
from luaflow.registry.schedules import ScheduleEntry

GOOD = """\
  - name: nightly
    kind: schedule
    meta: {comment: reports}
    workflow: wf
    input: [{region: eu}, 5]
    cron: 0 2 * * *
    interval: {every: 1h, offset: 5m}
    calendar: [{hour: 9, day_of_week: MON-FRI}]
    timezone: Europe/Berlin
    start_at: 2024-01-01T00:00:00Z
    jitter: 30s
    overlap: buffer_one
    catchup_window: 10m
    pause_on_failure: true
    limited_actions: 5
    workflow_id: report
    paused: true
    options:
      workflow.run_timeout: 1h
      memo: {who: me}
"""
LUA = {"src/wf.lua": "return function() end"}
FIRST = HEAD.count("\n") + WORKFLOW.count("\n") + 1


def load(folder: Path, text: str, head: str = HEAD + WORKFLOW) -> App:
    return load_app(write_app(folder, {"src/app.yaml": head + text, **LUA}))


def test_an_entry_becomes_a_plan(tmp_path: Path) -> None:
    """All its words are read; nothing is said of a good one."""
    app = load(tmp_path, GOOD)
    entry = app.entries["app:nightly"]
    assert isinstance(entry, ScheduleEntry)
    assert (entry.workflow, entry.paused, entry.limited_actions) == ("app:wf", True, 5)
    plan = entry.plan
    assert plan
    assert (plan.type, plan.input, plan.owner) == ("app:wf", [{"region": "eu"}, 5], "app")
    assert plan.spec == {
        "cron": "0 2 * * *",
        "interval": {"every": "1h", "offset": "5m"},
        "calendar": [{"hour": 9, "day_of_week": "MON-FRI"}],
        "timezone": "Europe/Berlin",
        "start_at": "2024-01-01T00:00:00Z",
        "jitter": 30_000,
    }
    assert (plan.overlap, plan.catchup_ms, plan.pause_on_failure) == ("buffer_one", 600_000, True)
    assert plan.workflow_id == "report"
    assert plan.options == {"workflow.run_timeout": "1h", "workflow.memo": {"who": "me"}}
    assert not check_app(app)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("workflow: wf", "workflow: wv", 3, "workflow app:wv of app:nightly does not exist"),
        ("workflow: wf", "workflow: wff", 3, "did you mean app:wf?"),
        ("workflow: wf", "workflow: worker", 3, "is no workflow"),
        ("workflow: wf", "worflow: wf", 0, "workflow is required"),
        ("input: [{region: eu}, 5]", "input: 5", 4, "input must be a list of arguments"),
        ("cron: 0 2 * * *", "cron: 0 2 * *", 5, "cron must be a cron expression"),
        ("offset: 5m", "offset: 5h", 6, "interval.offset must be less than interval.every"),
        ("hour: 9", "hour: 29", 7, "calendar.hour must be numbers from 0 to 23, got 29"),
        ("Europe/Berlin", "Mars", 8, "timezone must name a time zone such as Europe/Berlin"),
        ("2024-01-01T00:00:00Z", "soon", 9, "start_at must be a time such as 2030"),
        ("jitter: 30s", "jitter: x", 10, "jitter must be a duration"),
        ("buffer_one", "never", 11, "overlap must be one of skip, buffer_one"),
        ("10m", "1s", 12, "catchup_window must be 10000 ms at least"),
        ("limited_actions: 5", "limited_actions: x", 14, "limited_actions must be a whole number"),
        ("workflow_id: report", "workflow_id: a|b", 15, "'|' are not allowed in ids"),
        ("run_timeout: 1h", "run_timeout: x", 18, "workflow.run_timeout must be a duration"),
        ("run_timeout: 1h", "cron_schedule: 1h", 18, "must not be given to a schedule"),
        ("memo: {who: me}", "mema: {who: me}", 19, "workflow.mema is no start option"),
    ],
)
def test_mistakes_have_a_line_and_a_remedy(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    """Each mistake is an error at its line, and the only one."""
    assert old in GOOD
    with pytest.raises(RegistryErrors) as caught:
        load(tmp_path, GOOD.replace(old, new))
    (error,) = map(str, caught.value.errors)
    assert says in error
    assert " \u2013 " in error
    assert f"app.yaml:{FIRST + line}: " in error


def test_a_schedule_that_says_no_time(tmp_path: Path) -> None:
    """One of the three words is needed, and the remedy shows one."""
    with pytest.raises(RegistryErrors) as caught:
        load(tmp_path, "  - {name: s, kind: schedule, workflow: wf}\n")
    assert "cron, interval or calendar must be given" in str(caught.value.errors[0])


def test_a_workflow_without_worker_or_of_another_input(tmp_path: Path) -> None:
    """Both would fail each time: they are told before anything is deployed."""
    alone = HEAD + WORKFLOW.replace("    meta: {temporal: {workflow: {worker: worker}}}\n", "")
    with pytest.raises(RegistryErrors, match="is run by no worker"):
        load(tmp_path, GOOD, alone)
    strict = HEAD + WORKFLOW + "    input_schema: {type: string}\n"
    with pytest.raises(RegistryErrors, match="does not follow its schema"):
        load(tmp_path, GOOD, strict)


def test_an_unknown_key_is_a_warning(tmp_path: Path) -> None:
    """As for other kinds."""
    app = load(tmp_path, GOOD + "    kron: x\n")
    assert ["kron is not known and ignored" in str(one) for one in app.warnings] == [True]
