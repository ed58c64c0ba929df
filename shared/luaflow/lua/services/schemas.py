"""JSON Schema: does a value keep to a schema."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import orjson

from luaflow.domain.failure import Failure
from luaflow.lua.services.libraries import library

SCHEMA_BYTES: Final = 256 * 1024


class _BadSchema(ValueError):
    """A schema that is none."""


def validate(schema: bytes, data: bytes) -> bool | Failure:
    """True when the JSON ``data`` keeps to the JSON ``schema``; else what is wrong, as Invalid."""
    try:
        validator = _validator(schema)
    except _BadSchema as error:
        return _invalid(f"the schema is not a JSON schema: {error}")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _invalid(f"the data is not JSON: {error}")
    try:
        found = next(iter(validator.iter_errors(value)), None)
    except RecursionError:
        return _invalid("the schema refers to itself without end")
    except library("referencing.exceptions", "json", "").Unresolvable as unknown:
        return _invalid(f"the schema refers to {unknown.ref!r}, which is not in it")
    if found is None:
        return True
    where = "/".join(str(step) for step in found.absolute_path)
    return _invalid(f"validation failed at '/{where}': {found.message[:500]}")


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Any:
    jsonschema = library("jsonschema", "json", "")
    # An empty registry: a schema must not make the worker fetch what it refers to.
    registry = library("referencing", "json", "").Registry()
    try:
        tree = orjson.loads(schema)
    except orjson.JSONDecodeError as error:
        raise _BadSchema(str(error)) from None
    if not isinstance(tree, (dict, bool)):
        # An empty table of Lua is a list here: the schema that allows everything.
        if tree != []:
            raise _BadSchema("it must be an object")
        tree = {}
    kind = jsonschema.validators.validator_for(tree, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(tree)
    except (jsonschema.SchemaError, RecursionError) as error:
        raise _BadSchema(str(getattr(error, "message", error))[:500]) from None
    return kind(tree, registry=registry, format_checker=kind.FORMAT_CHECKER)


def _invalid(message: str) -> Failure:
    return Failure("Invalid", message, retryable=False)
