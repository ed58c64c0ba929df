"""Sealed values as text: every value comes back byte for byte, and nothing else is touched."""

from __future__ import annotations

import base64
import os
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.mutants import proves, replaced

from luaflow.codec.keys import Keyring, read_keys
from luaflow.codec.sealer import CODECS, Sealer
from luaflow.domain import sealed, values
from luaflow.domain.sealed import FAILURE, VALUE, Sealed, SealedPayload
from luaflow.errors import InvalidArgument, Refused
from luaflow.store.namespaces import Settings
from luaflow.store.objects_of import object_key, owner_of
from luaflow.store.payloads import Border

KEYS = Keyring({"k2": os.urandom(32), "k1": os.urandom(32)})
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5) | st.just("$lf"), inner),
    max_leaves=10,
)


async def _no_read(_command: Any) -> Any:
    raise AssertionError("nothing is read")


def border(codec: str) -> Border:
    """A border without a server."""
    return Border("ns", Settings(codec=codec), KEYS, None, _no_read)


@given(ANY, st.sampled_from(["zlib", "aes-gcm", "zlib+aes-gcm"]))
@settings(max_examples=60, deadline=None)
def test_every_value_comes_back_byte_for_byte(value: Any, codec: str) -> None:
    try:
        one = values.dumps(value)
    except ValueError:
        return
    failure = orjson.dumps({"kind": "K{}", "message": str(value)[:9], "retryable": None})
    text = b'{"seq":1,"name":"n{\\"","input":[%b, %b],"result":%b,"failure":%b,"memo":{"a":%b}}' % (
        one,
        one,
        one,
        failure,
        one,
    )
    here = border(codec)
    parts, puts = here._parts(text.decode(), sealed.payloads(text.decode()), "w:x", ("", ""))
    out = "".join(parts).encode()
    assert not puts
    assert out.count(b'"$lf":"sealed"') == 5
    shape = orjson.loads(out)
    assert shape["failure"]["kind"] == "K{}"  # policies and statistics go by it
    assert shape["name"] == 'n{"'
    assert here._opened(out, "w:x", {}) == text
    again, _ = here._parts(out.decode(), sealed.payloads(out.decode()), "w:x", ("", ""))
    assert "".join(again).encode() == out  # what is sealed is not sealed again
    other = here._opened(out, "w:y", {})
    assert (other == text) is (codec == "zlib")  # bound to its workflow id where it is encrypted


@proves(replaced(Sealer, "_bound", lambda *_: b""))
async def test_what_belongs_to_another_owner_kind_or_namespace_does_not_open() -> None:
    one = Sealer("ns", "aes-gcm", KEYS)
    shape, data = one.seal(b"1", "w:a", VALUE)
    assert one.open(shape, data, "w:a", VALUE, 10) == b"1"
    for owner, kind, sealer in (
        ("w:b", VALUE, one),
        ("j:a", VALUE, one),
        ("w:a", FAILURE, one),
        ("w:a", VALUE, Sealer("other", "aes-gcm", KEYS)),
    ):
        with pytest.raises(SealedPayload, match="were changed"):
            sealer.open(shape, data, owner, kind, 10)
    with pytest.raises(SealedPayload, match="a newer release"):
        one.open(shape | {"c": "brotli"}, data, "w:a", VALUE, 10)


