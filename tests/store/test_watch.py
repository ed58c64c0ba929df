"""The server is looked at again and again: what is found, who hears of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.support.mutants import patience, proves, replaced

from luaflow.embedded import EmbeddedServer
from luaflow.observe.server import ServerFindings
from luaflow.store import condition, permissions
from luaflow.store.checks import check_all
from luaflow.store.findings import Finding
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.store import Store
from luaflow.store.watch import ServerWatch

POLICY = ("CONFIG", "SET", "maxmemory-policy")


@pytest.fixture
async def store(tmp_path: Path, server_binary: Path | None) -> AsyncIterator[Store]:
    with EmbeddedServer(tmp_path / "data", appendfsync="everysec", binary=server_binary) as server:
        link = Link(server.url)
        await create_namespace(link, "watched", Settings(partitions=2))
        await link.close()
        store = await Store.open(server.url, "watched")
        yield store
        await store.close()


class Watch(ServerWatch):
    """One that says when it has looked."""

    def __init__(self, store: Store, every: float) -> None:
        super().__init__(store, every=every)
        self.looked = asyncio.Condition()

    async def look(self) -> None:
        await super().look()
        async with self.looked:
            self.looked.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(patience()), self.looked:
            await self.looked.wait_for(holds)


async def asked_by_hand(store: Store, *words: str) -> None:
    """What an operator does beside us, on a connection of his own."""
    link = Link(store.url)
    (answer,) = await link.batch([words])
    assert not isinstance(answer, Exception), answer
    await link.close()


async def fill(store: Store, percent: int) -> None:
    """Set the limit so that so much of it is used."""
    (text,) = await store.ask(("INFO", "memory"))
    used = int(condition.parse_info(text)["used_memory"])
    await asked_by_hand(store, "CONFIG", "SET", "maxmemory", str(used * 100 // percent))


def severe(found: list[Finding]) -> list[tuple[str, str]]:
    return [(f.check, f.text) for f in found if f.level == "refuse"]


async def test_policy_changed_live_is_found(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """An eviction policy set while we run is found at the next look; set back, all is well."""
    watch = Watch(store, 0.02)
    async with watch:
        await watch.until(lambda: watch.ready()[0])
        await asked_by_hand(store, *POLICY, "allkeys-lru")
        await watch.until(lambda: not watch.ready()[0])
        assert "CONFIG SET maxmemory-policy noeviction" in watch.ready()[1]
        await asked_by_hand(store, *POLICY, "noeviction")
        await watch.until(lambda: watch.ready()[0])
    told = [r.levelname for r in caplog.records if "allkeys-lru" in r.message]
    assert told == ["ERROR"]  # once, however often it was looked at


@proves(replaced(ServerWatch, "wake", lambda _: None))
async def test_a_new_connection_is_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart or a fail-over nothing that was known holds: it is looked at once."""
    watch = Watch(store, 3600)
    async with watch:
        await watch.until(lambda: True)
        await asked_by_hand(store, *POLICY, "allkeys-lru")
        await asked_by_hand(store, "CLIENT", "KILL", "TYPE", "normal")
        await store.read(("PING",))
        await watch.until(lambda: not watch.ready()[0])
    await asked_by_hand(store, *POLICY, "noeviction")
    monkeypatch.undo()


async def test_warnings_stand_in_the_answer(store: Store) -> None:
    """A server that is fit, but for a warning, is ready, and the warning is told."""
    await fill(store, 77)
    watch = Watch(store, 3600)
    await watch.look()
    ok, text = watch.ready()
    assert ok
    first, *lines = text.splitlines()
    assert first == "ready"
    assert any(line.startswith("warning: the server uses ") for line in lines), lines
    registry = CollectorRegistry()
    ServerFindings(registry, lambda: watch.findings)
    name = "luaflow_server_findings"
    assert registry.get_sample_value(name, {"check": "memory", "level": "warn"}) == 1
    assert registry.get_sample_value(name, {"check": "eviction", "level": "refuse"}) == 0


