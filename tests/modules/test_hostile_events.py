"""Patterns of events that would cost every event of the process much."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.modules.support_modules import in_function


@pytest.mark.parametrize("pattern", ["**a", "*a"])
async def test_patterns_of_many_wildcards(tmp_path: Path, pattern: str) -> None:
    """Ten are enough for anybody, eleven are refused, in either place."""
    body = f"""local p = "{pattern}"
        local ok = events.subscribe(p:rep(10), p:rep(10))
        return {{ok ~= nil, select(2, events.subscribe(p:rep(11))):kind(),
            select(2, events.subscribe("x", p:rep(11))):kind()}}"""
    assert await in_function(tmp_path, body, modules=("events",)) == [True, "Invalid", "Invalid"]
