"""Which route answers a path: a text beats a parameter, a parameter beats all the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote

from luaflow.registry.http import Segment, parse_path

T = TypeVar("T")


class Found(NamedTuple, Generic[T]):
    """The methods of the path that was asked for, each with its target and parameters."""

    targets: Mapping[str, T]
    params: dict[str, dict[str, str]]

    def of(self, method: str) -> tuple[T, dict[str, str]] | None:
        """The target of a method and its parameters; HEAD is answered by GET."""
        if method == "HEAD" and "HEAD" not in self.targets:
            method = "GET"
        if method not in self.targets:
            return None
        return self.targets[method], self.params[method]

    @property
    def allow(self) -> str:
        """The methods, as the header Allow names them."""
        names = set(self.targets) | {"OPTIONS"}
        if "GET" in names:
            names.add("HEAD")
        return ", ".join(sorted(names))


class _Node(Generic[T]):
    """One place in a path: what may follow, and what ends here."""

    def __init__(self) -> None:
        self.texts: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.rest: _Node[T] | None = None
        self.targets: dict[str, tuple[T, tuple[Segment, ...]]] = {}


class Routes(Generic[T]):
    """The routes of one server. Paths are those of ``luaflow.registry.http``."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, path: str, target: T) -> None:
        """Let ``target`` answer a method on a path."""
        node, segments = self._root, parse_path(path)
        for one in segments:
            if one.rest:
                node.rest = node.rest or _Node()
                node = node.rest
            elif one.parameter:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.texts.setdefault(one.text, _Node())
        node.targets[method] = target, segments

    def find(self, raw_path: str) -> Found[T] | None:
        """What answers a path, which comes as it was sent, percent-encoded."""
        path = raw_path.removesuffix("/")
        parts = [unquote(part, errors="surrogateescape") for part in path.split("/")[1:]]
        targets: dict[str, T] = {}
        params: dict[str, dict[str, str]] = {}
        for node in _matching(self._root, parts, 0):
            for method, (target, segments) in node.targets.items():
                if method not in targets:
                    targets[method] = target
                    params[method] = _values(segments, parts)
        return Found(targets, params) if targets else None


def _values(segments: tuple[Segment, ...], parts: list[str]) -> dict[str, str]:
    """The parameters of a path; the one that takes all the rest is not told."""
    return {
        one.text: part
        for one, part in zip(segments, parts, strict=False)
        if one.parameter and not one.rest
    }


def _matching(node: _Node[T], parts: list[str], at: int) -> Iterator[_Node[T]]:
    """The places where a path ends, the closest match first."""
    if at == len(parts):
        yield node
    else:
        if following := node.texts.get(parts[at]):
            yield from _matching(following, parts, at + 1)
        if node.parameter and parts[at]:
            yield from _matching(node.parameter, parts, at + 1)
    if node.rest:
        yield node.rest
