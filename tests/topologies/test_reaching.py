"""Users and passwords, names and IPv6, addresses of the dead, nodes that announce what is not."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import Cluster
from tests.support.mutants import proves, replaced
from tests.support.nodes import free_port
from tests.support.sentinel import MASTER, Sentinels

from luaflow.errors import LuaflowError, Unavailable
from luaflow.store import address
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace

ALL = ("~*", "&*", "+@all")


async def ask(url: str, *command: str) -> Any:
    """One command by an address."""
    link = make_link(url)
    try:
        return (await link.batch([command]))[0]
    finally:
        await link.close()


async def refusal(url: str) -> str:
    """Why nothing can be asked; it tells no password."""
    with pytest.raises(LuaflowError) as caught:
        await ask(url, "HGET", "lf:namespaces", "default")
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message
    return caught.value.message


@proves(replaced(address, "_login", lambda *_: ""))
async def test_users_of_sentinels_and_of_their_master(tmp_path: Path) -> None:
    """Each with a password of its own; without one, or with a wrong one, the server's own words."""
    async with Sentinels(tmp_path, replicas=0, sentinels=1) as group:
        sentinel, master = group.others[0], group.primary
        await master.ask("ACL", "SETUSER", "luaflow", "on", ">secret", *ALL)
        await sentinel.ask("ACL", "SETUSER", "watch", "on", ">secret of it", *ALL)
        # the Sentinel itself goes on as the default user of the master
        await sentinel.ask("ACL", "SETUSER", "default", "off")
        end = f"{sentinel.address}/{MASTER}"
        own = "sentinel_username=watch&sentinel_password=secret+of+it"
        url = f"redis+sentinel://luaflow:secret@{end}?{own}"
        assert await ask(url, "ACL", "WHOAMI") == b"luaflow"
        told = await refusal(f"redis+sentinel://luaflow:secret@{end}")
        assert "no Sentinel answers" in told
        assert "uthentication" in told
        told = await refusal(f"redis+sentinel://luaflow:secrets@{end}?{own}")
        assert f"cannot reach Redis at redis://…@{master.address}" in told
        assert "announced by the Sentinels at redis+sentinel://…@" in told
        assert "WRONGPASS" in told or "invalid username-password" in told


async def test_users_of_a_cluster(tmp_path: Path) -> None:
    """Every node is reached as this user, with all that a namespace needs."""
    async with Cluster(tmp_path, primaries=3, replicas=0) as group:
        for node in group.nodes:
            await node.ask("ACL", "SETUSER", "luaflow", "on", ">secret", *ALL)
            await node.ask("ACL", "SETUSER", "default", "off")
        hosts = ",".join(node.address for node in group.nodes)
        link = make_link(f"redis+cluster://luaflow:secret@{hosts}")
        try:
            await create_namespace(link, "ns", Settings(partitions=6))
            told = await link.each(("ACL", "WHOAMI"))
        finally:
            await link.close()
        assert list(told.values()) == [[b"luaflow"]] * 3
        assert "no node answers" in await refusal(f"redis+cluster://{hosts}")


async def test_one_of_many_is_alive(tmp_path: Path) -> None:
    """A list of Sentinels, or of nodes, of which all but one are dead; a name for a number."""
    dead = ",".join(f"127.0.0.1:{free_port()}" for _ in range(3))
    sentinels = Sentinels(tmp_path / "s", replicas=0, sentinels=1)
    cluster = Cluster(tmp_path / "c", primaries=1, replicas=0)
    async with sentinels, cluster:
        port = sentinels.others[0].port
        for host in ("127.0.0.1", "localhost"):
            assert await ask(f"redis+sentinel://{dead},{host}:{port}/{MASTER}", "PING") == b"PONG"
            node = f"{host}:{cluster.nodes[0].port}"
            assert await ask(f"redis+cluster://{dead},{node}", "PING") == b"PONG"
        told = await refusal(f"redis+sentinel://no-such-host.invalid:{port}/{MASTER}")
        assert "no Sentinel answers (no-such-host.invalid" in told


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_ipv6(tmp_path: Path) -> None:
    """An address in brackets is taken apart, asked, and shown in brackets again."""
    port = free_port()
    url = f"redis+cluster://[::1]:{port}"
    assert f"no node answers ([::1]:{port}: " in await refusal(url)


async def test_nodes_that_announce_what_is_not_there(tmp_path: Path) -> None:
    """The error names the place that was announced, and where it comes from."""
    async with Cluster(tmp_path, primaries=1, replicas=0) as group:
        node = group.nodes[0]
        await node.ask("CONFIG", "SET", "cluster-announce-hostname", "no-such-host.invalid")
        await node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname")
        link = make_link(group.url)
        try:
            with pytest.raises(Unavailable) as caught:
                await link.batch([("HGET", "lf:namespaces", "default")])
        finally:
            await link.close()
        assert f"no-such-host.invalid:{node.port}" in caught.value.message
        assert f"announced by the cluster at {group.url}" in caught.value.message
