"""The namespace commands."""

from __future__ import annotations

import pytest
from tests.support.commands import Commands
from tests.support.player import Player

from luaflow.store.keys import NAMESPACES


def test_create_describe_update_list(luaflow: Commands) -> None:
    """A namespace is what it was created as, until it is updated."""
    name = luaflow.namespace
    shown = luaflow("namespace", "describe", "-o", "json").json
    assert (shown["name"], shown["partitions"], shown["lease_ms"]) == (name, 16, 10_000)
    changed = luaflow(
        "namespace", "update", name, "--lease", "3s", "--retention", "1h", "-o", "json"
    )
    assert (changed.json["lease_ms"], changed.json["retention_ms"]) == (3000, 3_600_000)
    shown = luaflow("namespace", "describe", name, "-o", "json").json
    assert shown.pop("bytes")["index"] > 0
    assert shown == changed.json
    listed = luaflow("namespace", "list", "-o", "json").json["namespaces"]
    assert changed.json in listed
    assert name in luaflow("namespace", "list").out
    assert "retention_ms" in luaflow("namespace", "describe").out


@pytest.mark.parametrize(
    ("code", "says", "words"),
    [
        (2, "is not a name", ("create", "a b")),
        (2, "--partitions must be 1 to 1024", ("create", "ok", "--partitions", "0")),
        (2, "durability must be one of", ("create", "ok", "--durability", "high")),
        (2, "--lease must be a duration", ("create", "ok", "--lease", "long")),
        (2, "--lease must be 1000ms to 86400000ms, not 0s", ("create", "ok", "--lease", "0s")),
        (2, "--lease must be 1000ms to", ("create", "ok", "--lease", "1ms")),
        (2, "--replicas must be 1 to 100", ("create", "ok", "--replicas", "0")),
        (2, "--payload-warn-bytes must be 1 to", ("create", "ok", "--payload-warn-bytes", "-1")),
        (
            2,
            "payload_warn_bytes must not be more than payload_max_bytes (10)",
            ("create", "ok", "--payload-warn-bytes", "100", "--payload-max-bytes", "10"),
        ),
        (2, "payload_warn_bytes must not be more", ("update", "--payload-warn-bytes", "5000")),
        (2, "is fixed when a namespace is created", ("update", "--partitions", "3")),
        (2, "nothing to change", ("update",)),
        (4, "luaflow namespace create nope", ("describe", "nope")),
        (4, "there is no namespace 'nope'", ("update", "nope", "--lease", "1s")),
        (3, "cannot reach Redis", ("list", "--redis", "127.0.0.1:1")),
    ],
)
def test_bad_namespace_commands(
    luaflow: Commands, code: int, says: str, words: tuple[str, ...]
) -> None:
    """Whatever is wrong is one clear error with its exit code, and nothing is made."""
    answer = luaflow("namespace", *words)
    assert (answer.code, answer.out) == (code, ""), answer
    assert says in answer.err
    assert luaflow("namespace", "describe", "ok").code == 4


def test_a_namespace_is_made_once(luaflow: Commands) -> None:
    """A second create is refused and changes nothing."""
    before = luaflow("namespace", "describe").out
    assert luaflow("namespace", "create", luaflow.namespace, "--lease", "1s").code == 5
    assert luaflow("namespace", "describe").out == before


def keys(luaflow: Commands, pattern: str) -> list[str]:
    """The names of keys."""

    async def look(player: Player) -> list[str]:
        (found,) = await player.store.read(("KEYS", pattern))
        return [bytes(name).decode() for name in found]

    return luaflow.play(look)


def test_a_refused_create_writes_nothing(luaflow: Commands) -> None:
    """No partition is touched where the namespace exists, or cannot be written."""
    name = luaflow.namespace
    before = sorted(keys(luaflow, f"lf:{{{name}:*"))
    assert luaflow("namespace", "create", name, "--partitions", "32").code == 5
    assert sorted(keys(luaflow, f"lf:{{{name}:*")) == before
    answer = luaflow("namespace", "create", "huge", "--replicas", "99999999999999999999")
    assert (answer.code, "--replicas must be 1 to 100" in answer.err) == (2, True)
    assert keys(luaflow, "lf:{huge:*") == []


@pytest.mark.parametrize("simulated", [(), ("--simulated",)])
def test_what_a_broken_creation_left_is_overwritten(
    luaflow: Commands, simulated: tuple[str, ...]
) -> None:
    """Partitions that an earlier creation wrote before it ended get the settings of this one."""
    name = f"{luaflow.namespace}-left"
    metas = [f"lf:{{{name}:{p}}}:meta" for p in range(16)]

    async def leave(player: Player) -> None:
        old = ("version", 1, "lease", 5, *(() if simulated else ("vtime", 7)))
        await player.store.read(*(("HSET", meta, *old) for meta in metas[:3]))

    async def look(player: Player) -> list[list[bytes | None]]:
        found = await player.store.read(*(("HMGET", meta, "lease", "vtime") for meta in metas))
        await player.store.read(("DEL", *metas), ("HDEL", NAMESPACES, name))
        return found

    luaflow.play(leave)
    made = luaflow("namespace", "create", name, "--lease", "33s", *simulated)
    assert made.code == 0, made.err
    assert luaflow("namespace", "describe", name, "-o", "json").json["lease_ms"] == 33_000
    clock = b"1000000000000" if simulated else None
    assert luaflow.play(look) == [[b"33000", clock]] * 16
