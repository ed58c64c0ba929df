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

from luaflow.observe.build import tell_build

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class WebMetrics:
    """Registers the metrics of HTTP with ``registry``; routes are as they stand in the app."""

    def __init__(self, registry: CollectorRegistry, in_flight: Callable[[], int]) -> None:
        """``in_flight`` tells, at each scrape, how many requests are being answered."""
        disable_created_metrics()  # type: ignore[no-untyped-call] # rate() says it better
        tell_build(registry)
        self._requests = Counter(
            "luaflow_http_requests",
            "Requests to routers with the middleware metrics, by route (method and path) and code.",
            ["route", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "luaflow_http_request_seconds",
            "Of the same requests: from the head to the end of the response.",
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
