"""JSON Schemas of entries: whether one is a schema, and where a value does not follow it.

``input_schema`` describes the first argument, ``output_schema`` the result; what is not given is
null. Values are looked at as the JSON they travel as. An empty list may stand for an empty object:
Lua has one empty table for both. Without a ``$schema`` the draft is 2020-12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import orjson

from luaflow.domain.failure import Invalid


def _rules() -> Any:
    return import_module("luaflow.registry.schema_rules")


def mistake(schema: Mapping[str, Any]) -> tuple[tuple[str | int, ...], str] | None:
    """Where a schema is no schema, and why; None for a good one."""
    found: tuple[tuple[str | int, ...], str] | None = _rules().mistake(schema)
    return found


def text_of(schema: Mapping[str, Any] | None) -> str:
    """The JSON text of a schema, the same for the same schema; '' for none."""
    return "" if schema is None else orjson.dumps(schema, option=orjson.OPT_SORT_KEYS).decode()


def check_input(schema: str, args: Sequence[Any], what: str) -> None:
    """Raise Invalid where the first of the arguments (JSON trees) does not follow a schema.

    ``schema`` is JSON text, '' for none.
    """
    if schema:
        _check(schema, args[0] if args else None, f"the input of {what}", "input")


def check_output(schema: str, result: Any, what: str) -> None:
    """Raise Invalid where a result (a JSON tree) does not follow a schema."""
    if schema:
        _check(schema, result, f"the result of {what}", "result")


def _check(schema: str, value: Any, what: str, root: str) -> None:
    if found := _rules().problem(schema, value):
        steps, why = found
        path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
        raise Invalid(f"{what} does not follow its schema: {root}{path}: {why}")
