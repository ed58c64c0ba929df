"""What each process tells of itself: which luaflow it is."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

import luaflow


def tell_build(registry: CollectorRegistry, lua: str = "lua54") -> None:
    """Register ``luaflow_build_info``; ``lua`` names the engine that runs the code."""
    build = Gauge(
        "luaflow_build_info",
        "Always 1; the labels name the version of luaflow and its Lua engine.",
        ["version", "lua"],
        registry=registry,
    )
    build.labels(luaflow.__version__, lua).set(1)
