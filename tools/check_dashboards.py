"""Check the dashboards in grafana/dashboards/: python -m tools.check_dashboards.

Every query uses metrics that exist, with labels that they have; and the conventions hold that
make a board portable: one data source variable, units, descriptions, no panel of an old Grafana.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from tools.metrics import Metric, exported
from tools.programs import ROOT

FOLDER = ROOT / "grafana" / "dashboards"
PANELS = {"barchart", "heatmap", "stat", "table", "timeseries"}
UNITS = {"bytes", "ops", "percentunit", "s", "short"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
BY_PROMETHEUS = {"instance", "job"}
"""Labels that Prometheus adds to each target."""
ALERTS = Metric("ALERTS", "gauge", ("alertname", "alertstate", "severity"), "", "prometheus")
"""What Prometheus itself tells of the rules in grafana/alerts."""

Board = dict[str, Any]


def load() -> dict[str, Board]:
    """File name without suffix -> board."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(board: Board) -> Iterator[Board]:
    """The panels that show something, also those in collapsed rows."""
    for panel in board["panels"]:
        yield from panel.get("panels", [])
        if panel["type"] != "row":
            yield panel


def queries(board: Board) -> Iterator[tuple[str, str]]:
    """Where and what the board asks Prometheus: panels, variables, annotations."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield f"panel {panel['title']!r}", target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]
    for annotation in board["annotations"]["list"]:
        if "expr" in annotation:
            yield f"annotation {annotation['name']!r}", annotation["expr"]


def complaints(name: str, board: Board, metrics: Iterable[Metric]) -> list[str]:
    """What is wrong with a board, as sentences."""
    known = {series: metric for metric in (*metrics, ALERTS) for series in metric.series}
    found = [*_head(name, board), *_variables(board), *_layout(board)]
    for panel in panels(board):
        found += [f"panel {panel.get('title')!r}: {text}" for text in _panel(panel)]
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for where, query in queries(board):
        found += [f"{where}: {text}" for text in _query(query, known, variables)]
    return found


def _head(name: str, board: Board) -> Iterator[str]:
    wanted = {
        "uid": name,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "tags": ["luaflow"],
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
    }
    for field, value in wanted.items():
        if board.get(field) != value:
            yield f"{field} is {board.get(field)!r}, not {value!r}"
    if "id" in board:
        yield "has an id, which belongs to one Grafana only"
    if not 39 <= board.get("schemaVersion", 0) <= 41:
        yield "schemaVersion is not 39 to 41, which Grafana 11 and later read"


def _variables(board: Board) -> Iterator[str]:
    first, *rest = board["templating"]["list"]
    if (first["name"], first["type"], first["query"]) != ("datasource", "datasource", "prometheus"):
        yield "the first variable is not the data source"
    for variable in rest:
        if variable.get("datasource") != SOURCE:
            yield f"variable {variable['name']} does not use the data source variable"
        if (variable.get("includeAll"), variable.get("allValue")) != (True, ".*"):
            yield f"variable {variable['name']} has no All that is .*"


def _layout(board: Board) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    ids = [panel["id"] for panel in board["panels"]] + [
        inner["id"] for panel in board["panels"] for inner in panel.get("panels", [])
    ]
    if len(ids) != len(set(ids)):
        yield "two panels have the same id"
    for panel in board["panels"]:
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            yield f"panel {panel['title']!r} leaves the grid of 24 columns"
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                if other := taken.setdefault((x, y), panel["title"]) != panel["title"]:
                    yield f"panel {panel['title']!r} lies on {other!r}"
                    return


def _panel(panel: Board) -> Iterator[str]:
    if panel["type"] not in PANELS:
        yield f"type {panel['type']} is not one of {', '.join(sorted(PANELS))}"
    for field in ("title", "description"):
        if not panel.get(field):
            yield f"has no {field}"
    if panel.get("fieldConfig", {}).get("defaults", {}).get("unit") not in UNITS:
        yield f"its unit is not one of {', '.join(sorted(UNITS))}"
    names = [target.get("refId") for target in panel.get("targets", [])]
    if not names or len(names) != len(set(names)):
        yield "has no targets, or two with the same refId"
    for item in (panel, *panel.get("targets", [])):
        if item.get("datasource") != SOURCE:
            yield "it or a target does not use the data source variable"


def _query(query: str, known: dict[str, Metric], variables: set[str]) -> Iterator[str]:
    bare = re.sub(r'"[^"]*"', '""', query)
    used = set(re.findall(r"\b(?:(?:luaflow|process|python)_\w+|ALERTS)\b", bare))
    if not used:
        yield "asks for no metric of luaflow"
    labels = set(BY_PROMETHEUS)
    for name in used:
        if name not in known:
            yield f"{name} does not exist"
            continue
        metric = known[name]
        labels.update(metric.labels, {"le"} if name.endswith("_bucket") else ())
        counts = metric.type != "gauge"
        if counts and not re.search(rf"\b(rate|increase)\({name}(\{{[^}}]*\}})?\[\$__r", bare):
            if "label_values" not in bare:
                yield f"{name} only grows: use rate(…[$__rate_interval]) or increase(…[$__range])"
        elif not counts and re.search(rf"\b(rate|increase)\({name}\b", bare):
            yield f"{name} is a gauge: a rate of it means nothing"
    asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", bare))
    for group in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", bare):
        asked |= set(re.findall(r"\w+", group))
    for label in sorted(asked - labels):
        yield f"none of its metrics has the label {label}"
    for variable in set(re.findall(r"\$(\w+)", query)) - variables:
        if variable not in ("__rate_interval", "__range"):
            yield f"there is no variable ${variable}"


def main() -> int:
    """Check every board; 0 when all is well."""
    metrics = exported()
    boards = load()
    found = [
        f"{name}: {text}"
        for name, board in boards.items()
        for text in complaints(name, board, metrics)
    ]
    for text in found:
        print(text, file=sys.stderr)
    if not found:
        count = sum(len(list(queries(board))) for board in boards.values())
        print(f"{len(boards)} dashboard(s), {count} queries: all is well")
    return 1 if found or not boards else 0


if __name__ == "__main__":
    sys.exit(main())
