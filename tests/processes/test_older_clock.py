"""A server with an older clock takes over: its letters have numbers below what was read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import redis.asyncio
from tests.support.engine import Engine, engine, make_engine, within
from tests.support.mutants import proves, replaced

from luaflow.store import inboxes
from luaflow.store.store import Store
from luaflow.store.transitions import NO_REQUEST
from luaflow_worker.inbox import Inbox

__all__ = ["engine", "make_engine"]
NODE = "n0123456789ab"


async def nothing() -> None:
    """What the heartbeat carries."""


async def cut(raw: redis.asyncio.Redis) -> None:
    """Break the connection that is blocked on the inbox, as the end of its server does."""
    clients = await raw.client_list()
    ids = [client["id"] for client in clients if client["name"] == "luaflow-inbox"]
    assert ids
    for id_ in ids:
        await raw.client_kill_filter(_id=id_)


@proves(replaced(Inbox, "_is_new", lambda *_: True))
async def test_letters_of_a_server_with_an_older_clock_are_read_once(
    engine: Engine, raw: redis.asyncio.Redis
) -> None:
    """One whose removal was lost is not handed over again; a new one is."""
    store, came = engine.store, asyncio.Queue[Any]()

    async def same() -> Store:
        return store

    world: Any = SimpleNamespace(store=same)
    inbox = Inbox(world, NODE, came.put_nowait, nothing)
    await inbox.start()
    try:
        p = inboxes.home(store, NODE)
        letter = orjson.dumps({"n": 1})
        await store.one(
            inboxes.post_inbox(partition=p, node=NODE, letter=letter, request=NO_REQUEST)
        )
        assert (await within(came.get()))["n"] == 1
        last = inbox._last
        await raw.delete(p.inbox(NODE))
        await raw.xadd(p.inbox(NODE), {"e": orjson.dumps({"n": 2})}, id="5-1")
        await raw.xadd(p.inbox(NODE), {"e": letter}, id=last)
        await raw.expire(p.inbox(NODE), 60)
        await cut(raw)
        assert (await within(came.get()))["n"] == 2
        await raw.xadd(p.inbox(NODE), {"e": orjson.dumps({"n": 3})})
        assert (await within(came.get()))["n"] == 3
    finally:
        await inbox.stop()
