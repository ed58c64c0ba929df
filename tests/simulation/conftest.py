"""A server for the simulated worlds of a module; what dead actors leave is no mistake of a test."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.seeds import server_of_our_own
from tests.simulation.wire import Server


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """What is left of dead actors goes here, and not in another test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def server(server_binary: Path | None) -> Iterator[Server]:
    """A server of these tests alone: they empty it."""
    with server_of_our_own(server_binary) as one:
        yield one
