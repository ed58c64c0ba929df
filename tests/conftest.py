"""The server, a namespace for each test, and guards that no test can forget."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from luaflow.embedded import EmbeddedServer
from luaflow_worker.modules import egress
from tests.support import topology
from tests.support.forking import FORKS, Forks
from tests.support.keys import forget, leftover_keys

ROOT = Path(__file__).parents[1]


def pytest_sessionstart() -> None:
    """Else the first async test makes an event loop that nobody closes, and a later one pays."""
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def server_binary() -> Path | None:
    """The server to test against; None is the one that luaflow finds by itself."""
    named = os.environ.get("LUAFLOW_TEST_SERVER")
    return Path(named) if named else None


@pytest.fixture(scope="session")
def embedded_server(
    tmp_path_factory: pytest.TempPathFactory, server_binary: Path | None
) -> Iterator[EmbeddedServer]:
    """One server for each process of pytest-xdist."""
    folder = tmp_path_factory.mktemp("redis")
    with EmbeddedServer(folder, appendfsync="everysec", binary=server_binary) as server:
        yield server


@pytest.fixture(scope="session")
def session_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The servers of this session: one, or the topology that LUAFLOW_TEST_TOPOLOGY names."""
    if not (kind := topology.named()):
        yield request.getfixturevalue("embedded_server").url
        return
    with topology.running(kind, tmp_path_factory.mktemp(kind)) as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[Forks]:
    """Programs that tests start as processes are forked from one that has imported them."""
    with FORKS as forks:
        yield forks


@pytest.fixture
def true_processes() -> Iterator[None]:
    """Programs of this test start as they do anywhere: imports, command line and all."""
    with FORKS.true():
        yield


@pytest.fixture
def redis_url(session_url: str, request: pytest.FixtureRequest) -> str:
    """Where the server of this session listens."""
    if (mark := request.node.get_closest_marker("one_server")) and topology.named():
        pytest.skip(f"needs one server: {mark.args[0]}")
    return session_url


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client to look at keys with: bytes, and no second try."""
    async with topology.async_client_of(redis_url) as client:
        yield client


@pytest.fixture
def namespace(redis_url: str) -> Iterator[str]:
    """The name of a namespace of this test only; no key of it may be left without an owner."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    with topology.client_of(redis_url) as client:
        yield name
        left = leftover_keys(client, name)
        forget(client, name)
    assert not left, f"nothing will ever delete {left}: give each an owner or a time to live"


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind; the first guard up, the last one down."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=2)
        assert not thread.is_alive(), f"the thread {thread.name} still runs"


@pytest.fixture(autouse=True)
def _no_permission_left() -> Iterator[None]:
    """What a command that ran in this process allows itself is no other test's business."""
    yield
    os.environ.pop(egress.VARIABLE, None)


@pytest.fixture(autouse=True)
def _no_task_left(_no_thread_left: None, request: pytest.FixtureRequest) -> None:
    """Fail an async test that leaves an asyncio task behind."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_task_left_in_loop")


@pytest.fixture
async def _no_task_left_in_loop() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)  # one turn for what was cancelled last
    this = asyncio.current_task()
    names = sorted(t.get_name() for t in asyncio.all_tasks() - before if t is not this)
    assert not names, f"the tasks {names} still run"
