"""Looking at the server between two scripts: no network, no time, nothing is written."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from luaflow.store.keys import Partition
from luaflow.store.store import Store
from tests.simulation.wire import Server

T = TypeVar("T")


class DirectStore:
    """As much of a ``Store`` as the checks need."""

    def __init__(self, server: Server, namespace: str, partitions: int) -> None:
        self._server = server
        self.namespace = namespace
        self.border = None
        self.partitions = [Partition(namespace, n) for n in range(partitions)]

    async def read(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Answers to plain commands, at once."""
        return self._server.ask(*commands)

    async def each_server(self, *commands: tuple[Any, ...]) -> dict[str, list[Any]]:
        """The same, of the one server there is."""
        return {"": self._server.ask(*commands)}

    @property
    def store(self) -> Store:
        """The same, under the name of what it stands for."""
        return cast("Store", self)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waits for something")
