"""Logs: the standard library's, as text or JSON, with the fields of what is being worked on.

Only a process of luaflow calls setup_logging(); as a library luaflow leaves handlers alone, and
``AddFields`` is for those of the program that uses it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol, TextIO

import orjson

from luaflow.activity import Info, current
from luaflow.domain.headers import PARENT, trace_id_of
from luaflow.domain.lanes import base_of
from luaflow.observe.tracing import current_trace_id

LEVELS: Final = "debug, info, warning or error, for one logger NAME=LEVEL, with commas between"

_fields: ContextVar[Mapping[str, Any]] = ContextVar("luaflow_log_fields", default={})  # noqa: B039 - never changed in place

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def log_fields(**fields: Any) -> Iterator[None]:
    """Add fields (run_id, workflow, queue, attempt, trace_id…) to each line logged inside.

    Goes with the asyncio task, or the thread, that entered it.
    """
    token = _fields.set({**_fields.get(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def current_fields() -> Mapping[str, Any]:
    """The fields that a line logged now would carry.

    In a Python activity those of its attempt, whichever logger it uses; and the trace, if any.
    """
    context = current.get()
    fields = {**(attempt_fields(context.info) if context else {}), **_fields.get()}
    if "trace_id" not in fields and (trace := current_trace_id()):
        fields["trace_id"] = trace
    return fields


class Run(Protocol):
    """Whatever names a run of a workflow."""

    @property
    def workflow_id(self) -> str:
        """Its workflow id."""

    @property
    def run_id(self) -> str:
        """Its run id."""


def run_fields(run: Run | str, *, workflow_type: str = "", **more: Any) -> dict[str, Any]:
    """The fields of a line about a run, or a run id, for ``extra``; none that is empty."""
    named = {
        "run_id": run if isinstance(run, str) else run.run_id,
        "workflow_id": getattr(run, "workflow_id", ""),
        "workflow_type": workflow_type,
        "queue": base_of(getattr(run, "queue", "")),
    }
    return {name: value for name, value in {**named, **more}.items() if value}


def attempt_fields(info: Info) -> dict[str, Any]:
    """The fields of a line about an attempt of an activity, or of a plain job."""
    more = {"activity": info.activity, "attempt": info.attempt, "job_id": info.job_id}
    trace = trace_id_of({PARENT: info.traceparent}) if info.traceparent else ""
    fields = run_fields(info, workflow_type=info.workflow_type, queue=info.task_queue, **more)
    return fields | ({"trace_id": trace} if trace else {})


class AddFields(logging.Filter):
    """Gives the records that pass a handler of yours the fields they would have in our lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what the record does not have."""
        for name, value in current_fields().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def setup_logging(
    style: Literal["text", "json"] = "text",
    level: str = "INFO",
    stream: TextIO | None = None,
) -> None:
    """Log to ``stream`` (standard error when None), replacing the handlers of the root logger.

    ``level`` may name levels of loggers, too: ``info,luaflow.store=debug``. Raises ValueError for
    a level that logging does not know.
    """
    first, *others = (part.strip() for part in level.split(","))
    if "=" in first:
        first, others = "INFO", [first, *others]
    levels = {name: of.upper() for name, _, of in (part.partition("=") for part in others)}
    for text in (first.upper(), *levels.values()):
        if text not in logging.getLevelNamesMapping():
            raise ValueError(f"{text or level!r} is no level: say {LEVELS}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=first.upper(), handlers=[handler], force=True)
    for name, of in levels.items():
        logging.getLogger(name).setLevel(of)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, the fields, and exception.

    ``fields`` is what Lua code gave to its logger, an object.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write the record; a value that JSON cannot hold is written as its repr."""
        line = {
            "ts": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in _all_fields(record).items() if name not in line}
        if isinstance(given := line.get("fields"), str):
            with suppress(orjson.JSONDecodeError):
                line["fields"] = orjson.loads(given)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _dump(line)


class TextFormatter(logging.Formatter):
    """A line for people: time, level, message, then the fields as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record and, below it, the traceback."""
        fields = "".join(f" {name}={value}" for name, value in _all_fields(record).items())
        line = f"{_when(record)} {record.levelname:<7} {record.getMessage()}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _all_fields(record: logging.LogRecord) -> dict[str, Any]:
    extra = {name: value for name, value in vars(record).items() if name not in _OWN}
    return {**current_fields(), **extra}


def _when(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dump(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # broken Unicode, an integer beyond 64 bit
        return orjson.dumps({name: ascii(value) for name, value in line.items()}).decode()
