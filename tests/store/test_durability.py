"""A durability level is confirmed as the server can, and a level that is changed is taken over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import ResponseError
from tests.support.mutants import proves, replaced
from tests.support.replication import Replication
from tests.support.runs import Runs

from luaflow.errors import Unknown
from luaflow.store import store as store_module
from luaflow.store import transitions
from luaflow.store.confirming import command_on, knows_waitaof, syncs_always
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace, update_namespace
from luaflow.store.store import Store
from luaflow.store.transitions import Route

WAITAOF = ("WAITAOF", 1, 0, 5000)
BOTH = ("WAITAOF", 1, 2, 5000)


@pytest.mark.parametrize(
    ("wanted", "always", "waitaof", "command"),
    [
        ((), False, True, ()),
        (("WAIT", 1, 1000), True, True, ("WAIT", 1, 1000)),
        (WAITAOF, True, True, ()),
        (WAITAOF, True, False, ()),
        (WAITAOF, False, True, WAITAOF),
        (WAITAOF, False, False, WAITAOF),  # the server says that it cannot: nothing is confirmed
        (BOTH, True, True, BOTH),
        (BOTH, True, False, ("WAIT", 2, 5000)),
    ],
)
def test_what_confirms_on_which_server(
    wanted: tuple[str | int, ...],
    always: bool,
    waitaof: bool,
    command: tuple[str | int, ...],
) -> None:
    assert command_on(wanted, always=always, waitaof=waitaof) == command


def test_what_a_server_says_of_itself() -> None:
    versions = ["7.0.15", "7.2.4", "8.0.0-rc1", "255.255.255", ""]
    found = [knows_waitaof({"redis_version": version}) for version in versions]
    assert found == [False, True, True, True, False]
    answers = [[b"appendfsync", b"always"], [b"appendfsync", b"no"], [], ResponseError("NOPERM")]
    assert [syncs_always(answer) for answer in answers] == [True, False, False, False]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Replication]:
    """A primary that syncs once a second, and its replica."""
    async with Replication(tmp_path) as group:
        yield group


async def opened(group: Replication, settings: Settings) -> Store:
    link = Link(group.url)
    await create_namespace(link, "ns", settings)
    await link.close()
    return await Store.open(group.url, "ns")


async def signal(store: Store, route: Route) -> None:
    """Write something that is confirmed, or raise Unknown."""
    call = transitions.message(route=route, type="WorkflowExecutionSignaled", body=b"{}")
    await store.one(call, patience=0.3)


async def test_fsynced_asks_for_what_the_server_does_not_do_by_itself(pair: Replication) -> None:
    """everysec: WAITAOF, where there is one; always: its answer is enough. Also while it runs."""
    store = await opened(pair, Settings(partitions=1, durability="fsynced"))
    route = Runs(store).route("wf")
    if knows_waitaof(await pair.primary.info("server")):
        await signal(store, route)
        assert (await pair.primary.info("commandstats"))["cmdstat_waitaof"]["calls"] > 0
    else:
        with pytest.raises(Unknown, match="not confirmed"):
            await signal(store, route)
    assert store.confirms
    await pair.primary.ask("CONFIG", "SET", "appendfsync", "always")
    store._look_at = 0  # when it looks the next time
    await signal(store, route)
    assert not store.confirms
    await store.close()


async def test_fsynced_on_replicas_waits_for_them(pair: Replication) -> None:
    """The disk of a replica, too, where that is asked for: it outlives the primary's machine."""
    await pair.primary.ask("CONFIG", "SET", "appendfsync", "always")
    await pair.replicas[0].ask("CONFIG", "SET", "appendfsync", "always")
    store = await opened(pair, Settings(partitions=1, durability="fsynced", synced_replicas=1))
    route = await Runs(store).start("wf")
    await signal(store, route)
    pair.replicas[0].pause()
    store.link.confirm = (store.link.confirm[0], 1, 1, 200)
    with pytest.raises(Unknown, match="not confirmed"):
        await signal(store, route)
    pair.replicas[0].resume()
    await store.close()


@proves(replaced(store_module, "SETTINGS_SECONDS", 3600.0))
async def test_a_level_that_is_raised_reaches_who_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opened the namespace before goes by the new level within SETTINGS_SECONDS."""
    if store_module.SETTINGS_SECONDS < 60:
        monkeypatch.setattr(store_module, "SETTINGS_SECONDS", 0.0)
    async with Replication(tmp_path) as group:
        store = await opened(group, Settings(partitions=1))
        route = await Runs(store).start("wf")
        group.replicas[0].pause()
        await signal(store, route)
        link = Link(group.url)
        changed = await update_namespace(link, "ns", durability="replicated")
        await link.close()
        with pytest.raises(Unknown, match="not confirmed"):
            await signal(store, route)
        assert store.settings == changed
        group.replicas[0].resume()
        await store.close()
