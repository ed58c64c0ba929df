"""Under ``replicated`` an answer is given only when replicas have what it rests on (design 5.5)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from tests.support.player import watch_subscriptions
from tests.support.runs import Ops, Runs

from luaflow.client.client import Client
from luaflow.embedded import EmbeddedServer
from luaflow.errors import Unknown
from luaflow.store import liveness, tasks, transitions
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.relay import drain_outbox
from luaflow.store.store import Store


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def servers(
    tmp_path: Path, server_binary: Path | None
) -> AsyncIterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """A primary and its replica, in step."""
    port = free_port()
    extra = ("--port", str(port), "--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0")
    with (
        EmbeddedServer(tmp_path / "primary", extra=extra, binary=server_binary) as primary,
        EmbeddedServer(
            tmp_path / "replica",
            extra=("--replicaof", "127.0.0.1", str(port)),
            binary=server_binary,
        ) as replica,
    ):
        client = redis.asyncio.Redis.from_url(primary.url)
        await client.set("in", "step")
        assert await client.wait(1, 20_000) == 1
        await client.aclose()
        yield primary, replica
        # a paused replica would be waited for, by its own stop and by the primary's
        os.kill(replica.pid, signal.SIGKILL)


@pytest.fixture
async def store(servers: tuple[EmbeddedServer, EmbeddedServer]) -> AsyncIterator[Store]:
    url = servers[0].url
    link = Link(url)
    await create_namespace(link, "ns", Settings(partitions=2, durability="replicated"))
    await link.close()
    store = await Store.open(url, "ns")
    yield store
    await store.close()


async def test_answer_waits_for_the_replica(
    store: Store, servers: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    """With the replica there is an answer; without it the outcome is unknown, never failed."""
    runs = Runs(store)
    route = await runs.start("wf")
    os.kill(servers[1].pid, signal.SIGSTOP)
    call = transitions.message(route=route, type="WorkflowExecutionSignaled", body=b"{}")
    with pytest.raises(Unknown, match="not confirmed"):
        await store.one(call, patience=0.5)


async def test_repeat_proves_nothing_by_itself(
    store: Store, servers: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    """A repeat that writes nothing, on a new connection, does not prove that the first arrived."""
    runs = Runs(store)
    route = runs.route("wf")
    call = transitions.start(route=route, type="t", bundle="b", started=b"{}")
    os.kill(servers[1].pid, signal.SIGSTOP)
    with pytest.raises(Unknown):
        await store.one(call, patience=0.5)
    other = await Store.open(store.url, "ns")
    with pytest.raises(Unknown):
        await other.one(call, patience=0.5)
    os.kill(servers[1].pid, signal.SIGCONT)
    assert (await other.one(call))[0] == b"started"
    await other.close()


async def test_being_there_is_not_confirmed(
    store: Store, servers: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    """A worker says that it lives, and reads its queues, while the replica is away."""
    os.kill(servers[1].pid, signal.SIGSTOP)
    alive = liveness.announce(namespace="ns", worker="w1", record=b"{}")
    groups = tasks.groups([store.partitions[0].workflow_queue("q")])
    answers = [await store.one(call, patience=0.5) for call in (alive, groups)]
    assert answers == [[b"ok"], [b"ok", 1]]


async def test_unconfirmed_message_stays_in_its_outbox(
    store: Store, servers: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    """While the receiver's write is not confirmed the sender keeps the message."""
    runs = Runs(store)
    sender, target = await runs.start("wf-0"), await runs.start("wf-1")
    receiver = target.partition.number
    mail: dict[str, Any] = {
        "k": "message",
        "from": None,
        "seq": 1,
        "workflow_id": "wf-1",
        "body": {},
    }
    mail |= {"type": "WorkflowExecutionSignaled", "ok": "", "failed": ""}
    ops = Ops().request(sender.partition, 1, receiver, mail, {"kind": "signal"})
    await runs.decide(sender, ops)
    os.kill(servers[1].pid, signal.SIGSTOP)
    store.link.confirm = ("WAIT", 1, 100)
    with pytest.raises(Unknown):
        await drain_outbox(store, sender.partition.number, receiver, patience=0.5)
    (left,) = await store.read(("XLEN", sender.partition.outbox(receiver)))
    assert left == 1
    os.kill(servers[1].pid, signal.SIGCONT)
    done = await drain_outbox(store, sender.partition.number, receiver)
    assert (done.settled, done.left) == (1, 0)


async def test_a_result_waits_for_the_replica(
    store: Store, servers: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    """An end that no replica has is told to nobody: the run may go on after a fail-over."""
    runs = Runs(store)
    route = await runs.start("wf")
    task = await runs.take(route)
    handle = Client(store).get_handle("wf", route.run_id)
    subscribed = watch_subscriptions(store)
    waits = asyncio.create_task(handle.result())
    await subscribed.wait()
    os.kill(servers[1].pid, signal.SIGSTOP)
    other = await Store.open(store.url, "ns")
    other.link.confirm = ()  # a worker that does not wait
    await Runs(other).commit(route, task, Ops().close(route.partition))
    await other.close()
    store.link.confirm = ("WAIT", 1, 100)
    done, _ = await asyncio.wait([waits], timeout=0.5)
    assert not done
    os.kill(servers[1].pid, signal.SIGCONT)
    assert await asyncio.wait_for(waits, 10) == 1
