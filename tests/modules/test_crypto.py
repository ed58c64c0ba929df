"""crypto: random values and ciphertexts are recorded, what is computed from data is not."""

from __future__ import annotations

import hashlib
import hmac
import importlib
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.modules.support_modules import in_function, in_workflow, play

from luaflow.errors import MissingLibrary, WorkflowFailed
from luaflow.lua.services import ciphers

MODULES = ("crypto", "time")
LONG = "a secret of at least thirty-two bytes, as it should be"

CASES: dict[str, tuple[str, Any]] = {
    "random values": (
        """local a, b = crypto.random.bytes(32), crypto.random.bytes(32)
        return { #a, a ~= b, #crypto.random.string(20), crypto.random.string(5, 'x'),
            crypto.random.string(100, 'ab'):match('^[ab]+$') ~= nil,
            crypto.random.string(64):match('^%w+$') ~= nil,
            #crypto.random.uuid(), #crypto.random.bytes(1048576) }""",
        [32, True, 20, "xxxxx", True, True, 36, 1048576],
    ),
    "random values refuse": (
        """local function kind(f, ...) local v, e = f(...) return v == nil and e:kind() end
        local r = crypto.random
        return { kind(r.bytes, 0), kind(r.bytes, -1), kind(r.bytes, 1048577), kind(r.bytes, 1.5),
            kind(r.bytes), kind(r.bytes, '5'), kind(r.string, 0), kind(r.string, 5, ''),
            kind(r.string, 5, 5) }""",
        ["Invalid"] * 9,
    ),
    "codes take the key first": (
        "return { crypto.hmac.sha256('key', 'data'), crypto.hmac.sha512('key', 'data') }",
        [hmac.new(b"key", b"data", name).hexdigest() for name in ("sha256", "sha512")],
    ),
    "codes refuse": (
        """local a, e = crypto.hmac.sha256('', 'x') local b, f = crypto.hmac.sha512('k', 5)
        return { a == nil, e:kind(), e:retryable(), b == nil, f:kind() }""",
        [True, "Invalid", False, True, "Invalid"],
    ),
    "what is encrypted is decrypted": (
        r"""local out = {}
        for _, size in ipairs({ 16, 24, 32 }) do
            local key = ('k'):rep(size)
            local sealed = crypto.encrypt.aes('\0 text \xff', key)
            out[#out + 1] = #sealed - #'\0 text \xff'
            out[#out + 1] = crypto.decrypt.aes(sealed, key) == '\0 text \xff'
        end
        local key = ('k'):rep(32)
        out[#out + 1] = crypto.decrypt.chacha20(crypto.encrypt.chacha20('', key, 'aad'), key, 'aad')
        out[#out + 1] = crypto.encrypt.aes('a', key) ~= crypto.encrypt.aes('a', key)
        return out""",
        [28, True, 28, True, 28, True, "", True],
    ),
    "decryption fails": (
        """local key, other = ('k'):rep(32), ('o'):rep(32)
        local sealed = crypto.encrypt.aes('text', key, 'aad')
        local function kind(...) local v, e = crypto.decrypt.aes(...) return v == nil and e:kind()
            end
        return { kind(sealed, other, 'aad'), kind(sealed, key), kind(sealed .. 'x', key, 'aad'),
            kind('short', key), kind(('x'):rep(27), key), kind(sealed, 'short', 'aad'),
            select(2, crypto.decrypt.chacha20(sealed, key, 'aad')):kind() }""",
        ["Internal", "Internal", "Internal", "Invalid", "Invalid", "Invalid", "Internal"],
    ),
    "keys and data of ciphers": (
        """local function kind(f, ...) local v, e = f(...) return v == nil and e:kind() end
        local e = crypto.encrypt
        return { kind(e.aes, 'x', 'short'), kind(e.aes, 5, ('k'):rep(16)), kind(e.aes, 'x'),
            kind(e.chacha20, 'x', ('k'):rep(16)), kind(e.aes, 'x', ('k'):rep(16), 5) }""",
        ["Invalid"] * 5,
    ),
    "tokens": (
        f"""local key = "{LONG}"
        local out = {{}}
        for _, alg in ipairs({{ "HS256", "HS384", "HS512" }}) do
            local token = crypto.jwt.encode({{ sub = "u", exp = 4102444800, n = 1 }}, key, alg)
            local claims = crypto.jwt.verify(token, key, alg)
            out[#out + 1] = claims.sub .. claims.n
        end
        local plain = crypto.jwt.encode({{ a = {{}} }}, key)
        out[#out + 1] = crypto.jwt.verify(plain, key, "HS256", false).a ~= nil
        out[#out + 1] = crypto.jwt.encode({{}}, key, "none") == crypto.jwt.encode({{}}, key,
            "HS256")
        return out""",
        ["u1", "u1", "u1", True, True],
    ),
    "tokens that do not hold are Internal": (
        f"""local key = "{LONG}"
        local function kind(...) local v, e = crypto.jwt.verify(...) return v == nil and e:kind()
            end
        local old = crypto.jwt.encode({{ exp = 1000 }}, key)
        local early = crypto.jwt.encode({{ nbf = 4102444800 }}, key)
        local endless = crypto.jwt.encode({{ sub = "u" }}, key)
        return {{ kind(old, key), kind(old, key, "HS256", false), kind(early, key, "HS256", false),
            kind(endless, key), kind(endless, "other", "HS256", false),
            kind(endless, key, "HS512", false), kind("no.to.ken", key), kind("x", key),
            kind(endless, key, "none", false) }}""",
        ["Internal"] * 9,
    ),
    "arguments of tokens": (
        """local function kind(f, ...) local v, e = f(...) return v == nil and e:kind() end
        return { kind(crypto.jwt.encode, 'x', 'k'), kind(crypto.jwt.encode, {}, ''),
            kind(crypto.jwt.verify, '', 'k'), kind(crypto.jwt.verify, 5, 'k'),
            kind(crypto.jwt.verify, 'x', ''), kind(crypto.jwt.verify, 'x', 'k', 5),
            kind(crypto.jwt.encode, { print }, 'k') }""",
        ["Invalid", "Invalid", "Invalid", "Invalid", "Invalid", "Invalid", "Internal"],
    ),
    "derived keys": (
        """return { crypto.pbkdf2('pw', 'salt', 10, 16), #crypto.pbkdf2('pw', 's', 1, 64, 'sha512'),
            select(2, crypto.pbkdf2('', 's', 1, 1)):kind(),
            select(2, crypto.pbkdf2('p', 's', 10000001, 1)):kind(),
            select(2, crypto.pbkdf2('p', 's', 1, 1, 'md5')):kind() }""",
        [
            hashlib.pbkdf2_hmac("sha256", b"pw", b"salt", 10, 16),
            64,
            "Invalid",
            "Invalid",
            "Invalid",
        ],
    ),
    "comparing": (
        """local same = crypto.constant_time_compare
        return { same('abc', 'abc'), same('abc', 'abd'), same('abc', 'ab'), same('', ''),
            select(2, same(1, 'x')):kind() }""",
        [True, False, False, True, "Invalid"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_in_workflows(name: str) -> None:
    """Everything there is."""
    body, expected = CASES[name]
    assert in_workflow(body.replace("#crypto.random.uuid()", "36"), modules=MODULES) == expected


@pytest.mark.parametrize("name", CASES)
async def test_in_functions(tmp_path: Path, name: str) -> None:
    """The same."""
    body, expected = CASES[name]
    assert await in_function(tmp_path, body, modules=MODULES) == expected


def test_what_a_workflow_records() -> None:
    """Chance and the clock are, what follows from the arguments alone is not."""
    key = "('k'):rep(32)"
    body = f"""local k = {key}
    local sealed = crypto.encrypt.aes("text", k)
    crypto.decrypt.aes(sealed, k) crypto.hmac.sha256(k, "x") crypto.pbkdf2("p", "s", 1, 1)
    crypto.random.bytes(4) crypto.random.string(4) crypto.random.uuid()
    crypto.jwt.verify(crypto.jwt.encode({{}}, k), k, "HS256", false)
    return sealed"""
    told = play(body, modules=MODULES)
    assert [c.name for c in told.commands] == [
        b"crypto.encrypt",
        b"crypto.random.bytes",
        b"crypto.random.string",
        b"uuid",
        b"crypto.jwt.verify",
    ]
    assert all(b"kkkk" not in (c.data or b"") for c in told.commands), "keys stay out of histories"
    assert told.commands[0].data == told.last.result


def test_what_was_encrypted_is_taken_from_history() -> None:
    """Replay shows the recorded bytes, whatever they are."""
    body = "return crypto.encrypt.aes('text', ('k'):rep(16))"
    old = {"$lf": "bytes", "v": "/wA="}
    assert play(body, modules=MODULES, services={"marker": lambda *_: (old,)}).result == old


def test_chance_has_no_place_in_a_side_effect() -> None:
    """A random uuid is recorded by itself; inside a side effect its text is part of that."""
    body = "return #workflow.side_effect(function() return crypto.random.string(8) end)"
    told = play(body, modules=(*MODULES, "workflow"))
    assert (told.result, [c.name for c in told.commands]) == (8, [b"side_effect"])


def rsa_pair() -> tuple[str, str]:
    """A private and a public key in PEM."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    secret = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return secret.decode(), public.decode()


def test_tokens_signed_with_rsa() -> None:
    """Other programs can verify them, and the other way round; a wrong key is Internal."""
    secret, public = rsa_pair()
    body = """local secret, public = ...
    local token = crypto.jwt.encode({ sub = "u", _header = { kid = "7" } }, secret, "RS256")
    return { token, crypto.jwt.verify(token, public, "RS256", false).sub,
        select(2, crypto.jwt.encode({}, public, "RS256")):kind(),
        select(2, crypto.jwt.verify(token, "no key", "RS256", false)):kind(),
        select(2, crypto.jwt.verify(token, public, "HS256", false)):kind() }"""
    token, *rest = in_workflow(body, secret, public, modules=MODULES)
    assert rest == ["u", "Internal", "Internal", "Internal"]
    assert jwt.decode(token, public, algorithms=["RS256"]) == {"sub": "u"}
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "kid": "7", "typ": "JWT"}


def test_random_texts_use_the_whole_alphabet() -> None:
    """Also one that does not divide 256, and one that is longer."""
    drawn = ciphers.random_string(30_000, b"abc")
    assert all(9_000 < drawn.count(letter) < 11_000 for letter in b"abc")
    assert len(set(ciphers.random_string(5_000, bytes(range(256)) * 2))) == 256


async def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install; a workflow's task fails, not its run."""

    def gone(_name: str) -> None:
        raise ImportError

    monkeypatch.setattr(importlib, "import_module", gone)
    body = "return crypto.encrypt.aes('x', ('k'):rep(16))"
    with pytest.raises(WorkflowFailed, match=r'pip install "luaflow\[crypto\]"') as caught:
        await in_function(tmp_path, body, modules=MODULES)
    assert (caught.value.kind, caught.value.retryable) == ("Unavailable", False)
    with pytest.raises(MissingLibrary):
        play("return crypto.decrypt.aes(('x'):rep(40), ('k'):rep(16))", modules=MODULES)
