"""Spans of this process, with the real SDK; and handlers of activities that make their own."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from luaflow import activity

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

log = logging.getLogger("shop.cards")


def installed() -> bool:
    """Whether the SDK is there; where CI runs it has to be, and an import says so if it is not."""
    try:
        return (
            bool(os.environ.get("CI")) or importlib.util.find_spec("opentelemetry.sdk") is not None
        )
    except ModuleNotFoundError:
        return False


needs_sdk = pytest.mark.skipif(not installed(), reason="opentelemetry-sdk is not installed")


class Spans:
    """What was traced so far, in the order of beginning."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter

    def all(self, name: str = "") -> list[ReadableSpan]:
        """All spans that have ended, or those whose name begins so."""
        found = [s for s in self._exporter.get_finished_spans() if s.name.startswith(name)]
        return sorted(found, key=lambda span: span.start_time)

    def one(self, name: str) -> ReadableSpan:
        """The only span of that name."""
        (found,) = self.all(name)
        return found


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """A provider of this test alone, as a user would have set one up."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield Spans(exporter)
    provider.shutdown()


def hex_of(span: ReadableSpan) -> str:
    """The id of a span as headers have it."""
    return f"{span.context.span_id:016x}"


def trace_of(span: ReadableSpan) -> str:
    """The id of its trace."""
    return f"{span.context.trace_id:032x}"


def parent_of(span: ReadableSpan) -> str:
    """The id of the span it is under; '' for one that begins a trace."""
    return f"{span.parent.span_id:016x}" if span.parent else ""


def links_of(span: ReadableSpan) -> list[str]:
    """The ids of the spans it links to."""
    return [f"{link.context.span_id:016x}" for link in span.links]


# -- handlers --------------------------------------------------------------------------------------


async def charge(amount: int) -> str:
    """Charge, in a span of its own."""
    from opentelemetry import trace

    with trace.get_tracer("shop").start_as_current_span("bank"):
        log.info("charging %d", amount)
    return activity.info().traceparent


def ship(attempts: int) -> str:
    """Fail until the attempt of that number, on a thread."""
    if activity.info().attempt < attempts:
        raise RuntimeError("no van")
    log.info("shipped")
    return activity.info().traceparent
