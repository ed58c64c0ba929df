"""Logs: the standard library's, as text or JSON, with the fields of what is being worked on.

Only a process of luaflow calls setup_logging(); as a library luaflow leaves handlers alone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson

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
    """The fields that a line logged now would carry."""
    return _fields.get()


def setup_logging(
    style: Literal["text", "json"] = "text",
    level: str = "INFO",
    stream: TextIO | None = None,
) -> None:
    """Log to ``stream`` (standard error when None), replacing the handlers of the root logger.

    Raises ValueError for a level that logging does not know.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, the fields, and exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record; a value that JSON cannot hold is written as its repr."""
        line = {
            "ts": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in _all_fields(record).items() if name not in line}
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
    return {**_fields.get(), **extra}


def _when(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dump(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # broken Unicode, an integer beyond 64 bit
        return orjson.dumps({name: ascii(value) for name, value in line.items()}).decode()
