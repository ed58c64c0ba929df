"""Fixtures of the payload codecs' tests."""

from tests.support.engine import engine, make_engine

__all__ = ["engine", "make_engine"]
