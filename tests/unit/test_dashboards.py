"""The dashboards ask for what exists, and the check finds what it is there for."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from tools.boards import boards, text_of
from tools.check_dashboards import FOLDER, Board, complaints, load, panels, queries
from tools.metrics import Metric, exported

NAME = "luaflow-workflows"
UNSEEN = {"luaflow_redis_aof_enabled"}
"""A finding of the server check says it better."""


@pytest.fixture(scope="module")
def metrics() -> list[Metric]:
    """What worker and scheduler export."""
    return exported()


@pytest.mark.parametrize("name", load())
def test_dashboard_keeps_the_conventions(name: str, metrics: list[Metric]) -> None:
    """Every query uses metrics and labels that exist; the board works in any Grafana."""
    assert complaints(name, load()[name], metrics) == []


@pytest.mark.parametrize("name", load())
def test_file_is_of_today(name: str) -> None:
    """A board is what tools/boards.py makes, and there is no other one."""
    text = (FOLDER / f"{name}.json").read_text()
    assert text == text_of(boards()[name]), "run .venv/bin/python -m tools.boards"
    assert load().keys() == boards().keys()


def test_no_metric_is_without_a_panel(metrics: list[Metric]) -> None:
    """What is exported can be seen."""
    asked = "\n".join(query for board in load().values() for _, query in queries(board))
    unseen = {
        metric.name
        for metric in metrics
        if metric.name.startswith("luaflow_")
        and not any(re.search(rf"\b{series}\b", asked) for series in metric.series)
    }
    assert unseen == UNSEEN


def panel(board: Board, title: str) -> dict[str, Any]:
    (found,) = [panel for panel in panels(board) if panel["title"] == title]
    return found


def ask(query: str) -> Callable[[Board], Any]:
    """Plants a query in the place of a good one."""
    return lambda board: panel(board, "Commits")["targets"][0].update(expr=query)


FAULTS: dict[str, tuple[Callable[[Board], Any], str]] = {
    "uid": (lambda b: b.update(uid="x"), "uid is 'x'"),
    "id": (lambda b: b.update(id=7), "belongs to one Grafana"),
    "schema": (lambda b: b.update(schemaVersion=36), "schemaVersion"),
    "no source": (lambda b: b["templating"]["list"].reverse(), "first variable"),
    "fixed source": (
        lambda b: panel(b, "Commits")["targets"][0].update(datasource={"uid": "abc"}),
        "data source variable",
    ),
    "no all": (lambda b: b["templating"]["list"][1].pop("allValue"), "no All"),
    "same id": (lambda b: panel(b, "Commits").update(id=1), "same id"),
    "overlap": (lambda b: panel(b, "Commits")["gridPos"].update(x=1, y=1), "lies on"),
    "too wide": (lambda b: panel(b, "Commits")["gridPos"].update(w=25), "leaves the grid"),
    "old panel": (lambda b: panel(b, "Commits").update(type="graph"), "type graph"),
    "no description": (lambda b: panel(b, "Commits").pop("description"), "no description"),
    "unit": (
        lambda b: panel(b, "Commits")["fieldConfig"]["defaults"].update(unit="furlongs"),
        "its unit",
    ),
    "unknown metric": (ask("luaflow_gone"), "luaflow_gone does not exist"),
    "no metric": (ask("vector(1)"), "asks for no metric"),
    "unknown label": (
        ask("sum by (type) (rate(luaflow_commits_total[$__rate_interval]))"),
        "the label type",
    ),
    "unknown matcher": (
        ask('rate(luaflow_commits_total{colour="red"}[$__rate_interval])'),
        "the label colour",
    ),
    "no rate": (ask("sum(luaflow_commits_total)"), "only grows"),
    "fixed window": (ask("rate(luaflow_commits_total[5m])"), "only grows"),
    "rate of a gauge": (ask("rate(luaflow_worker_slots[$__rate_interval])"), "is a gauge"),
    "unknown variable": (
        ask('rate(luaflow_commits_total{kind="$kind"}[$__rate_interval])'),
        "no variable $kind",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str, metrics: list[Metric]) -> None:
    """Each convention is checked."""
    board = copy.deepcopy(load()[NAME])
    plant, says = FAULTS[fault]
    plant(board)
    assert says in "\n".join(complaints(NAME, board, metrics))
