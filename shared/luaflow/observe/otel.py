"""The half of ``tracing`` that speaks OpenTelemetry; imported where that is set up only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from luaflow.domain.headers import PARENT, STATE, Headers

Kind = Literal["producer", "consumer"]
Attributes = Mapping[str, str | int | bool]

_KINDS = {"producer": SpanKind.PRODUCER, "consumer": SpanKind.CONSUMER}
_W3C = TraceContextTextMapPropagator()


class Span:
    """A span that has begun; ``headers`` are its context, for what it leads to."""

    __slots__ = ("headers", "span")

    def __init__(self, span: trace.Span) -> None:
        self.span = span
        self.headers = headers_of(span.get_span_context()) or {}

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        self.span.set_attributes(dict(attributes))

    def fail(self, kind: str, message: str) -> None:
        """Note that what it stands for has failed."""
        self.span.set_attribute("error.type", kind or "error")
        self.span.set_status(Status(StatusCode.ERROR, message))

    def end(self) -> None:
        """End it, now."""
        self.span.end()


def tracer_of(provider: object) -> Tracer | None:
    """The tracer of a provider; None for one that makes no spans."""
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    assert isinstance(provider, trace.TracerProvider)
    tracer = provider.get_tracer("luaflow")
    return None if isinstance(tracer, trace.NoOpTracer) else tracer


def begin(
    tracer: Tracer,
    name: str,
    kind: Kind,
    attributes: Attributes,
    parent: Headers | None,
    links: Sequence[Headers],
) -> Span:
    """Begin a span under ``parent``, or one that begins a trace."""
    contexts = [trace.get_current_span(context_of(link)).get_span_context() for link in links]
    return Span(
        tracer.start_span(
            name,
            context=context_of(parent) if parent else Context(),
            kind=_KINDS[kind],
            attributes=dict(attributes),
            links=[Link(context) for context in contexts if context.is_valid],
        )
    )


@contextmanager
def entered(span: Span) -> Iterator[None]:
    """What begins inside belongs to the span; how it ends is said elsewhere."""
    with trace.use_span(span.span, record_exception=False, set_status_on_exception=False):
        yield


@contextmanager
def sending(tracer: Tracer, name: str, attributes: Attributes) -> Iterator[Span]:
    """A span under the present one; an error that leaves it is its status."""
    with tracer.start_as_current_span(
        name, kind=SpanKind.PRODUCER, attributes=dict(attributes), record_exception=False
    ) as span:
        yield Span(span)


@contextmanager
def under(headers: Headers) -> Iterator[None]:
    """What begins inside is under the span of another process."""
    token = attach(context_of(headers))
    try:
        yield
    finally:
        detach(token)


def current_headers() -> Headers | None:
    """The context of the present span; None without one."""
    return headers_of(trace.get_current_span().get_span_context())


def headers_of(context: SpanContext) -> Headers | None:
    """A context as headers; None for that of no span."""
    if not context.is_valid:
        return None
    flags = f"{context.trace_flags:02x}"
    headers = {PARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags}"}
    if context.trace_state:
        headers[STATE] = context.trace_state.to_header()
    return headers


def context_of(headers: Headers) -> Context:
    """The context that headers stand for, and nothing else in it."""
    return _W3C.extract(headers, context=Context())


def set_up(exporters: Sequence[Any]) -> None:
    """Make a provider that hands on to exporters; sampler and resource are as OTEL_… says.

    Raises ImportError where the SDK is not installed.
    """
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the user's
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider()
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def flush() -> None:
    """Hand over what was traced."""
    getattr(trace.get_tracer_provider(), "force_flush", bool)()
