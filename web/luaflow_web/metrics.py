"""WebMetrics: what `luaflow serve` counts and measures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class WebMetrics:
    """Registers the metrics of HTTP with ``registry``; routes are as they stand in the app."""

    def __init__(self, registry: CollectorRegistry, in_flight: Callable[[], int]) -> None:
        """``in_flight`` tells, at each scrape, how many requests are being answered."""
        disable_created_metrics()  # type: ignore[no-untyped-call] # rate() says it better
        self._requests = Counter(
            "luaflow_http_requests",
            "Requests that were answered, by route (method and path) and status code.",
            ["route", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "luaflow_http_request_seconds",
            "Time from the head of a request to the end of its response.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        Gauge(
            "luaflow_http_requests_in_flight",
            "Requests to the app's services that are being answered.",
            registry=registry,
        ).set_function(in_flight)

    def answered(self, route: str, code: int, seconds: float) -> None:
        """Count and measure a request."""
        self._requests.labels(route, str(code)).inc()
        self._seconds.labels(route).observe(seconds)
