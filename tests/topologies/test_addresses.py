"""Addresses of several servers: read in one place, and wrong ones told in one clear line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.cluster import Cluster
from tests.support.commands import Commands
from tests.support.mutants import proves, replaced
from tests.support.nodes import data_node, free_port
from tests.support.sentinel import MASTER, Sentinels

from luaflow.errors import InvalidArgument, LuaflowError, Unavailable, exit_code
from luaflow.store import finding
from luaflow.store.address import Place, hide_password, parse_address
from luaflow.store.links import make_link


def test_sentinels_are_read() -> None:
    """Hosts with and without a port, the master's name, who to be, and as whom to ask."""
    url = "redis+sentinel://me:a%40b@h1,h2:1,[::1]:2/my%20master?db=3&sentinel_password=s%2F"
    address = parse_address(url)
    assert address.kind == "sentinel"
    assert address.places == (Place("h1", 26379), Place("h2", 1), Place("::1", 2))
    assert address.master == "my master"
    assert address.of(Place("h9", 5)) == "redis://me:a%40b@h9:5?db=3"
    assert address.of_sentinel(Place("::1", 2)) == "redis://:s%2F@[::1]:2?login=sentinel"
    assert str(address) == "redis+sentinel://…@h1,h2:1,[::1]:2/my%20master"


def test_clusters_are_read() -> None:
    """TLS, and options of the connection, which each node is reached with."""
    address = parse_address("rediss+cluster://:pw@h1:7000,h2?ssl_cert_reqs=none")
    assert address.kind == "cluster"
    assert address.places == (Place("h1", 7000), Place("h2", 6379))
    assert address.of(address.places[0]) == "rediss://:pw@h1:7000?ssl_cert_reqs=none"


def test_one_server_stays_one() -> None:
    """The addresses that were known before."""
    for url in ("redis://h:1/2", "rediss://h", "unix:///tmp/x.sock", "h:6379", "localhost"):
        assert parse_address(url).kind == "server"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://h", "it begins with http://, and not with one of redis://"),
        ("redis+sentinel://h1,h2", "the name of the master is missing"),
        ("redis+sentinel://h1/a/b", "the name of the master is missing"),
        ("redis+sentinel:///m", "it names no host"),
        ("redis+cluster://h1,,h2", "it names no host, or there is a comma too many"),
        ("redis+cluster://h1:port", "Port could not be cast to integer"),
        ("redis+cluster://h1:99999", "Port out of range"),
        ("redis+cluster://:6379", "there is no host in ':6379'"),
        ("redis+cluster://h1/3", "a cluster has no databases"),
        ("redis+cluster://h1?db=3", "a cluster has no databases"),
        ("redis+cluster://h1?sentinel_password=x", "a cluster has no Sentinels"),
        ("redis+cluster://h1?what=3", "what is no option of a connection"),
        ("redis://h1?what=3", "what is no option of a connection"),
        ("redis+sentinel://h1/m?db=x", "Invalid value for 'db'"),
    ],
)
def test_what_is_no_address(url: str, why: str) -> None:
    """Each says which address, and what is wrong with it."""
    with pytest.raises(InvalidArgument) as caught:
        parse_address(url)
    assert why in caught.value.message
    assert hide_password(url).partition("?")[0] in caught.value.message
    assert exit_code(caught.value) == 2


def test_no_password_is_told() -> None:
    """Not in errors, not in logs: also not one of a Sentinel."""
    url = "redis+sentinel://me:secret@h1/m?sentinel_password=secret&what=1"
    assert "secret" not in str(parse_address(url.replace("&what=1", "")))
    with pytest.raises(InvalidArgument) as caught:
        parse_address(url)
    assert "secret" not in caught.value.message


async def refusal(url: str) -> LuaflowError:
    """What the first use of an address ends with."""
    link = make_link(url)
    try:
        await link.batch([("HGET", "lf:namespaces", "default")])
    except LuaflowError as error:
        return error
    finally:
        await link.close()
    raise AssertionError(f"{url} was taken")


async def test_servers_of_another_kind(tmp_path: Path) -> None:
    """A cluster that is none, a node taken for a server, Sentinels that are none: what to write."""
    one = data_node(tmp_path / "one")
    cluster = Cluster(tmp_path / "cluster", primaries=1, replicas=0)
    sentinels = Sentinels(tmp_path / "sentinels", replicas=0, sentinels=1)
    await one.start()
    try:
        async with cluster, sentinels:
            node, sentinel = cluster.nodes[0].address, sentinels.others[0].address
            for url, kind, words in (
                (f"redis+cluster://{one.address}", 2, "is no node of a cluster"),
                (f"redis+cluster://{sentinel}", 2, "is no node of a cluster"),
                (f"redis://{node}", 2, f"write redis+cluster://{node}"),
                (f"redis://{sentinel}", 2, f"write redis+sentinel://{sentinel}/MASTER"),
                (f"redis+sentinel://{one.address}/{MASTER}", 2, "is no Sentinel"),
                (
                    f"redis+sentinel://{sentinel}/other",
                    3,
                    f"no master named 'other', but '{MASTER}'",
                ),
            ):
                error = await refusal(url)
                assert words in error.message, url
                assert "\n" not in error.message
                assert exit_code(error) == kind, url
    finally:
        one.kill()


async def _believe(*_: object) -> None:
    """Ask a server nothing: the Sentinels have named it."""


@pytest.mark.parametrize(
    ("kind", "words"), [("sentinel", "no Sentinel answers"), ("cluster", "no node answers")]
)
def test_nobody_there(kind: str, words: str) -> None:
    """The command line says it in one line, with code 3."""
    url = f"redis+{kind}://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    url += "/main" if kind == "sentinel" else ""
    answer = Commands(url, "default")("workflow", "list")
    assert answer.code == 3
    assert f"error: cannot reach Redis at {url}: {words}" in answer.err
    assert answer.err.count("\n") == 1


@proves(replaced(finding.Sentinels, "check", _believe))
async def test_a_replica_is_no_master(tmp_path: Path) -> None:
    """Sentinels that have not heard yet name a server that says itself what it is."""
    async with Sentinels(tmp_path, replicas=1, sentinels=1) as group:
        other = group.replicas[0]
        for node in group.nodes:  # behind the back of the Sentinel, who takes some time to see it
            await node.ask("REPLICAOF", "127.0.0.1", other.port if node is not other else 1)
        error = await refusal(group.url)
        assert isinstance(error, Unavailable)
        assert "which it is not (yet)" in error.message


async def test_a_link_follows_who_is_demoted_behind_its_back(tmp_path: Path) -> None:
    """READONLY breaks the connection; the next call finds the new master."""
    async with Sentinels(tmp_path, replicas=1) as group:
        link = make_link(group.url)
        try:
            assert await link.batch([("SET", "k", "1"), ("WAIT", 1, 1000)]) == [b"OK", 1]
            await group.failover()
            async with asyncio.timeout(20):
                while True:
                    try:
                        (answer,) = await link.batch([("SET", "k", "2")])
                        if answer == b"OK" and await group.primary.ask("GET", "k") == b"2":
                            break
                    except Unavailable:
                        pass
                    await asyncio.sleep(0.02)
        finally:
            await link.close()
