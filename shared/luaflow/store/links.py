"""What a store needs of its servers, whether there is one or a cluster of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from luaflow.store.address import parse_address
from luaflow.store.cluster import ClusterLink
from luaflow.store.link import Arg, Call, Link


class Linked(Protocol):
    """A way to the servers that many callers share; ``Link`` and ``ClusterLink`` are such."""

    url: str
    """The address."""
    server: str
    """The run id of the server; empty for a cluster, where scripts are told their node's."""
    on_change: list[Callable[[], None]]
    """What is called when a connection was lost or made."""
    confirm: tuple[Arg, ...]
    """The WAIT or WAITAOF behind every batch of scripts."""

    @property
    def connected(self) -> bool:
        """Whether the server, or each that was needed, is reached."""

    @property
    def confirms(self) -> bool:
        """Whether anything is sent behind a batch of scripts to confirm it."""

    async def look_at_sync(self) -> None:
        """Learn anew which servers sync each write."""

    async def batch(self, commands: Iterable[Call | tuple[Arg, ...]]) -> list[Any]:
        """Send commands together; their answers in order (``Link.batch``)."""

    async def each(self, *commands: tuple[Arg, ...]) -> dict[str, list[Any]]:
        """Send plain commands to every server that has data; the answers by its address.

        Of one among several that is away, the answers are the error that says so.
        """

    async def close(self) -> None:
        """Close every connection."""


def make_link(url: str, *, name: str = "luaflow", confirm: tuple[Arg, ...] = ()) -> Linked:
    """Return the link to an address; InvalidArgument for one that cannot be read."""
    kind = ClusterLink if parse_address(url).kind == "cluster" else Link
    return kind(url, name=name, confirm=confirm)
