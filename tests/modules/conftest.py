"""The whole engine, for tests that cross every boundary."""

from __future__ import annotations

import pytest
from tests.support.engine import Engine, Make, make_engine

__all__ = ["engine", "make_engine"]


@pytest.fixture
async def engine(make_engine: Make) -> Engine:
    """An engine; at its end all runs are replayed and compared."""
    return await make_engine()
