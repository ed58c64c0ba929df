"""The parts of a dashboard, from short to Grafana's JSON; the boards are in tools/boards.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = {
    "job": ("Job", "label_values(luaflow_build_info, job)"),
    "queue": ("Queue", "label_values(luaflow_queue_backlog_tasks, queue)"),
    "workflow": ("Workflow", "label_values(luaflow_workflow_closed_total, workflow)"),
    "activity": ("Activity", "label_values(luaflow_activity_attempts_total, activity)"),
}
"""Name -> label and query. All boards have ``job``: it tells several luaflows apart."""
_METRIC = re.compile(r"\b((?:luaflow|process|python)_\w+)(\{)?")


class Panel(NamedTuple):
    """A panel; ``targets``: queries and legends. ``good`` and ``bad`` colour a single number."""

    type: str
    title: str
    unit: str
    text: str
    targets: Sequence[tuple[str, str]]
    bad: float | None = None
    below: bool = False
    """Whether a number below ``bad`` is the bad one."""


class Row(NamedTuple):
    """A heading and the panels below it; ``width`` of each in 24 columns."""

    title: str
    panels: Sequence[Panel]
    width: int = 8


def number(
    title: str, unit: str, text: str, query: str, bad: float | None = None, *, below: bool = False
) -> Panel:
    """A single number; from ``bad`` on it is red (``below``: below it)."""
    return Panel("stat", title, unit, text, [(query, title)], bad, below)


def lines(title: str, unit: str, text: str, *targets: tuple[str, str]) -> Panel:
    """Lines over time."""
    return Panel("timeseries", title, unit, text, targets)


def table(title: str, unit: str, text: str, query: str) -> Panel:
    """Rows of labels and a number."""
    return Panel("table", title, unit, text, [(query, "")])


def heatmap(title: str, unit: str, text: str, histogram: str) -> Panel:
    """How often which bucket of a histogram was met, over time."""
    query = f"sum by (le) (rate({histogram}_bucket[$__rate_interval]))"
    return Panel("heatmap", title, unit, text, [(query, "{{le}}")])


def rate(metric: str, by: str = "") -> str:
    """How fast a counter grows, of all series together or ``by`` labels."""
    return f"sum{f' by ({by}) ' if by else ''}(rate({metric}[$__rate_interval]))"


def quantile(q: float, histogram: str, by: str = "", matching: str = "") -> str:
    """A quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket{matching}', labels)})"


def quantiles(histogram: str, by: str = "", matching: str = "") -> list[tuple[str, str]]:
    """Its median, 95th and 99th percentile, with legends."""
    legend = f"{{{{{by}}}}} " if by else ""
    return [
        (quantile(q, histogram, by, matching), f"{legend}p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)
    ]


def board(name: str, title: str, text: str, names: Sequence[str], rows: Iterable[Row]) -> Any:
    """The JSON of a board with the variables of these names."""
    return {
        "uid": name,
        "title": title,
        "description": text,
        "tags": ["luaflow"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": [_GRAFANAS, _VERSIONS]},
        "links": [_LINKS],
        "templating": {"list": [_DATASOURCE, *map(_variable, ("job", *names))]},
        "panels": _laid_out(rows),
    }


def of_job(query: str) -> str:
    """A query with each metric of ours narrowed to the jobs that were chosen."""
    return _METRIC.sub(lambda m: m[1] + '{job=~"$job"' + (", " if m[2] else "}"), query)


_GRAFANAS = {
    "builtIn": 1,
    "datasource": {"type": "grafana", "uid": "-- Grafana --"},
    "enable": True,
    "hide": True,
    "iconColor": "rgba(0, 211, 255, 1)",
    "name": "Annotations & Alerts",
    "type": "dashboard",
}
_BUILDS = of_job("count by (version) (luaflow_build_info)")
_VERSIONS = {
    "datasource": SOURCE,
    "enable": True,
    "iconColor": "purple",
    "name": "New version",
    "expr": f"{_BUILDS} unless {_BUILDS[:-1]} offset 2m)",
    "titleFormat": "luaflow {{version}}",
    "step": "60s",
}
_LINKS = {
    "type": "dashboards",
    "title": "luaflow",
    "tags": ["luaflow"],
    "asDropdown": True,
    "includeVars": True,
    "keepTime": True,
    "icon": "external link",
    "targetBlank": False,
    "tooltip": "",
    "url": "",
}
_DATASOURCE = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "current": {},
    "refresh": 1,
}


def _variable(name: str) -> Any:
    label, query = VARIABLES[name]
    if name != "job":
        query = of_job(query)
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "v"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {},
    }


def _laid_out(rows: Iterable[Row]) -> list[Any]:
    """Rows below each other, their panels from left to right."""
    found: list[Any] = []
    y = 0
    for row in rows:
        place = {"h": 1, "w": 24, "x": 0, "y": y}
        found.append(
            {
                "id": len(found) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        y += 1
        height = 4 if all(panel.type == "stat" for panel in row.panels) else 8
        for i, panel in enumerate(row.panels):
            line, column = divmod(i, 24 // row.width)
            place = {
                "h": height,
                "w": row.width,
                "x": column * row.width,
                "y": y + line * height,
            }
            found.append({"id": len(found) + 1, **_panel(panel), "gridPos": place})
        y += height * -(-len(row.panels) // (24 // row.width))
    return found


def _panel(panel: Panel) -> Any:
    targets: list[Any] = []
    for i, (query, legend) in enumerate(panel.targets):
        target = {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": of_job(query)}
        target |= {"legendFormat": legend} if legend else {}
        target |= _FORMS.get(panel.type, {})
        targets.append(target)
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.bad is not None:
        colors = ("red", "green") if panel.below else ("green", "red")
        steps = [{"color": colors[0], "value": None}, {"color": colors[1], "value": panel.bad}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.type == "timeseries":
        defaults |= {"min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}
    return {
        "type": panel.type,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.type],
    }


_FORMS: dict[str, dict[str, Any]] = {
    "table": {"format": "table", "instant": True},
    "heatmap": {"format": "heatmap"},
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {
        "colorMode": "value",
        "graphMode": "area",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "table": {"showHeader": True},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}, "color": {"mode": "scheme"}},
}
