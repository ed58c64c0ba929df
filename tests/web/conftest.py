"""What the tests of HTTP share."""

from __future__ import annotations

from tests.support.engine import engine, make_engine

__all__ = ["engine", "make_engine"]
