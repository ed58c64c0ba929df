"""The alerts: their form, their unit tests, their runbooks. tests/ops/test_alerts.py fires them."""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from tests.ops.stand import needed
from tests.support.pages import blocks
from tools.check_alerts import FILE, RUNBOOKS, Rule, complaints, load
from tools.metrics import Metric, exported

from luaflow_cli.main import cli
from luaflow_scheduler.cli import main as scheduler
from luaflow_worker.cli import main as worker

PROGRAMS: dict[str, click.Command] = {
    "luaflow": cli,
    "luaflow-worker": worker,
    "luaflow-scheduler": scheduler,
}
PAGES = sorted(RUNBOOKS.glob("*.md"))


@pytest.fixture(scope="module")
def metrics() -> list[Metric]:
    """What the processes export."""
    return exported()


@pytest.mark.parametrize("rule", load(), ids=lambda rule: rule["alert"])
def test_alert_keeps_the_conventions(rule: Rule, metrics: list[Metric]) -> None:
    """It asks for what exists, says what is wrong, and has a runbook."""
    assert list(complaints(rule, metrics)) == []


def test_every_runbook_belongs_to_an_alert() -> None:
    """And no two alerts have the same name."""
    names = [rule["alert"] for rule in load()]
    assert sorted(names) == [page.stem for page in PAGES]


FAULTS: dict[str, tuple[Callable[[Rule], Any], str]] = {
    "name": (lambda r: r.update(alert="Slow"), "does not begin"),
    "severity": (lambda r: r["labels"].update(severity="warning"), "severity"),
    "no words": (lambda r: r["annotations"].pop("summary"), "no summary"),
    "no runbook": (lambda r: r["annotations"].update(runbook_url="x"), "runbook_url"),
    "page missing": (lambda r: r.update(alert="LuaflowNew"), "lacks '# LuaflowNew'"),
    "other severity": (
        lambda r: r["labels"].update(severity="ticket"),
        "lacks 'Severity: ticket:'",
    ),
    "metric": (lambda r: r.update(expr="luaflow_gone > 0"), "luaflow_gone does not exist"),
    "label": (lambda r: r.update(expr="sum by (colour) (luaflow_schedules)"), "label colour"),
    "matcher": (lambda r: r.update(expr='luaflow_schedules{colour="red"} > 0'), "label colour"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str, metrics: list[Metric]) -> None:
    """Each convention is checked."""
    rule = copy.deepcopy(next(r for r in load() if r["alert"] == "LuaflowQueueStarved"))
    plant, says = FAULTS[fault]
    plant(rule)
    assert says in "\n".join(complaints(rule, metrics))


def test_promtool_agrees() -> None:
    """The rules are rules, and their unit tests pass: firing, and silent just below."""
    promtool = str(needed("promtool"))
    file = FILE.with_name("luaflow.rules.test.yml")
    for words in (["check", "rules", str(FILE)], ["test", "rules", str(file)]):
        done = subprocess.run([promtool, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_unit_test() -> None:
    """No alert is without an example that fires."""
    text = FILE.with_name("luaflow.rules.test.yml").read_text()
    fired = set(re.findall(r'alertname="(\w+)"', text))
    assert fired == {rule["alert"] for rule in load()}


def commands(page: Path) -> list[str]:
    """The commands of a page: the lines of its blocks, and what stands in its text."""
    text = page.read_text()
    found = [line for block in blocks(page) for line in block.text.splitlines()]
    inline = re.findall(r"`((?:luaflow|luaflow-worker|luaflow-scheduler) [^`]+)`", text)
    return [*found, *inline]


def check_command(line: str) -> None:
    """Fail for a command or option that does not exist."""
    program, *words = shlex.split(line)
    assert program in PROGRAMS, f"{line}: no program of luaflow"
    command: click.Command = PROGRAMS[program]
    while words and isinstance(command, click.Group):
        name = words.pop(0)
        following = command.get_command(click.Context(command), name)
        assert following is not None, f"{line}: no command {name}"
        command = following
    assert not isinstance(command, click.Group), f"{line}: which of its commands?"
    command.make_context(program, words)  # refuses unknown options, and what is missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_a_runbook_exist(page: Path) -> None:
    """Each of them, with its options; and how to confirm is told by at least one."""
    assert blocks(page)
    for line in commands(page):
        check_command(line)


@pytest.mark.parametrize(
    "line",
    [
        "luaflow workflow mend -w ID",
        "luaflow workflow list --sick",
        "luaflow workflow",
        "redis-cli",
    ],
)
def test_planted_command_is_found(line: str) -> None:
    """A command that does not exist is told of."""
    with pytest.raises((AssertionError, click.UsageError)):
        check_command(line)
