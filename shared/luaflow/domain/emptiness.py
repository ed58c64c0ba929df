"""The empty table of Lua, which may stand for a list and for an object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class EmptyTable(list[Any]):
    """A list and an object: what checks a value takes it for what it expects."""

    def items(self) -> Iterator[tuple[str, Any]]:
        """It has none, whichever it is."""
        return iter(())


def either(value: Any) -> Any:
    """A JSON tree with its empty lists as what may be either."""
    if isinstance(value, list):
        return [either(item) for item in value] if value else EmptyTable()
    if isinstance(value, dict):
        return {key: either(item) for key, item in value.items()}
    return value


def is_object(value: Any) -> bool:
    """Whether a value of a tree is an object, or may be one."""
    return isinstance(value, (dict, EmptyTable))