async def test_figures_that_move_are_not_told_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning whose percentage changes is the same warning."""
    watch = Watch(store, 3600)
    await fill(store, 76)
    await watch.look()
    await fill(store, 79)
    await watch.look()
    assert caplog.text.count("of its maxmemory") == 1


async def test_missing_permissions_are_found(store: Store) -> None:
    """What scripts may not do is refused before one breaks off half way; the rest is told."""
    assert await permissions.check_permissions(store) == []
    await asked_by_hand(store, "ACL", "SETUSER", "default", "-publish", "-xreadgroup")
    found = await check_all(store)
    ((check, text),) = severe(found)
    assert check == "permissions"
    assert "may not use PUBLISH on" in text
    assert any("may not use XREADGROUP:" in f.text for f in found if f.level == "warn")
    await asked_by_hand(store, "ACL", "SETUSER", "default", "+@all", "resetkeys", "~other:*")
    ((check, text),) = severe(await permissions.check_permissions(store))
    assert "may not run scripts on the keys" in text
    await asked_by_hand(store, "ACL", "SETUSER", "default", "allkeys", "resetchannels")
    ((check, text),) = severe(await permissions.check_permissions(store))
    assert "may not use PUBLISH on" in text


def test_permissions_of_scripts_are_read_off_them() -> None:
    """The commands asked about are those that stand in the scripts."""
    found = permissions.of_scripts()
    assert {"HSET", "XADD", "ZADD", "PUBLISH", "UNLINK", "XGROUP CREATE"} <= set(found)
    assert "XGROUP" not in found


async def test_a_clock_that_went_back_is_told(store: Store) -> None:
    """Namespace time far ahead of the server's clock: that clock went back."""
    assert [f for f in await check_all(store) if f.check == "clock"] == []
    ahead = int(time.time() * 1000) + 3_600_000
    await store.read(("HSET", store.partitions[1].meta, "last", str(ahead)))
    (found,) = [f for f in await check_all(store) if f.check == "clock"]
    assert "clock is 60 min behind the time it has told this namespace before" in found.text
    # where time was moved by hand it is no wonder
    await store.read(("HSET", store.partitions[1].meta, "offset", "3600000"))
    assert [f for f in await check_all(store) if f.check == "clock"] == []


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ((1060.0, 60.0), None),
        ((1064.0, 60.0), None),
        ((4660.0, 60.0), "jumped forward by 60 min"),
        ((1000.0, 60.0), "jumped back by 60 s"),
    ],
)
def test_jumps_between_two_looks(after: tuple[float, float], says: str | None) -> None:
    """A clock that moved otherwise than the time that went by has jumped."""
    found = list(condition.of_jump((1000.0, 0.0), after))
    assert [says in f.text for f in found if says] == ([True] if says else [])
    assert len(found) == (says is not None)


@pytest.mark.parametrize(
    ("info", "level", "says"),
    [
        ({"role": "slave", "slave_read_only": "0", "master_host": "a"}, "refuse", "a:? that takes"),
        ({"role": "slave", "master_link_status": "down"}, "warn", "its link is down"),
        (
            {"connected_slaves": "1", "slave0": "ip=b,port=1,state=online,offset=9,lag=30"},
            "warn",
            "the replica b:1 is behind (state online, last heard 30 s ago)",
        ),
        ({"aof_last_write_status": "err"}, "warn", "last write to its AOF failed"),
        ({"aof_enabled": "1", "aof_last_bgrewrite_status": "err"}, "warn", "rewrite of its AOF"),
        ({"rdb_last_bgsave_status": "err"}, "warn", "last save (RDB) failed"),
        ({"used_memory": "90", "maxmemory": "100"}, "warn", "new starts are refused, running"),
        ({"used_memory": "75", "maxmemory": "100"}, "warn", "from 85% on"),
        (
            {"used_memory": "1", "maxmemory": str(4 << 30), "total_system_memory": str(2 << 30)},
            "warn",
            "maxmemory is 4.0 GB, the machine has 2.0 GB",
        ),
        (
            {"used_memory_rss": str(8 << 20), "maxmemory": "0", "total_system_memory": "10000000"},
            "warn",
            "no maxmemory and uses 8 MB",
        ),
        ({"server_time_usec": "1000000000"}, "warn", "behind this machine's"),
    ],
)
def test_what_info_says(info: dict[str, str], level: str, says: str) -> None:
    """Each thing that can be wrong is said with the remedy; on a healthy server nothing is."""
    rules = (condition.of_role, condition.of_disk, condition.of_room, condition.of_clock)
    found = [one for rule in rules for one in rule(info)]
    assert [(f.level, says in f.text) for f in found] == [(level, True)]
    healthy = {"role": "master", "connected_slaves": "1", "maxmemory": "100", "used_memory": "10"}
    healthy |= {"slave0": "ip=b,port=1,state=online,offset=9,lag=1", "aof_enabled": "1"}
    assert [one for rule in rules for one in rule(healthy)] == []


@pytest.mark.parametrize(("apart", "says"), [(30, 0), (-30, 0), (3600, 1), (-3600, 1)])
def test_clocks_that_differ(apart: int, says: int) -> None:
    """A minute between the two clocks is nothing; an hour is told."""
    info = {"server_time_usec": "5000000000"}
    assert len(list(condition.of_clock(info, 5000 - apart))) == says


async def test_a_server_that_is_away_is_no_crash(store: Store) -> None:
    """A look that cannot be made is no failure of the watch: others say that Redis is away."""
    watch = Watch(store, 3600)
    logging.getLogger("luaflow.store.link").setLevel(logging.CRITICAL)
    await store.link.close()
    store.link = Link("redis://127.0.0.1:1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("luaflow.store.store.PATIENCE_SECONDS", 0.0)
        patch.setattr(store, "_repeat", _away)
        await watch.start()
        watch.wake()
        await watch.stop()
    assert watch.crashes == 0


async def _away(*_: object, **__: object) -> None:
    from luaflow.errors import Unavailable

    raise Unavailable("away")
