"""Previews of the boards as SVG, from what a Prometheus answers: for README, not for operators.

No Grafana takes part: the layout is the board's, the numbers are real, the look is ours, and the
picture says so. tests/ops/pictures.py makes them: python -m tests.ops.pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

COLUMN, LINE = 50, 22
"""Pixels of one of 24 columns, and of a unit of height."""
PALETTE = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#e02f44", "#b877d9", "#8ab8ff", "#96d98d")
FONT = 'font-family="sans-serif" font-size="11" fill="#ccccdc"'
LEGENDS = 4
"""Lines of a panel that are named below it."""
NOTE = (
    "A preview: drawn by a script of luaflow from real answers of Prometheus, by no Grafana."
    " Two small workers, one scheduler, one luaflow serve, some things broken on purpose."
)


class Series(NamedTuple):
    """A line of a panel: its name, and (time, value) pairs."""

    name: str
    points: Sequence[tuple[float, float]]


def picture(board: Mapping[str, Any], answers: Mapping[int, Sequence[Series]]) -> str:
    """The SVG of a board; ``answers`` by the id of the panel."""
    bottom = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in board["panels"])
    width, height = 24 * COLUMN + 8, bottom * LINE + 64
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {FONT}>',
        f'<rect width="{width}" height="{height}" fill="#111217"/>',
        _text(10, 24, board["title"], 'font-size="17" fill="#ffffff"'),
        _text(10, 42, NOTE, 'fill="#8e8e99"'),
    ]
    for panel in board["panels"]:
        place = panel["gridPos"]
        x, y = place["x"] * COLUMN + 4, place["y"] * LINE + 52
        w, h = place["w"] * COLUMN, place["h"] * LINE
        if panel["type"] == "row":
            parts.append(_text(x + 4, y + 16, panel["title"], 'font-size="13" fill="#ffffff"'))
            continue
        parts.append(
            f'<svg x="{x + 2}" y="{y + 2}" width="{w - 4}" height="{h - 4}">'
            f'<rect width="{w - 4}" height="{h - 4}" rx="3" fill="#181b1f"/>'
        )
        parts.append(_text(8, 16, panel["title"], 'fill="#ffffff"'))
        unit = panel["fieldConfig"]["defaults"]["unit"]
        draw = _DRAW[panel["type"]]
        parts += draw(answers.get(panel["id"], ()), unit, w - 4, h - 4, panel)
        parts.append("</svg>")
    return "\n".join([*parts, "</svg>", ""])


def spelled(value: float, unit: str) -> str:
    """A number as people read it, in the unit of Grafana's name."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        for least, name in _TIMES:
            if abs(value) >= least:
                return f"{value / least:.3g} {name}"
        return "0 s"
    step, names = (1024, "KMGT") if unit == "bytes" else (1000, "kMGT")
    power = 0
    while abs(value) >= step and power < len(names):
        value, power = value / step, power + 1
    ending = {"bytes": "iB" if power else "B", "ops": "/s"}.get(unit, "")
    gap = " " if power or unit == "bytes" else ""
    return f"{value:.3g}{gap}{names[power - 1] if power else ''}{ending}"


_TIMES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))


