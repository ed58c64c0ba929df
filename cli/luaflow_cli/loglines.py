"""What Lua code writes with print and logger, as lines for people."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import orjson

_LOG = "luaflow.lua"  # where print and logger of all Lua code write


@contextlib.contextmanager
def log_lines(write: Callable[[str], object]) -> Iterator[None]:
    """Hand on each line that Lua code writes meanwhile, and warnings of everything else."""
    handler = _Lines(write)
    root, lua = logging.getLogger(), logging.getLogger(_LOG)
    level = lua.level
    lua.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        lua.setLevel(level)


class _Lines(logging.Handler):
    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on a line: where it was written, its level, the text, further fields as JSON."""
        if record.name != _LOG and record.levelno < logging.WARNING:
            return
        fields = orjson.loads(getattr(record, "fields", "") or "{}")
        place = fields.pop("location", "")
        fields.pop("pid", None)  # of whom: the place says more
        start = f"{place}: " if place else ""
        end = f" {orjson.dumps(fields).decode()}" if fields else ""
        self._write(f"{start}{record.levelname.lower()}: {record.getMessage()}{end}")
