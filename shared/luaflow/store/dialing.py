"""Opening connections to where the data is, and following it when it moves."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from luaflow.errors import Unavailable
from luaflow.store.address import Address, Place, parse_address
from luaflow.store.connect import ONE_OF_MANY_SECONDS, connect_to
from luaflow.store.finding import Sentinels
from luaflow.store.nodes import Nodes
from luaflow.store.slots import redirection
from luaflow.store.topology import Topology

_topologies: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Topology]] = WeakKeyDictionary()
_followed: WeakKeyDictionary[Connection, Topology] = WeakKeyDictionary()


def topology_of(address: Address) -> Topology:
    """The topology of an address of several servers, shared in this event loop."""
    known = _topologies.setdefault(asyncio.get_running_loop(), {})
    if address.url not in known:
        known[address.url] = (Nodes if address.kind == "cluster" else Sentinels)(address)
    return known[address.url]


def nodes_of(url: str) -> Nodes:
    """The nodes of a cluster's address."""
    topology = topology_of(parse_address(url))
    assert isinstance(topology, Nodes), url
    return topology


def redirect(url: str, answer: object, asked: Place) -> Place | None:
    """Note where a MOVED of the node ``asked`` sends us; return where an ASK does, for once."""
    found = redirection(answer, asked)
    if found is None or found.asking:
        return found.place if found else None
    nodes_of(url).map.move(found.slot, found.place)
    return None


def place_of(connection: Connection) -> Place:
    """The server of a connection."""
    return Place(str(vars(connection)["host"]), int(vars(connection)["port"]))


async def open_connection(
    url: str, *, slot: int | None = None, place: Place | None = None, **options: Any
) -> Connection:
    """Return a connection to the server that has the data.

    Of a cluster: to the node that has the ``slot``, or to the one at ``place``.

    It breaks when another server has the data. Raises Unavailable, naming the address; whoever uses
    it closes it with ``close_connection``.
    """
    address = parse_address(url)
    if address.kind == "server":
        return await connect_to(url, **options)
    topology = topology_of(address)
    if isinstance(topology, Sentinels) or not topology.places:
        await topology.look()
    if place is None:
        place = topology.owner(slot) if isinstance(topology, Nodes) else min(topology.places)
    there = place
    try:
        connection = await connect_to(
            address.of(there), within=ONE_OF_MANY_SECONDS, found=address.finder(there), **options
        )
    except Unavailable:
        await topology.look()  # for the next try
        raise

    async def moved() -> None:
        if there not in topology.places:
            await connection.disconnect(nowait=True)

    _followed[connection] = topology
    topology.join(connection, moved)
    try:
        await topology.check(connection, there)
    except BaseException as error:
        await close_connection(connection)
        if isinstance(error, (RedisError, OSError)):
            raise Unavailable(f"cannot reach Redis at {address}: {error}") from error
        raise
    return connection


async def close_connection(connection: Connection) -> None:
    """Close a connection of ``open_connection``."""
    await connection.disconnect(nowait=True)
    topology = _followed.pop(connection, None)
    if topology:
        await topology.leave(connection)
