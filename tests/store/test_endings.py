"""``execute`` listens for the end of its run before it starts it, and reads nothing to learn it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.mutants import proves, replaced
from tests.support.player import Player, watch_starts

from luaflow.client import Client, ending
from luaflow.client.ending import Ears, Ending
from luaflow.client.handle import Handle
from luaflow.errors import Refused
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace


@pytest.fixture
async def client(redis_url: str, namespace: str) -> AsyncIterator[Client]:
    """A client of a namespace with a workflow type."""
    connection = make_link(redis_url)
    await create_namespace(connection, namespace, Settings())
    await connection.close()
    async with await Client.connect(redis_url, namespace) as client:
        await Player(client.store).register("app:pay")
        yield client


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose last event is read."""
    found, read = list[str](), Handle._last_event

    async def noted(self: Handle, run_id: str) -> Any:
        found.append(run_id)
        return await read(self, run_id)

    monkeypatch.setattr(Handle, "_last_event", noted)
    return found


async def executed(client: Client, **how: Any) -> Any:
    """What ``execute`` returns of a run that the test ends once it is started."""
    started = watch_starts(client)
    waiting = asyncio.create_task(client.execute("app:pay", id="w", **how))
    await started.wait()
    await Player(client.store).close("w", result=7)
    async with asyncio.timeout(30):
        return await waiting


def word_after(client: Client, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The server says so late that it listens; what is asked after that is as usual."""
    loop, listen = asyncio.get_running_loop(), client.store.push.listen

    def say(word: asyncio.Future[None]) -> None:
        if not word.done():
            word.set_result(None)

    def late(channel: str, listener: Any) -> asyncio.Future[None]:
        listen(channel, listener)
        monkeypatch.setattr(client.store.push, "listen", listen)
        word: asyncio.Future[None] = loop.create_future()
        loop.call_later(seconds, say, word)
        return word

    monkeypatch.setattr(client.store.push, "listen", late)


async def test_the_end_is_told_and_nothing_read(client: Client, reads: list[str]) -> None:
    """It listens before it starts, and then for the end of the next run alone."""
    await client.store.push.open()
    assert await executed(client) == 7
    assert reads == []
    assert len(client.store.push._listeners) == 1


@proves(replaced(Ears, "take", Ears._new))
async def test_the_next_run_is_listened_for_before_it_is_asked_for(
    client: Client, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So its start need not wait for the word that the server listens."""
    await client.store.push.open()
    assert await executed(client) == 7
    await client.store.push.add("behind-the-others", print)
    word_after(client, monkeypatch, 0.2)
    assert await executed(client) == 7
    assert reads == []


async def test_a_connection_lost_before_the_run_tells_nothing_of_it(client: Client) -> None:
    """Who listens is told then that something may have been missed; it was of no run yet."""
    push = client.store.push
    await push.open()
    assert await executed(client) == 7
    assert push._connection
    await push._connection.disconnect(nowait=True)
    await push.add("behind-the-others", print)
    assert await executed(client) == 7


async def test_who_may_not_listen_is_told_so(client: Client) -> None:
    """That the server refused to be listened to is no word that it is."""
    user = client.namespace
    await client.store.read(("ACL", "SETUSER", user, "on", ">pw", "~*", "+@all", "resetchannels"))
    try:
        url = client.store.url.replace("://", f"://{user}:pw@", 1)
        async with await Client.connect(url, user) as other, asyncio.timeout(30):
            for _ in range(2):
                with pytest.raises(Refused, match="does not let the user"):
                    await other.execute("app:pay")
    finally:
        await client.store.read(("ACL", "DELUSER", user))


async def test_who_closed_and_goes_on_listens_anew(client: Client) -> None:
    """What was listened for before that is not any more."""
    await client.store.push.open()
    assert await executed(client) == 7
    await client.store.push.close()
    assert await executed(client) == 7


async def test_an_end_told_while_the_connection_was_lost_is_read(
    client: Client, reads: list[str]
) -> None:
    """That it was listened for before the start says nothing of what came after."""
    await client.store.push.open()
    assert await executed(client) == 7
    started = watch_starts(client)
    waiting = asyncio.create_task(client.execute("app:pay", id="w"))
    await started.wait()
    assert client.store.push._connection
    await client.store.push._connection.disconnect(nowait=True)
    await Player(client.store).close("w", result=8)
    async with asyncio.timeout(30):
        assert await waiting == 8
    assert reads


async def test_a_request_that_is_repeated_finds_its_run_ended(client: Client) -> None:
    """Nobody tells of that end again."""
    await client.store.push.open()
    assert await executed(client, request_id="r") == 7
    async with asyncio.timeout(30):
        assert await client.execute("app:pay", id="w", request_id="r") == 7


async def test_not_sure_to_have_listened_it_reads(
    client: Client, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server has not said by the start that it listens, the end may have been missed."""

    async def unsure(_: Ending) -> None: ...

    monkeypatch.setattr(Ending, "settle", unsure)
    assert await executed(client) == 7
    assert reads


@proves(replaced(ending, "SOON_SECONDS", 0))
async def test_the_word_that_it_listens_is_waited_for(
    client: Client, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on the way when the start could be sent."""
    await client.store.push.open()
    monkeypatch.setattr(ending, "SOON_SECONDS", 100 * ending.SOON_SECONDS)
    word_after(client, monkeypatch, 0.05)
    assert await executed(client) == 7
    assert reads == []


async def test_the_word_is_not_waited_for_for_long(
    client: Client, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not come soon the run is started all the same, and its end is read."""
    await client.store.push.open()
    word_after(client, monkeypatch, 60)
    assert await executed(client) == 7
    assert reads


async def test_a_run_that_was_there_is_read(client: Client, reads: list[str]) -> None:
    """What was listened for is the run that was not made: the one that exists may have ended."""
    await client.start("app:pay", id="w")
    assert await executed(client, id_conflict_policy="use_existing") == 7
    assert reads
    assert len(client.store.push._listeners) == 1
