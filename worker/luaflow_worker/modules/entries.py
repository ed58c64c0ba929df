"""The answers of the ``registry`` module: the entries of the app, as they were written."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.patience import OutOfTime, at_most
from luaflow.registry import sources
from luaflow.registry.entries import CallableEntry, Entry, LuaEntry

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall

log = logging.getLogger("luaflow.lua")

SECONDS: Final = 1.0
"""Of CPU time, for one search: a regular expression may ask for years."""
PATTERN_CHARACTERS: Final = 500
"""Of a regular expression in a filter."""


def _get(call: FunctionCall, id_: bytes) -> tuple[Any, ...]:
    name = id_.decode(errors="replace")
    entry = call.host.app.entries.get(name)
    if entry is None:
        return None, values.encode(Failure("NotFound", f"entry not found: {name}", retryable=False))
    return (_shape(call, entry),)


def _find(call: FunctionCall, text: bytes) -> tuple[Any, ...]:
    conditions = values.loads(text)
    wanted = conditions.items() if isinstance(conditions, dict) else ()
    everything = sorted(call.host.app.entries.items())
    try:
        with at_most(SECONDS):
            tests = [test for key, value in wanted if (test := _test(str(key), value))]
            found = [entry for _, entry in everything if all(test(entry) for test in tests)]
    except (re.error, OverflowError, RecursionError) as error:
        return _refused(f"the pattern cannot be used: {error}")
    except OutOfTime:
        return _refused(f"the conditions need more than {SECONDS:g} s: make the pattern simpler")
    return ([_shape(call, entry) for entry in found],)


def _refused(why: str) -> tuple[Any, ...]:
    return None, values.encode(Failure("Invalid", f"registry.find: {why}", retryable=False))


def _shape(call: FunctionCall, entry: Entry) -> Any:
    data = entry.data
    if not isinstance(entry, CallableEntry | LuaEntry):
        data = _filled(data, Path(entry.file), call.host.app.root)
    return values.encode({"id": entry.id, "kind": entry.kind, "meta": entry.meta, "data": data})


def _filled(value: Any, file: Path, root: Path) -> Any:
    """Data with the content of each file that it refers to; code keeps its `source` as written."""
    if isinstance(value, dict):
        return {key: _filled(one, file, root) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, file, root) for one in value]
    if not isinstance(value, str) or not value.startswith(sources.PREFIX):
        return value
    try:
        return sources.read(sources.locate(value, file, root), value)
    except (OSError, sources.SourceError) as error:
        log.warning("%s: %s", file, error)
        return value


# Filters --------------------------------------------------------------------------------------

_FIELDS: Final[dict[str, Callable[[Entry], Any]]] = {
    ".kind": lambda entry: entry.kind,
    ".ns": lambda entry: entry.namespace,
    ".name": lambda entry: entry.name,
    ".id": lambda entry: entry.id,
}


def _test(key: str, value: Any) -> Callable[[Entry], bool] | None:
    """One condition: an operator (``~ * ^ $``, or equality) and a field; None is ignored."""
    operator, field = (key[0], key[1:]) if key[:1] in _OPERATORS else ("", key)
    if field not in _FIELDS and not field.startswith("meta."):
        log.warning("registry.find ignores %r: write .kind, .ns, .name or meta.<field>", key[:100])
        return None
    read = _FIELDS.get(field) or (lambda entry: _meta(entry.meta, field.removeprefix("meta.")))
    if not operator:
        return lambda entry: _equal(read(entry), value)
    matches = _OPERATORS[operator](str(value))
    return lambda entry: any(matches(text) for text in _texts(read(entry)))


def _regex(pattern: str) -> Callable[[str], bool]:
    if len(pattern) > PATTERN_CHARACTERS:
        raise re.error(f"a pattern has at most {PATTERN_CHARACTERS} characters")
    compiled = re.compile(pattern)
    return lambda text: compiled.search(text) is not None


_OPERATORS: Final[dict[str, Callable[[str], Callable[[str], bool]]]] = {
    "~": _regex,
    "*": lambda part: lambda text: part in text,
    "^": lambda start: lambda text: text.startswith(start),
    "$": lambda end: lambda text: text.endswith(end),
}


def _meta(meta: Any, path: str) -> Any:
    """A value of the metadata: under the whole name, or step by step down the dots."""
    if not isinstance(meta, dict):
        return None
    if path in meta:
        return meta[path]
    step, _, rest = path.partition(".")
    return _meta(meta.get(step), rest) if rest else None


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(found, list) and not isinstance(wanted, list):
        return any(_equal(item, wanted) for item in found)
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)


def _texts(found: Any) -> list[str]:
    """What operators look at: a text, or each text of a list."""
    items = found if isinstance(found, list) else [found]
    return [str(item) for item in items if isinstance(item, (str, int, float))]


SERVICES: Final[dict[str, Callable[..., tuple[Any, ...]]]] = {
    "registry.get": _get,
    "registry.find": _find,
}
