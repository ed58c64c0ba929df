"""Every test here gets a whole engine, once of 16 partitions, once of one.

At its end all runs are replayed and compared.
"""

from __future__ import annotations

import pytest
from tests.support.engine import Engine, Make, make_engine

__all__ = ["engine", "make_engine"]


@pytest.fixture(params=[16, 1], ids=["P16", "P1"])
async def engine(make_engine: Make, request: pytest.FixtureRequest) -> Engine:
    """An engine; deploy code and start workers as the test needs them."""
    # what a dead worker was to do in its own queue is soon given to others
    return await make_engine(partitions=request.param, sticky_timeout_ms=500)
