"""The reference in docs/reference is of today."""

from __future__ import annotations

import pytest
from tools.event_fields import EVENTS
from tools.generate_reference import FOLDER, all_events, pages


@pytest.mark.parametrize(
    "name", ["cli.md", "events.md", "http-api.md", "keys.md", "scripts.md", "values.md"]
)
def test_page_is_of_today(name: str) -> None:
    """A page is what the generator writes from the code that is there."""
    page = FOLDER / name
    stale = f"{name} is stale: run .venv/bin/python -m tools.generate_reference"
    assert page.exists(), stale
    assert page.read_text() == pages()[name], stale


def test_no_page_is_left_over() -> None:
    """Nothing in the folder is written by hand, or by a generator that is gone."""
    assert {page.name for page in FOLDER.iterdir()} == set(pages())


def test_every_event_is_described() -> None:
    """The descriptions name the events of the code, all of them and no others."""
    assert set(EVENTS) == all_events()
