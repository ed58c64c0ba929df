"""YAML files read with care: every value knows its line, and nothing hostile gets in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from luaflow.registry.problems import RegistryError

MAX_BYTES: Final = 256 * 1024
MAX_NODES: Final = 10_000
MAX_DEPTH: Final = 64

Path = tuple[str | int, ...]
"""The way to a value: keys and list positions from the top of the file."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?\d[\d_]*\Z", re.ASCII)
_RADIX = re.compile(r"[-+]?0[xob][0-9a-fA-F_]+\Z", re.ASCII)
_OCTAL = re.compile(r"[-+]?0[0-7]+\Z", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?\Z", re.ASCII)
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(slots=True)
class Document:
    """One file: plain data, and the line (from 1) of every value."""

    file: str
    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    text_lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest thing around it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def text_line(self, path: Path) -> int:
        """The line where the text of a string begins: below the `|` of a block."""
        return self.text_lines.get(path, self.line(path))


def parse(raw: bytes, file: str) -> Document:
    """Read one YAML or JSON file; `file` is its name in messages.

    Refuses more than 256 KiB, 10,000 nodes or 64 levels, aliases, duplicate keys, tags beyond
    the plain ones and a second document. Scalars follow YAML 1.2: `yes` and `on` are text, and
    so are dates. Raises RegistryError.
    """
    if len(raw) > MAX_BYTES:
        raise RegistryError(
            f"the file has {len(raw)} bytes, at most {MAX_BYTES} are read",
            file,
            1,
            "split it into several files",
        )
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise RegistryError("the file is not UTF-8 text", file, line, "save it as UTF-8") from None
    builder = _Builder(Document(file, None))
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or "not YAML"
        line = mark.line + 1 if mark else 1
        raise RegistryError(f"not YAML: {what}", file, line, "mend the syntax here") from None
    except yaml.YAMLError as error:
        first = str(error).partition("\n")[0]
        raise RegistryError(f"not YAML: {first}", file, 1, "remove control characters") from None
    return builder.document


def _events(text: str) -> Iterator[Any]:
    yield from yaml.parse(text, Loader=_LOADER)


def scalar(text: str) -> Any:
    """The value of an unquoted scalar: None, bool, int, float or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if _OCTAL.match(text):
        return int(text, 8)
    if _INT.match(text):
        return int(text.replace("_", ""))
    if _RADIX.match(text):
        try:
            return int(text.replace("_", ""), 0)
        except ValueError:
            return text
    if _FLOAT.match(text):
        return float(text)
    return text


@dataclass(slots=True)
class _Frame:
    container: Any
    path: Path
    key: str | None = None
    key_line: int = 0


class _Builder:
    """Puts the events of one file together, without recursion and without aliases."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._stack: list[_Frame] = []
        self._nodes = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            self._count(line)
            self._scalar(event, line)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._count(line)
            self._open({} if isinstance(event, yaml.MappingStartEvent) else [], event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise self._error(
                f"the alias *{event.anchor} is not allowed", line, "write the value out"
            )
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._error("a second document begins here", line, "keep one document a file")

    def _error(self, message: str, line: int, remedy: str) -> RegistryError:
        return RegistryError(message, self.document.file, line, remedy)

    def _count(self, line: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._error(
                f"more than {MAX_NODES} values in one file", line, "split it into several files"
            )

    def _open(self, container: Any, event: Any, line: int) -> None:
        if event.tag not in (None, "!", f"{_TAG}map", f"{_TAG}seq"):
            raise self._error(f"the tag {event.tag} is not allowed", line, "remove the tag")
        if len(self._stack) >= MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels", line, "flatten it")
        frame = self._stack[-1] if self._stack else None
        if frame and isinstance(frame.container, dict) and frame.key is None:
            raise self._error("a key must be plain text", line, "quote the key")
        self._stack.append(_Frame(container, self._place(container, line)))

    def _scalar(self, event: Any, line: int) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame and isinstance(frame.container, dict) and frame.key is None:
            if event.value in frame.container:
                first = self.document.line((*frame.path, event.value))
                raise self._error(
                    f"the key {event.value} stands twice, first in line {first}",
                    line,
                    "keep one of them",
                )
            frame.key, frame.key_line = event.value, line
            return
        path = self._place(self._value(event, line), line)
        block = event.style in ("|", ">")
        self.document.text_lines[path] = line + 1 if block else line

    def _value(self, event: Any, line: int) -> Any:
        if event.tag is None or event.tag == "!":
            value = scalar(event.value) if event.implicit[0] else event.value
        elif event.tag == f"{_TAG}str":
            value = event.value
        elif event.tag in {f"{_TAG}{name}" for name in ("null", "bool", "int", "float")}:
            value = scalar(event.value)
        else:
            raise self._error(f"the tag {event.tag} is not allowed", line, "remove the tag")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise self._error(f"{event.value[:40]} does not fit 64 bits", line, "quote it")
        return value

    def _place(self, value: Any, line: int) -> Path:
        """Put a value where it belongs; its line is that of its key where it has one."""
        if not self._stack:
            self.document.data = value
            self.document.lines[()] = line
            return ()
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            path: Path = (*frame.path, len(frame.container))
            frame.container.append(value)
        else:
            key = frame.key or ""
            path = (*frame.path, key)
            line = frame.key_line
            frame.container[key] = value
            frame.key = None
        self.document.lines[path] = line
        return path
