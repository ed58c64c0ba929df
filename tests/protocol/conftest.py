"""What the protocol tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.protocol.hand import Hand
from tests.support.engine import engine, make_engine
from tests.support.keys import forget
from tests.support.linting import linted
from tests.support.topology import client_of

from luaflow.store.gates import Reservation, reserve
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.store import Store
from luaflow_worker import limits

__all__ = ["engine", "hand", "make_engine"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The questions for moments of rate limits that workers ask from now on."""
    found: list[tuple[Any, ...]] = []

    async def counted(*args: Any) -> Reservation:
        found.append(args)
        return await reserve(*args)

    monkeypatch.setattr(limits, "reserve", counted)
    return found


@pytest.fixture
async def hand(redis_url: str, namespace: str) -> AsyncIterator[Hand]:
    """A simulated namespace of 16 partitions, driven by hand; its invariants hold at the end."""
    link = make_link(redis_url)
    await create_namespace(link, namespace, Settings(simulated=True))
    await link.close()
    with linted() as found:
        store = await Store.open(redis_url, namespace)
        try:
            one = Hand(store)
            yield one
            if not one.excused:
                await one.check()
        finally:
            await store.close()
    if one.excused:
        with client_of(redis_url) as server:
            forget(server, namespace)
        return
    assert not found, "\n".join(found)
