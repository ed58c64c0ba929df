"""JSON Schema: does a value keep to a schema."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import orjson

from luaflow.domain.emptiness import either, is_object
from luaflow.domain.failure import Failure
from luaflow.lua.services.libraries import library
from luaflow.patience import OutOfTime, at_most

SECONDS: Final = 1.0
"""Of CPU time, for one value."""
_SCHEMAS_BY_NAME: Final = frozenset(
    {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
)
_LISTS: Final = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_SCHEMAS: Final = frozenset(
    """
    additionalProperties contains else if items not propertyNames then unevaluatedItems
    unevaluatedProperties
    """.split()  # noqa: SIM905
)


class _BadSchema(ValueError):
    """A schema that is none."""


def validate(schema: bytes, data: bytes, of_lua: bool) -> bool | Failure:
    """True when the JSON ``data`` keeps to the JSON ``schema``; else what is wrong, as Invalid.

    ``of_lua``: the data is written from a table, in which an empty list may be an empty object.
    """
    try:
        with at_most(SECONDS):
            validator = _validator(schema)
            value = orjson.loads(data)
            found = _first(validator, either(value) if of_lua else value)
    except _BadSchema as error:
        return _invalid(f"the schema is not a JSON schema: {error}")
    except orjson.JSONDecodeError as error:
        return _invalid(f"the data is not JSON: {error}")
    except OutOfTime:
        text = f"json: the schema needs more than {SECONDS:g} s for this data: make either simpler"
        return Failure("Timeout", text, retryable=False)
    return found or True


def _first(validator: Any, value: Any) -> Failure | None:
    """What is wrong with a value first."""
    unknown_type = library("jsonschema.exceptions", "json", "").UnknownType
    try:
        found = next(iter(validator.iter_errors(value)), None)
    except RecursionError:
        return _invalid("the schema refers to itself without end")
    except unknown_type as unknown:
        return _invalid(f"the schema has the type {unknown.type!r}, which is none")
    except library("referencing.exceptions", "json", "").Unresolvable as unknown:
        return _invalid(f"the schema refers to {unknown.ref!r}, which is not in it")
    if found is None:
        return None
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
    try:
        tree = _written(tree)
    except RecursionError:
        raise _BadSchema("it is nested too deep") from None
    if not isinstance(tree, (dict, bool)):
        raise _BadSchema("it must be an object")
    if isinstance(tree, dict) and not isinstance(tree.get("$schema", ""), str):
        raise _BadSchema("$schema must be text")
    kind = jsonschema.validators.validator_for(tree, default=jsonschema.Draft202012Validator)
    checker = kind.TYPE_CHECKER.redefine("object", lambda _, v: is_object(v))
    kind = jsonschema.validators.extend(kind, type_checker=checker)
    try:
        kind.check_schema(tree)
    except (jsonschema.SchemaError, RecursionError) as error:
        raise _BadSchema(str(getattr(error, "message", error))[:500]) from None
    return kind(tree, registry=registry, format_checker=kind.FORMAT_CHECKER)


def _written(node: Any) -> Any:
    """A schema in which empty tables of Lua, lists here, are the objects that they must be."""
    if not isinstance(node, dict):
        return {} if node == [] else node
    return {key: _member(key, value) for key, value in node.items()}


def _member(key: str, value: Any) -> Any:
    if key in _SCHEMAS_BY_NAME and isinstance(value, dict):
        return {name: _written(one) for name, one in value.items()}
    if key in _LISTS and isinstance(value, list) and value:
        return [_written(one) for one in value]
    return _written(value) if key in _SCHEMAS or key in _SCHEMAS_BY_NAME else value


def _invalid(message: str) -> Failure:
    return Failure("Invalid", message, retryable=False)
