"""hash and base64: known answers, in workflows (nothing recorded) and in functions."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.modules.support_modules import in_function, in_workflow, play

MODULES = ("hash", "base64")

CASES: dict[str, tuple[str, Any]] = {
    "digests in hex": (
        "return { hash.md5('abc'), hash.sha1('abc'), hash.sha256('abc'), hash.sha512('abc') }",
        [hashlib.new(name, b"abc").hexdigest() for name in ("md5", "sha1", "sha256", "sha512")],
    ),
    "digests as bytes": (
        "return { #hash.md5('', true), #hash.sha1('', true), hash.sha256('x', true) }",
        [16, 20, hashlib.sha256(b"x").digest()],
    ),
    "codes take the data first": (
        """return { hash.hmac_md5('data', 'key'), hash.hmac_sha1('data', 'key'),
            hash.hmac_sha256('data', 'key'), hash.hmac_sha512('data', 'key', false) }""",
        [hmac.new(b"key", b"data", n).hexdigest() for n in ("md5", "sha1", "sha256", "sha512")],
    ),
    "codes as bytes": (
        "return hash.hmac_sha256('data', 'key', true)",
        hmac.new(b"key", b"data", "sha256").digest(),
    ),
    "FNV-1": (
        "return { hash.fnv32(''), hash.fnv32('hello'), hash.fnv64('hello'), hash.fnv64('') }",
        [0x811C9DC5, 3069866343, 8883723591023973575, 0xCBF29CE484222325 - 2**64],
    ),
    "data is bytes": (
        "return { hash.sha256('\\0\\xff'), hash.md5(('x'):rep(100000)) }",
        [hashlib.sha256(b"\0\xff").hexdigest(), hashlib.md5(b"x" * 100000).hexdigest()],
    ),
    "what is no text is Invalid": (
        """local kinds = {}
        for _, name in ipairs({ 'md5', 'sha512', 'hmac_sha1', 'fnv32', 'fnv64' }) do
            local v, err = hash[name](5, 'key')
            kinds[#kinds + 1] = v == nil and err:kind()
        end
        return { kinds, select(2, hash.hmac_md5('x')):message(), select(2,
            hash.md5()):retryable() }""",
        [["Invalid"] * 5, "hash.hmac_md5: the secret must be a string, got nil", False],
    ),
    "pbkdf2": (
        """return { hash.pbkdf2('password', 'salt', 1000, 20),
            #hash.pbkdf2('password', 'salt', 1, 100, 'sha512') }""",
        [hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1000, 20), 100],
    ),
    "pbkdf2 refuses": (
        """local out = {}
        for i, args in ipairs({ { '', 's', 1, 1 }, { 'p', '', 1, 1 }, { 'p', 's', 0, 1 },
            { 'p', 's', 10000001, 1 }, { 'p', 's', 1, 0 }, { 'p', 's', 1, 1, 'md5' },
            { 'p', 's', 1.5, 1 }, { 1, 's', 1, 1 } }) do
            out[i] = select(2, hash.pbkdf2(table.unpack(args))):kind()
        end return out""",
        ["Invalid"] * 8,
    ),
    "base64": (
        """return { base64.encode(''), base64.encode('a'), base64.encode('ab'),
            base64.encode('\\0\\xff\\xfe'), base64.decode('') , base64.decode('AP/+'),
            base64.decode('YQ=='), base64.decode('YW\\r\\nI=') }""",
        ["", "YQ==", "YWI=", "AP/+", "", b"\0\xff\xfe", "a", "ab"],
    ),
    "base64 refuses": (
        """local out = {}
        for i, text in ipairs({ '!', 'YQ', 'YQ=', 'Y===', 'YQ==YQ==', 'a-_b', 5 }) do
            local v, err = base64.decode(text)
            out[i] = v == nil and err:kind()
        end return { out, select(2, base64.encode({})):kind() }""",
        [["Invalid"] * 7, "Invalid"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_in_workflows(name: str) -> None:
    """The answers are computed: no event tells of them."""
    body, expected = CASES[name]
    assert in_workflow(body, modules=MODULES) == expected
    assert play(body, modules=MODULES).commands == []


@pytest.mark.parametrize("name", CASES)
async def test_in_functions(tmp_path: Path, name: str) -> None:
    """The same answers."""
    body, expected = CASES[name]
    assert await in_function(tmp_path, body, modules=MODULES) == expected


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_survive_base64(data: bytes) -> None:
    """Encoded as Python does, and back."""
    text = base64.b64encode(data).decode()
    body = f"return {{ base64.encode((...)) == '{text}', base64.decode('{text}') == (...) }}"
    assert in_workflow(body, {"$lf": "bytes", "v": text}, modules=MODULES) == [True, True]


@pytest.mark.parametrize("size", [6143, 6144, 6145, 6146, 8191, 8192, 12_293, 65_537])
def test_long_bytes_survive_base64(size: int) -> None:
    """Long ones are written and read in larger steps."""
    data = bytes(i * 7 % 256 for i in range(size)) + b"\xff"
    text = base64.b64encode(data).decode()
    body = "local d, t = ... return { base64.encode(d) == t, base64.decode(t) == d, d }"
    given_bytes = {"$lf": "bytes", "v": text}
    assert in_workflow(body, given_bytes, text, modules=MODULES) == [True, True, data]


def test_a_workflow_derives_no_key_for_seconds() -> None:
    """Much work is refused in one call, and by its sum in many."""
    refused = "local _, err = hash.pbkdf2('p', 's', 1000001, 32) return err:message()"
    assert "do it in an activity" in in_workflow(refused, modules=MODULES)
    long = "local _, err = hash.pbkdf2('p', 's', 500001, 64) return err:message()"
    assert "do it in an activity" in in_workflow(long, modules=MODULES)
    often = "for i = 1, 50 do hash.pbkdf2('p', 's', 40000, 32) end"
    last = play(often, modules=MODULES).last
    assert last.status == "failed"
    assert b"more than 100000 calls" in (last.failure or b"")


def test_hashing_without_end_is_stopped() -> None:
    """Python's work is counted by bytes: a hundred megabytes an activation."""
    body = "local s = ('x'):rep(1000000) for i = 1, 200 do hash.md5(s) end"
    last = play(body, modules=MODULES).last
    assert b"more than 100000 calls" in (last.failure or b"")
