"""`${env:NAME|default}`: values that come from the environment when the app is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from luaflow.registry.yamlfile import scalar

_PLACE = re.compile(r"\$\$\{|\$\{(env:)?([^}|]*)(?:\|([^}]*))?\}")
_SHORT_NAME = re.compile(r"[A-Z0-9_]+\Z", re.ASCII)


class EnvError(Exception):
    """A placeholder that cannot be filled; holds what is wrong and the remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Variable:
    """An `env.variable` entry: its name outside, where its value is kept, its default."""

    name: str
    storage: str | None
    default: Any


@dataclass(slots=True)
class EnvRegistry:
    """Looks names up: `env.variable` entries by id or public name, then the environment."""

    environment: Mapping[str, str]
    variables: dict[str, Variable] = field(default_factory=dict)
    static: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    routers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def lookup(self, name: str, namespace: str) -> str | None:
        """The value of a variable or None; a name without ':' may be an id in `namespace`."""
        variable = self.variables.get(name) or self.variables.get(f"{namespace}:{name}")
        if variable is None:
            return self.environment.get(name)
        found = self._stored(variable.name, variable.storage, 0)
        if found is None and variable.default is not None:
            return text_of(variable.default)
        return found

    def _stored(self, name: str, storage: str | None, depth: int) -> str | None:
        if storage in self.static:
            value = self.static[storage].get(name)
            return None if value is None else text_of(value)
        if storage in self.routers and depth < 8:
            hits = (self._stored(name, inner, depth + 1) for inner in self.routers[storage])
            return next((hit for hit in hits if hit is not None), None)
        return self.environment.get(name)

    def resolve(self, text: str, namespace: str) -> Any:
        """The text with its placeholders filled.

        A text that is one placeholder with a bool, int or float default keeps that type.
        `$${` stands for `${`; `${NAME}` without `env:` and default is left alone.
        Raises EnvError for a variable without value and default.
        """
        if "${" not in text:
            return text
        whole = _PLACE.fullmatch(text)
        if whole and whole.group(0) != "$${":
            return self._fill(whole, namespace, typed=True)
        return _PLACE.sub(lambda place: str(self._fill(place, namespace)), text)

    def _fill(self, place: re.Match[str], namespace: str, *, typed: bool = False) -> Any:
        if place.group(0) == "$${":
            return "${"
        explicit, name, default = place.group(1), place.group(2), place.group(3)
        if not explicit and (default is None or not _SHORT_NAME.match(name)):
            return place.group(0)
        value = self.lookup(name, namespace)
        if value is None and default is None:
            raise EnvError(
                f"the environment variable {name} is not set",
                f"set it, or write a default: ${{env:{name}|...}}",
            )
        if not typed or default is None:
            return default if value is None else value
        return _typed(name, value, scalar(default), default)


def _typed(name: str, value: str | None, example: Any, default: str) -> Any:
    if not isinstance(example, (bool, int, float)):
        return default if value is None else value
    if value is None:
        return example
    found = scalar(value)
    if type(found) is type(example):
        return found
    if type(example) is float and type(found) is int:
        return float(found)
    raise EnvError(
        f"the environment variable {name} is {value!r}, which is no {type(example).__name__}",
        f"set it to something like {default}",
    )


def text_of(value: Any) -> str:
    """A YAML scalar as environment text: true and false in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)
