"""Vitals: what every process of luaflow tells of itself: its loop, its connection, its memory."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

# The buckets of the library end at 10 s; what waits may wait for longer.
SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300, 1800),
)
"""The buckets of everything that is a wait or a delay, in seconds."""


class Vitals:
    """Registers them with ``registry``; nothing here is called on a hot path."""

    def __init__(self, registry: CollectorRegistry, connected: Callable[[], bool]) -> None:
        """``connected()`` is asked at each scrape, on a thread."""
        self.late = Histogram(
            "luaflow_event_loop_late_seconds",
            "How much later than asked for the event loop came back; measured once a second.",
            buckets=SECONDS,
            registry=registry,
        ).observe
        self.round_trip = Histogram(
            "luaflow_redis_round_trip_seconds",
            "Time of a periodic call to the server, its way and this process's loop included.",
            buckets=SECONDS,
            registry=registry,
        ).observe
        Gauge(
            "luaflow_redis_connected",
            "1 while the connection of this process to the server stands.",
            registry=registry,
        ).set_function(lambda: float(connected()))
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
