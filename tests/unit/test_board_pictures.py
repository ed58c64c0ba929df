"""The previews of the boards: whole, labelled as what they are, with numbers that people read."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest
from tools.board_pictures import NOTE, Series, picture, spelled
from tools.check_dashboards import load, panels
from tools.programs import ROOT

IMAGES = ROOT / "docs" / "images"


@pytest.mark.parametrize("name", load())
def test_picture_shows_every_panel(name: str) -> None:
    """Also of numbers that are none, of one point, of nothing at all; and it says what it is."""
    board = load()[name]
    for points in ([(0.0, 1.0), (1.0, math.nan), (2.0, 3.0)], [(0.0, 0.0)], [(5.0, math.nan)]):
        answers = {p["id"]: [Series("1", points), Series("+Inf", points)] for p in panels(board)}
        for given in (answers, {}):
            text = picture(board, given)
            shown = {element.text for element in ET.fromstring(text).iter()}
            assert {panel["title"] for panel in board["panels"]} | {NOTE} <= shown


@pytest.mark.parametrize("name", load())
def test_picture_in_the_docs_is_of_this_board(name: str) -> None:
    """What README shows has the panels that the board has."""
    tree = ET.parse(IMAGES / f"{name}.svg")
    shown = {element.text for element in tree.iter()}
    missing = {panel["title"] for panel in load()[name]["panels"]} | {NOTE}
    assert missing - shown == set(), "run .venv/bin/python -m tests.ops.pictures"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.123, "percentunit", "12.3 %"),
        (0, "s", "0 s"),
        (0.0000021, "s", "2.1 µs"),
        (0.0213, "s", "21.3 ms"),
        (90, "s", "1.5 min"),
        (604_800, "s", "7 d"),
        (1536, "bytes", "1.5 KiB"),
        (12, "bytes", "12 B"),
        (2830, "ops", "2.83 k/s"),
        (12.5, "ops", "12.5/s"),
        (1_000_000, "short", "1 M"),
    ],
)
def test_numbers_are_spelled(value: float, unit: str, text: str) -> None:
    """In the units of Grafana's names."""
    assert spelled(value, unit) == text