MAILS = (
    {
        "k": "start",
        "started": {"input": [1], "memo": {"m": 1}, "context": {"c": 1}},
        "messages": [["WorkflowExecutionSignaled", {"name": "n", "input": ["S"], "from": ""}]],
    },
    {"k": "message", "type": "WorkflowExecutionSignaled", "body": {"name": "n", "input": ["S"]}},
    {"k": "outcome", "body": {"seq": 1, "result": "S"}},
    {
        "k": "outcome",
        "body": {
            "seq": 1,
            "failure": {
                "kind": "K",
                "message": "S",
                "retryable": None,
                "details": {"a": "S"},
                "stack": "S",
            },
        },
    },
    {"k": "letter", "letter": {"kind": "message", "to": "p", "topic": "t", "input": ["S"]}},
    {"k": "letter", "letter": {"kind": "ended", "to": "p", "ok": True, "value": "S"}},
)


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: str(mail["k"]))
async def test_a_message_is_sealed_for_whoever_gets_it(mail: dict[str, Any]) -> None:
    text = orjson.dumps({**mail, "workflow_id": "you"})
    here = border("aes-gcm")
    out = await here._argument(text.decode(), "document", "w:me", ("r", "run"))
    assert b'"S"' not in out
    assert out.count(b'"$lf":"sealed"') == (4 if mail["k"] == "start" else 1)
    owner = "n:you" if mail["k"] == "letter" else "w:you"
    assert here._opened(out, owner, {}) == text
    assert b'"S"' not in here._opened(out, "w:me", {})
    with pytest.raises(SealedPayload):  # what was not opened is not written back
        await here._argument(here._opened(out, "w:me", {}).decode(), "document", "w:me", ("", ""))


def test_a_bomb_stops_at_the_limit() -> None:
    one = Sealer("ns", "zlib", KEYS)
    data = zlib.compress(b"0" * 100_000)
    with pytest.raises(SealedPayload, match="more than 50000 bytes"):
        one.open({"c": "zlib"}, data, "w:a", VALUE, 50_000)
    with pytest.raises(SealedPayload, match="cut off"):
        one.open({"c": "zlib"}, data[:-8], "w:a", VALUE, 200_000)
    with pytest.raises(SealedPayload, match="cannot be decompressed"):
        one.open({"c": "zlib"}, b"nonsense", "w:a", VALUE, 10)


def test_without_its_key_nothing_is_written() -> None:
    with pytest.raises(Refused, match="takes encrypted payloads only"):
        Sealer("ns", "aes-gcm", Keyring({})).seal(b"1", "w:a", VALUE)


def test_who_has_no_keys_passes_a_value_on_and_says_why_it_cannot_tell_it() -> None:
    shape = {"c": "aes-gcm", "k": "k7", "n": "", "d": ""}
    value = values.decode({"$lf": "sealed", "v": shape})
    assert isinstance(value, Sealed)
    assert values.encode([value]) == [{"$lf": "sealed", "v": shape}]
    with pytest.raises(SealedPayload, match="sealed with the key 'k7'"):
        sealed.clear(value)
    with pytest.raises(SealedPayload, match="sealed with the key 'k7'"):
        sealed.check_open(values.dumps({"a": value}))


def test_keys_are_named_never_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = base64.b64encode(b"1" * 32).decode()
    file = tmp_path / "key"
    file.write_text(one + "\n")
    monkeypatch.setenv("ONE", one)
    assert read_keys(f"a:env:ONE, b:file:{file}") == {"a": b"1" * 32, "b": b"1" * 32}
    both = tmp_path / "keys.yaml"
    both.write_text(f"new: {one}\nold: {one}\n")
    assert list(read_keys(str(both))) == ["new", "old"]
    assert one not in repr(Keyring(read_keys(str(both))))
    monkeypatch.setenv("SHORT", "c2hvcnQ=")
    for reference, words in (
        ("a:env:NOWHERE", "NOWHERE is not set"),
        ("a:env:SHORT", "must be 32 bytes in base64"),
        ("a:file:/nowhere", "cannot be read"),
        (":env:ONE", "a codec key id must be"),
        ("a:env:ONE,b", "must be id:env:NAME"),
    ):
        with pytest.raises(InvalidArgument, match=words) as said:
            read_keys(reference)
        assert "c2hvcnQ" not in str(said.value)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
@settings(max_examples=50, deadline=None)
def test_an_object_says_whose_it_is(name: str) -> None:
    key = object_key("ns", 3, "w", name, "0" * 64)
    assert owner_of(key) == (3, "w", name)
    assert all(0 < len(part) <= 250 for part in key.split("/"))


def test_codecs_are_listed() -> None:
    assert CODECS == ("none", "read", "zlib", "aes-gcm", "zlib+aes-gcm")
