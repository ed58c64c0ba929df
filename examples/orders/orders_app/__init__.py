"""The Python side of the order application."""

from __future__ import annotations
