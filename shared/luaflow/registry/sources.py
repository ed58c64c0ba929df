"""`file://` references: content from inside the source folder, and from nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_SOURCE_BYTES: Final = 1024 * 1024
PREFIX: Final = "file://"
LUA_SUFFIXES: Final = (".lua", ".luau")


class SourceError(Exception):
    """A `file://` reference that cannot be followed; holds what is wrong and the remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Source:
    """Lua text with its names: `chunk` in stack traces (the same on every machine), `file` and
    `first_line` (from 1) for people who edit it here.
    """

    text: str
    chunk: str
    file: str
    first_line: int = 1

    def line(self, lua_line: int) -> int:
        """The line of `file` that holds line `lua_line` of the text."""
        return self.first_line + lua_line - 1


def locate(reference: str, yaml_path: Path, root: Path) -> Path:
    """The file a `file://` reference names: relative to the YAML file, or `/` from the root.

    Raises SourceError for an empty path, one that leaves `root` (by `..` or by a link), or one
    that does not exist.
    """
    relative = reference.removeprefix(PREFIX)
    if not relative.strip("/") or "\0" in relative:
        raise SourceError(f"{reference!r} names no file", "write file:// and a relative path")
    base = root if relative.startswith("/") else yaml_path.parent
    wanted = base / relative.lstrip("/")
    try:
        resolved = wanted.resolve()
        there = resolved.is_file()
    except OSError as error:  # a name that is too long, a loop of links
        raise SourceError(f"{reference[:80]} cannot be: {error.strerror}", "fix the path") from None
    if not resolved.is_relative_to(root.resolve()):
        raise SourceError(f"{reference} leaves the app folder", "move the file into the app folder")
    if not there:
        raise SourceError(
            f"{reference} does not exist", f"create {wanted.name} beside the YAML file, or fix it"
        )
    return resolved


def read(path: Path, reference: str) -> str:
    """The text of a located file. Raises SourceError above 1 MiB and for what is not UTF-8."""
    with path.open("rb") as stream:
        raw = stream.read(MAX_SOURCE_BYTES + 1)
    if len(raw) > MAX_SOURCE_BYTES:
        raise SourceError(
            f"{reference} has more than {MAX_SOURCE_BYTES} bytes", "split it into libraries"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SourceError(
            f"{reference} is not UTF-8 text (line {line})",
            "save it as UTF-8; write other bytes as escapes, such as \\255",
        ) from None
