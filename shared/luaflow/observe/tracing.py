"""Traces by OpenTelemetry in processes that have set it up, and no work in all others.

luaflow needs the API package alone (``luaflow[otel]``); SDK and exporter are the user's. Spans are
made by the engine and never by a replay, and nothing that code of workflows sees comes from one. A
process without OpenTelemetry passes on the trace context that it was given.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from luaflow.domain.headers import PARENT, STATE, Headers, read_headers, trace_id_of

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from luaflow.observe.otel import Attributes, Kind, Span

log = logging.getLogger(__name__)

EXPORTERS: Final = "OTEL_TRACES_EXPORTER"
INSTALL: Final = "pip install 'luaflow[otel]' opentelemetry-sdk"
_SYSTEM: Final = {"messaging.system": "luaflow"}
_NAMES: Final = {"queue": "messaging.destination.name"}

_given: ContextVar[Headers | None] = ContextVar("luaflow_trace", default=None)
"""The trace context that this process was given, where it makes no spans itself."""

_NAMED: Final = "OTEL_PYTHON_TRACER_PROVIDER" in os.environ
_known: tuple[object, Tracer | None] = (None, None)


def _nobody() -> None:
    """OpenTelemetry is not imported, or only just now."""


def _otel() -> Any:
    return importlib.import_module("luaflow.observe.otel")


def _tracer() -> Tracer | None:
    """What makes spans; None where no SDK is set up: nobody can have, who has not imported it."""
    global _known  # noqa: PLW0603 - asked several times a task, and the answer is one a provider
    api = sys.modules.get("opentelemetry.trace")
    # what get_tracer_provider() answers once one is set; it looks into the environment until then
    provider = getattr(api, "_TRACER_PROVIDER", api)
    if provider is api or (provider is None and _NAMED):
        provider = getattr(api, "get_tracer_provider", _nobody)()
    if provider is None:
        return None
    if provider is not _known[0]:
        _known = (provider, _otel().tracer_of(provider))
    return _known[1]


def active() -> bool:
    """Whether this process makes spans."""
    return _tracer() is not None


def begin(
    name: str,
    kind: Kind,
    attributes: Attributes,
    *,
    parent: Headers | None = None,
    links: Sequence[Headers] = (),
) -> Span | None:
    """Begin a span under ``parent``, or one that begins a trace; None where nobody traces."""
    tracer = _tracer()
    if tracer is None:
        return None
    span: Span = _otel().begin(tracer, name, kind, _SYSTEM | dict(attributes), parent, links)
    return span


@contextmanager
def entered(span: Span | None, headers: Headers | None) -> Iterator[None]:
    """What begins inside belongs to the span; without one, to the trace that was given."""
    if span is not None:
        with _otel().entered(span):
            yield
        return
    token = _given.set(headers)
    try:
        yield
    finally:
        _given.reset(token)


class Sending:
    """What a client sends: ``headers`` go with it, where there is a trace."""

    def __init__(self, headers: Headers | None, span: Span | None = None) -> None:
        self.headers = headers
        self._span = span

    def set(self, **attributes: str | int | bool) -> None:
        """Add attributes of luaflow (``run_id``: ``luaflow.run_id``), and its ``queue``."""
        if self._span is not None:
            self._span.set(attributes_of(**attributes))


def attributes_of(**named: str | int | bool) -> dict[str, str | int | bool]:
    """The attributes of a span: all that are not empty."""
    return {
        _NAMES.get(name, f"luaflow.{name}"): value for name, value in named.items() if value != ""
    }


@contextmanager
def sending(name: str, **attributes: str | int | bool) -> Iterator[Sending]:
    """A span of a client under the present one; an error that leaves it is its status."""
    tracer = _tracer()
    if tracer is None:
        yield Sending(_given.get())
        return
    with _otel().sending(tracer, name, _SYSTEM | attributes_of(**attributes)) as span:
        yield Sending(span.headers, span)


@contextmanager
def incoming(headers: Mapping[str, str]) -> Iterator[None]:
    """Go on with the trace of a request, unless somebody has done that already."""
    found = read_headers({key: headers.get(key) for key in (PARENT, STATE)})
    if found is None or (active() and current_headers()):
        yield
    else:
        with _otel().under(found) if active() else entered(None, found):
            yield


def current_headers() -> Headers | None:
    """The context of the present span, else of the trace that was given; None without."""
    if not active():
        return _given.get()
    found: Headers | None = _otel().current_headers()
    return found


def current_trace_id() -> str:
    """The id of the present trace, '' without one."""
    return trace_id_of(current_headers())


def set_up(service: str) -> None:
    """Set the SDK up as its own variables say, where ``OTEL_TRACES_EXPORTER`` names an exporter.

    A trace must not keep work from being done: what is missing is told, and the process goes on.
    """
    names = [name.strip() for name in os.environ.get(EXPORTERS, "").split(",")]
    names = [name for name in names if name not in ("", "none")]
    if not names or active():
        return
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault("OTEL_SERVICE_NAME", service)
    try:
        _otel().set_up([made for name in names if (made := _exporter(name)) is not None])
    except ImportError as error:
        log.warning("%s is set, and nothing is traced: %s: %s", EXPORTERS, error, INSTALL)


def _exporter(name: str) -> Any:
    """A new exporter by its name in OTEL_TRACES_EXPORTER; None, and a word, where there is none."""
    for point in entry_points(group="opentelemetry_traces_exporter", name=name):
        try:
            return point.load()()
        except Exception as error:  # noqa: BLE001 - whatever it finds wrong
            log.warning("nothing is traced to %s: %s", name, error)
            return None
    log.warning("nothing is traced to %s: no installed package has such an exporter", name)
    return None


def flush() -> None:
    """Hand over what was traced, before a process leaves without cleaning up."""
    if active():
        _otel().flush()
