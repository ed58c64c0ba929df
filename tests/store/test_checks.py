"""What is said about a server that is not fit to keep workflows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from luaflow.client import Client
from luaflow.embedded import EmbeddedServer
from luaflow.errors import NotFound, Refused
from luaflow.store import checks
from luaflow.store.checks import check_at_start, check_server
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings
from luaflow.store.store import Store
from luaflow.store.watch import ServerWatch


@pytest.fixture
async def link(tmp_path: Path, server_binary: Path | None) -> AsyncIterator[Link]:
    with EmbeddedServer(tmp_path / "data", appendfsync="everysec", binary=server_binary) as server:
        link = Link(server.url)
        yield link
        await link.close()


async def found(link: Link, settings: Settings | None = None) -> list[tuple[str, str]]:
    """The findings that are not about the version of the test's server."""
    every = await check_server(link, settings or Settings())
    return [(f.level, f.text) for f in every if "known hole" not in f.text]


async def test_embedded_server_is_fit(link: Link) -> None:
    """The server luaflow starts by itself has no findings."""
    assert await found(link) == []


async def test_eviction_is_refused(link: Link) -> None:
    """A server that evicts is refused, with the command that heals it."""
    await link.batch([("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")])
    ((level, text),) = await found(link)
    assert (level, "CONFIG SET maxmemory-policy noeviction" in text) == ("refuse", True)
    store = await Store.open(link.url, "default")
    with pytest.raises(Refused, match="allkeys-lru"):
        await check_at_start(store)
    await store.close()


async def test_server_without_disk_is_told(link: Link, caplog: pytest.LogCaptureFixture) -> None:
    """A server that keeps nothing on disk is warned about, and used."""
    await link.batch([("CONFIG", "SET", "appendonly", "no"), ("CONFIG", "SET", "save", "")])
    ((level, text),) = await found(link)
    assert (level, "keeps nothing on disk" in text) == ("warn", True)
    store = await Store.open(link.url, "default")
    await check_at_start(store)
    assert "keeps nothing on disk" in caplog.text
    await store.close()


async def test_a_scheduler_does_not_say_it_twice(
    link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    """What was said at the start is not said again by the first look of the watch."""
    await link.batch([("CONFIG", "SET", "appendonly", "no"), ("CONFIG", "SET", "save", "")])
    store = await Store.open(link.url, "default")
    await check_at_start(store)
    watch = ServerWatch(store)
    watch.wake()  # do not wait for the next look
    await watch.round()
    assert caplog.text.count("keeps nothing on disk") == 1
    await store.close()


async def test_a_client_asks_once(link: Link) -> None:
    """The first start asks about the server, however many begin together; none after it."""

    async def asked() -> int:
        (text,) = await link.batch([("INFO", "commandstats")])
        found = re.search(rb"cmdstat_config\|get:calls=(\d+)", text)
        return int(found[1]) if found else 0

    before = await asked()
    async with await Client.connect(link.url, "default") as client:
        for _ in range(2):
            starts = (client.start("app:no") for _ in range(20))
            found = await asyncio.gather(*starts, return_exceptions=True)
            assert {type(error) for error in found} == {NotFound}
    assert await asked() - before == 4 + 1  # names of CONFIG, and one for the connection


async def waitaof(link: Link) -> bool:
    """Whether the server can be asked to sync."""
    ((found,),) = await link.batch([("COMMAND", "INFO", "WAITAOF")])
    return found is not None


async def test_fsynced_needs_a_server_that_syncs(link: Link) -> None:
    """Durability fsynced is refused on a server that cannot sync before its answer counts."""
    settings = Settings(durability="fsynced")
    refused = ["no"] if await waitaof(link) else ["no", "everysec"]
    for sync in ("no", "everysec", "always"):
        await link.batch([("CONFIG", "SET", "appendfsync", sync)])
        answer = await found(link, settings)
        assert [level for level, _ in answer] == ["refuse"] * (sync in refused)
    await link.batch([("CONFIG", "SET", "appendonly", "no"), ("CONFIG", "SET", "save", "")])
    ((level, text),) = await found(link, settings)
    assert (level, "appendonly yes" in text) == ("refuse", True)


async def test_missing_replicas_are_told(link: Link) -> None:
    """Replicas that are asked for, and not there, are warned about: nothing would go on."""
    for settings in (
        Settings(durability="replicated"),
        Settings(durability="fsynced", synced_replicas=1),
    ):
        await link.batch([("CONFIG", "SET", "appendfsync", "always")])
        ((level, text),) = await found(link, settings)
        assert (level, "0 are connected" in text) == ("warn", True)


async def test_a_lease_too_short_for_disks_of_replicas_is_told(link: Link) -> None:
    """Workers that wait for a confirmation would look dead; the default is long enough."""
    await link.batch([("CONFIG", "SET", "appendfsync", "always")])
    for settings, told in (
        (Settings(durability="fsynced", synced_replicas=1, lease_ms=9_999), ["lease_ms is 9999"]),
        (Settings(durability="fsynced", synced_replicas=1), []),
        (Settings(durability="fsynced", lease_ms=9_999), []),
        (Settings(synced_replicas=1, lease_ms=9_999), []),
    ):
        texts = [text for _, text in await found(link, settings)]
        assert [text[:16] for text in texts if "lease" in text] == told


async def test_hidden_config_is_not_guessed(link: Link) -> None:
    """An ACL that hides CONFIG leaves what INFO says; one that hides INFO is named."""
    await link.batch([("ACL", "SETUSER", "default", "-config")])
    assert await found(link) == []
    if not await waitaof(link):
        ((level, text),) = await found(link, Settings(durability="fsynced"))
        assert (level, "hides CONFIG" in text) == ("warn", True)
    await link.batch([("ACL", "SETUSER", "default", "-info")])
    ((level, text),) = await found(link)
    assert (level, "hides INFO" in text) == ("warn", True)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({"redis_version": "6.2.14"}, ["too old"]),
        ({"redis_version": "7.0.15"}, ["7.2.11 or later"]),
        ({"redis_version": "7.4.5"}, ["7.4.6 or later", "8.6.3"]),
        ({"redis_version": "7.4.6"}, ["8.6.3"]),
        ({"redis_version": "8.2.1"}, ["8.2.2 or later", "8.6.3"]),
        ({"redis_version": "8.6.3"}, []),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, ["8.1.4 or later"]),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, []),
        ({"redis_version": "unstable"}, []),
    ],
)
def test_versions_with_known_holes(info: Mapping[str, str], says: list[str]) -> None:
    """Releases with known holes are told with the release that closes them."""
    texts = [finding.text for finding in checks._version(info)]
    assert len(texts) == len(says)
    assert all(part in text for part, text in zip(says, texts, strict=True))
