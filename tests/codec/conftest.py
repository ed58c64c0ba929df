"""Fixtures of the payload codecs' tests."""

from __future__ import annotations

from tests.support.engine import engine, make_engine

__all__ = ["engine", "make_engine"]
