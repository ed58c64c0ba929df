"""The namespace commands."""

from __future__ import annotations

import pytest
from tests.support.commands import Commands


def test_create_describe_update_list(luaflow: Commands) -> None:
    """A namespace is what it was created as, until it is updated."""
    name = luaflow.namespace
    shown = luaflow("namespace", "describe", "-o", "json").json
    assert (shown["name"], shown["partitions"], shown["lease_ms"]) == (name, 16, 10_000)
    changed = luaflow(
        "namespace", "update", name, "--lease", "3s", "--retention", "1h", "-o", "json"
    )
    assert (changed.json["lease_ms"], changed.json["retention_ms"]) == (3000, 3_600_000)
    assert luaflow("namespace", "describe", name, "-o", "json").json == changed.json
    listed = luaflow("namespace", "list", "-o", "json").json["namespaces"]
    assert changed.json in listed
    assert name in luaflow("namespace", "list").out
    assert "retention_ms" in luaflow("namespace", "describe").out


@pytest.mark.parametrize(
    ("code", "says", "words"),
    [
        (2, "is not a name", ("create", "a b")),
        (2, "partitions must be 1-1024", ("create", "ok", "--partitions", "0")),
        (2, "durability must be one of", ("create", "ok", "--durability", "high")),
        (2, "--lease must be a duration", ("create", "ok", "--lease", "long")),
        (2, "lease_ms must be more than 0", ("create", "ok", "--lease", "0s")),
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
