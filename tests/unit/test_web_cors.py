"""Which origins a router's `cors` lets read its answers."""

from __future__ import annotations

import pytest

from luaflow_web.middleware import Cors


@pytest.mark.parametrize(
    ("wanted", "origin", "allowed"),
    [
        ("*", "https://a.example", True),
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "http://a.example", False),
        ("*.example.com", "https://app.example.com", True),
        ("*.example.com", "http://a.b.example.com:8080", False),
        ("*.example.com:8080", "http://a.b.example.com:8080", True),
        ("*.example.com", "https://example.com", False),
        ("*.example.com", "https://badexample.com", False),
        ("https://*.example.com", "https://app.example.com", True),
        ("https://*.example.com", "http://app.example.com", False),
        ("x, *.example.com", "https://app.example.com", True),
    ],
)
def test_origins(wanted: str, origin: str, allowed: bool) -> None:
    """Whole ones, all, and those below a domain."""
    assert Cors.of({"cors.allow.origins": wanted}).allows(origin) is allowed
