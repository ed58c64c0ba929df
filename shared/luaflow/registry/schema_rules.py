"""The library of JSON Schema, as luaflow uses it: nothing is fetched, an empty table is both.

Loaded when the first schema is met (``luaflow.registry.schemas``): most apps have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson
from jsonschema import FormatChecker
from jsonschema.exceptions import UnknownType, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, extend, validator_for
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from luaflow.domain.emptiness import either, is_object
from luaflow.domain.failure import Invalid
from luaflow.patience import OutOfTime, at_most

SECONDS: Final = 1.0
"""Of CPU time, for one value: a schema can ask for more work than there is time."""
SHOWN: Final = 200
"""Characters of a message: the library's words may quote the whole value."""
Path = tuple[str | int, ...]


def mistake(schema: Mapping[str, Any]) -> tuple[Path, str] | None:
    """Where a schema is no schema, and why; None for a good one."""
    if not isinstance(schema.get("$schema", ""), str):
        return ("$schema",), "must be text"
    kind = validator_for(schema, default=Draft202012Validator)
    rules = kind(kind.META_SCHEMA, format_checker=FormatChecker(["regex"]))
    try:
        error = best_match(rules.iter_errors(schema))
    except RecursionError:
        return (), "is nested too deep"
    if error is not None:
        return tuple(error.absolute_path), _said(error)
    for path, target in _references(schema, ()):
        if not target.startswith("#"):
            return path, f"$ref {target[:80]!r} is not in this schema, and nothing is fetched"
    return None


def _references(node: Any, path: Path) -> Iterator[tuple[Path, str]]:
    children: list[tuple[str | int, Any]] = []
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield (*path, "$ref"), node["$ref"]
        children = [(str(key), value) for key, value in node.items()]
    elif isinstance(node, list):
        children = list(enumerate(node))
    for key, value in children:
        yield from _references(value, (*path, key))


def problem(schema: str, value: Any) -> tuple[Path, str] | None:
    """Where a JSON tree does not follow a schema (JSON text), and why.

    Raises Invalid for a schema that refers to what it does not hold, or to itself without end, and
    for one that needs more than SECONDS.
    """
    try:
        with at_most(SECONDS):
            error = best_match(_validator(schema).iter_errors(either(value)))
    except Unresolvable as missing:
        raise Invalid(f"the schema does not hold what it refers to: {missing.ref!r}") from None
    except RecursionError:
        raise Invalid("the value is nested too deep for its schema, or that has no end") from None
    except (UnknownType, re.error) as unknown:
        why = str(unknown).partition("\n")[0]
        raise Invalid(f"the schema cannot be used: {why}") from None
    except OutOfTime:
        raise Invalid(
            f"the value needs more than {SECONDS:g} s to be checked by its schema"
        ) from None
    return None if error is None else (tuple(error.absolute_path), _said(error))


def _said(error: ValidationError) -> str:
    message = str(error.message)
    return message if len(message) <= SHOWN else f"{message[:SHOWN]}…"


@lru_cache(maxsize=500)
def _validator(schema: str) -> Validator:
    tree = orjson.loads(schema)
    kind = validator_for(tree, default=Draft202012Validator)
    checker = kind.TYPE_CHECKER.redefine("object", lambda _, v: is_object(v))
    made: Validator = extend(kind, type_checker=checker)(  # type: ignore[no-untyped-call]
        tree, registry=EMPTY_REGISTRY
    )
    return made