def _text(x: float, y: float, text: str, how: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {how}>{escape(text)}</text>'


def _stat(
    series: Sequence[Series], unit: str, w: int, h: int, panel: Mapping[str, Any]
) -> Iterator[str]:
    values = [value for one in series for _, value in one.points[-1:] if not math.isnan(value)]
    text = spelled(values[0], unit) if values else "no data"
    color = _color(values[0], panel) if values else "#8e8e99"
    how = f'font-size="26" text-anchor="middle" fill="{color}"'
    yield _text(w / 2, h / 2 + 18, text, how)


def _color(value: float, panel: Mapping[str, Any]) -> str:
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", ())
    name = "green"
    for step in steps:
        if step["value"] is None or value >= step["value"]:
            name = step["color"]
    return {"green": "#73bf69", "red": "#f2495c"}[name]


def _lines(
    series: Sequence[Series], unit: str, w: int, h: int, _panel: Mapping[str, Any]
) -> Iterator[str]:
    shown = [one for one in series if any(not math.isnan(v) for _, v in one.points)]
    shown.sort(key=lambda one: -max(v for _, v in one.points if not math.isnan(v)))
    rows = min(len(shown), LEGENDS)
    left, top, right, bottom = 54, 28, w - 8, h - 14 - 13 * rows
    highest = max((v for one in shown for _, v in one.points if not math.isnan(v)), default=0) or 1
    times = [t for one in shown for t, _ in one.points]
    first, last = min(times, default=0), max(times, default=1)
    for share in (0, 0.5, 1):
        y = bottom - (bottom - top) * share
        yield f'<path d="M{left} {y:.0f}H{right}" stroke="#2c3038"/>'
        yield _text(left - 4, y + 4, spelled(highest * share, unit), 'text-anchor="end"')
    span = (last - first) or 1
    for i, one in enumerate(shown):
        color = PALETTE[i % len(PALETTE)]
        path, pen = [], "M"
        for t, value in one.points:
            if math.isnan(value):
                pen = "M"
                continue
            x = left + (right - left) * (t - first) / span
            path.append(f"{pen}{x:.0f} {bottom - (bottom - top) * value / highest:.1f}")
            pen = "L"
        yield f'<path d="{"".join(path)}" fill="none" stroke="{color}" stroke-width="1.5"/>'
        if i < LEGENDS:
            y = h - 13 * (rows - i) + 5
            yield f'<rect x="8" y="{y - 7}" width="10" height="3" fill="{color}"/>'
            more = (
                f"  … and {len(shown) - LEGENDS} more" if i == LEGENDS - 1 < len(shown) - 1 else ""
            )
            yield _text(22, y, one.name + more)


def _table(
    series: Sequence[Series], unit: str, w: int, h: int, _panel: Mapping[str, Any]
) -> Iterator[str]:
    last = max((one.points[-1][0] for one in series), default=0)
    now = [one for one in series if one.points[-1][0] == last]
    for i, one in enumerate(now[: (h - 36) // 16]):
        yield _text(10, 38 + 16 * i, one.name)
        yield _text(w - 10, 38 + 16 * i, spelled(one.points[-1][1], unit), 'text-anchor="end"')


def _heatmap(
    series: Sequence[Series], unit: str, w: int, h: int, _panel: Mapping[str, Any]
) -> Iterator[str]:
    ordered = sorted(series, key=lambda one: float(one.name))
    cells = list(_cells(ordered))
    most = max((count for _, _, count in cells), default=0) or 1
    times = sorted({t for t, _, _ in cells})
    left, top, right, bottom = 54, 28, w - 8, h - 14
    if not times:
        return
    wide, high = (right - left) / len(times), (bottom - top) / len(ordered)
    column = {t: i for i, t in enumerate(times)}
    for t, row, count in cells:
        if count > 0:
            x, y = left + wide * column[t], bottom - high * (row + 1)
            yield (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" '
                f'fill="#ff780a" fill-opacity="{0.15 + 0.85 * count / most:.2f}"/>'
            )
    for i in range(0, len(ordered), 4):
        bound = float(ordered[i].name)
        text = "+Inf" if math.isinf(bound) else spelled(bound, unit)
        yield _text(left - 4, bottom - high * i, text, 'text-anchor="end"')


def _cells(ordered: Sequence[Series]) -> Iterable[tuple[float, int, float]]:
    """Time, row and count of each cell; buckets of Prometheus hold those below them, too."""
    below: dict[float, float] = {}
    for row, one in enumerate(ordered):
        for t, value in one.points:
            yield t, row, value - below.get(t, 0)
            below[t] = value


_DRAW = {"stat": _stat, "timeseries": _lines, "table": _table, "heatmap": _heatmap}
