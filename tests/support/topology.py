"""The servers that a whole test session runs on: one, or what LUAFLOW_TEST_TOPOLOGY names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.cluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from luaflow.store.address import Place, parse_address
from luaflow.store.cluster import ClusterLink
from luaflow.store.store import Store
from tests.support.cluster import Cluster
from tests.support.nodes import Group
from tests.support.sentinel import Sentinels

TOPOLOGIES: dict[str, Callable[[Path], Group]] = {"sentinel": Sentinels, "cluster": Cluster}


def named() -> str:
    """The topology of this session; empty for one server."""
    kind = os.environ.get("LUAFLOW_TEST_TOPOLOGY", "")
    assert not kind or kind in TOPOLOGIES, f"LUAFLOW_TEST_TOPOLOGY: one of {sorted(TOPOLOGIES)}"
    return kind


@contextmanager
def running(kind: str, folder: Path) -> Iterator[str]:
    """Run a topology for a session, which nobody faults; yields its address."""
    group = TOPOLOGIES[kind](folder)
    try:
        asyncio.run(group.__aenter__())
        yield group.url
    finally:
        asyncio.run(group.__aexit__(None, None, None))


@contextmanager
def client_of(url: str) -> Iterator[Any]:
    """A client that sees the keys of an address, wherever they are; no second try."""
    address = parse_address(url)
    retry = Retry(NoBackoff(), 0)
    if address.kind == "cluster":
        client: Any = redis.RedisCluster.from_url(_first(url), retry=Retry(NoBackoff(), 3))
    elif address.kind == "sentinel":
        client = redis.Redis(*_master(url), retry=retry)
    else:
        client = redis.Redis.from_url(url, retry=retry)
    with client:
        yield client


@asynccontextmanager
async def async_client_of(url: str) -> AsyncIterator[Any]:
    """The same for tests that are coroutines."""
    address = parse_address(url)
    retry = AsyncRetry(NoBackoff(), 0)
    client: Any
    if address.kind == "cluster":
        client = redis.asyncio.cluster.RedisCluster.from_url(_first(url))
    elif address.kind == "sentinel":
        client = redis.asyncio.Redis(**_master(url)._asdict(), retry=retry)
    else:
        client = redis.asyncio.Redis.from_url(url, decode_responses=False, retry=retry)
    try:
        yield client
    finally:
        await client.aclose()


def pretend_server(store: Store, run_id: str) -> None:
    """From now on the store's scripts are told that the server has this run id."""
    links = store.link._links.values() if isinstance(store.link, ClusterLink) else [store.link]
    for link in links:
        link.server = run_id


def _first(url: str) -> str:
    address = parse_address(url)
    return address.of(address.places[0])


def _master(url: str) -> Place:
    address = parse_address(url)
    with redis.Redis(*address.places[0], decode_responses=True) as sentinel:
        found: Any = sentinel.sentinel_get_master_addr_by_name(address.master)
    return Place(str(found[0]), int(found[1]))
