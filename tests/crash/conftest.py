"""A server of its own for each crash test: it is killed, or its processes leave traces behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.support.processes import Fleet, Gate

from luaflow import Client
from luaflow.deploy import deploy
from luaflow.embedded import EmbeddedServer
from luaflow.registry.app import load_app
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace

APP = Path(__file__).parent / "app"
NAMESPACE = "crash"

World = Callable[..., Awaitable[Client]]


@pytest.fixture
def server(tmp_path: Path, server_binary: Path | None) -> Iterator[EmbeddedServer]:
    """A server that this test may kill.

    It writes before it answers. With ``everysec`` Redis puts the write off, too, while its last
    fsync takes long, and a kill then loses what was acknowledged.
    """
    folder = tmp_path / "redis"
    with EmbeddedServer(folder, appendfsync="always", binary=server_binary) as server:
        yield server


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """The pipe that held activities wait at."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    """The file that activities write to."""
    return tmp_path / "effects.jsonl"


@pytest.fixture
async def fleet(server: EmbeddedServer, gate: Gate, effects: Path) -> AsyncIterator[Fleet]:
    """Processes on the test's server; they end with the test."""
    async with Fleet(server.url, NAMESPACE, APP, effects, gate.path) as fleet:
        yield fleet


@pytest.fixture
async def world(server: EmbeddedServer) -> AsyncIterator[World]:
    """Makes the namespace (leases of a second), deploys the app, returns a client."""
    clients: list[Client] = []

    async def make(url: str | None = None, **settings: int) -> Client:
        values = {"lease_ms": 1000, "sticky_timeout_ms": 500} | settings
        link = Link(server.url)
        await create_namespace(link, NAMESPACE, Settings(**values))  # type: ignore[arg-type]
        await link.close()
        client = await Client.connect(url or server.url, NAMESPACE)
        clients.append(client)
        await deploy(client.store, load_app(APP))
        return client

    yield make
    for client in clients:
        await client.close()
