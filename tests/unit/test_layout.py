"""Each room holds one package and nothing else that Python could import."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "shared": "luaflow",
    "worker": "luaflow_worker",
    "scheduler": "luaflow_scheduler",
    "web": "luaflow_web",
    "cli": "luaflow_cli",
}


@pytest.mark.parametrize(("room", "package"), ROOMS.items())
def test_room_holds_only_its_package(room: str, package: str) -> None:
    """A stray module in a room would be a top-level name of every editable install."""
    importable = {
        path.stem
        for path in (ROOT / room).iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    }
    assert importable == {package}


@pytest.mark.parametrize(("room", "package"), ROOMS.items())
def test_package_says_that_it_is_typed(room: str, package: str) -> None:
    """Type checkers of users read our annotations only with the marker."""
    assert (ROOT / room / package / "py.typed").exists()
    assert (ROOT / room / package / "__init__.py").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_the_image_has_every_room(room: str) -> None:
    """An image that lacks a package is found here, not in production: it is not built here."""
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    assert f"COPY {room} {room}" in lines
