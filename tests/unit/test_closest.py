"""Which name may have been meant."""

from __future__ import annotations

import pytest

from luaflow.domain.ids import closest


@pytest.mark.parametrize(
    ("wanted", "names", "meant"),
    [
        ("app:pya", ["app:ship", "app:pay"], "app:pay"),
        ("app:nope", ["app:pay", "app:ship", "app:wf"], None),  # all share app:
        ("pay", ["app:ship", "app:pay"], "app:pay"),
        ("shop:pay", ["app:paid", "app:pay"], "app:pay"),
        ("shop:pay", ["app:pay", "shp:pay"], "shp:pay"),
        ("app:x", [], None),
    ],
)
def test_closest(wanted: str, names: list[str], meant: str | None) -> None:
    """What stands after the namespace decides; the namespace only between equals."""
    assert closest(wanted, names) == meant
