"""``luaflow server check``: what is wrong with the server, and the exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.commands import Commands

from luaflow.embedded import EmbeddedServer


@pytest.fixture
def own(tmp_path: Path, server_binary: Path | None) -> Iterator[Commands]:
    """The command line, pointed at a server of this test alone."""
    with EmbeddedServer(tmp_path / "data", binary=server_binary) as server:
        yield Commands(server.url, "default")


def set_policy(luaflow: Commands, policy: str) -> None:
    """What an operator does by hand."""

    async def work(player: object) -> None:
        command = ("CONFIG", "SET", "maxmemory-policy", policy)
        await player.store.read(command)  # type: ignore[attr-defined]

    luaflow.play(work)


def test_a_fit_server_and_one_that_evicts(own: Commands) -> None:
    """0 and one line for a server that is fit; 5, the reason and the remedy for one that is not."""
    fit = own("server", "check")
    assert fit.code == 0, fit
    assert ": fit" in fit.out.splitlines()[-1]
    found = own("server", "check", "-o", "json")
    assert (found.code, found.json["fit"]) == (0, True)
    assert found.json["server"].split()[0] in {"Valkey", "Redis"}
    assert all(one["check"] == "version" for one in found.json["findings"])
    set_policy(own, "volatile-lru")
    bad = own("server", "check")
    assert bad.code == 5
    assert "refuse (eviction): the server's maxmemory-policy is 'volatile-lru'" in bad.out
    assert "must not be used" in bad.out.splitlines()[-1]
    shape = own("server", "check", "-o", "json")
    assert (shape.code, shape.json["fit"]) == (5, False)
    assert "eviction" in {one["check"] for one in shape.json["findings"]}
    set_policy(own, "noeviction")


def test_a_server_that_is_away(own: Commands) -> None:
    """3 where there is no server; 4 where there is no such namespace."""
    away = own("server", "check", "--redis", "127.0.0.1:1")
    assert (away.code, away.out) == (3, "")
    assert "cannot reach Redis" in away.err
    assert own("server", "check", "--namespace", "nope").code == 4
