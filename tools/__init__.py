"""Checks and generators of this repository; run from its root as python -m tools.<name>."""
