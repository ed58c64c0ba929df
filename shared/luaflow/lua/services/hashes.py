"""Digests, authentication codes and derived keys: fixed algorithms of the standard library."""

from __future__ import annotations

import hashlib
import hmac


def digest(algorithm: bytes, data: bytes, raw: bool) -> str | bytes:
    """The digest of ``data``, as hex or as its bytes."""
    made = hashlib.new(algorithm.decode(), data, usedforsecurity=False)
    return made.digest() if raw else made.hexdigest()


def authenticate(algorithm: bytes, key: bytes, data: bytes, raw: bool) -> str | bytes:
    """The HMAC of ``data``, as hex or as its bytes."""
    made = hmac.new(key, data, algorithm.decode())
    return made.digest() if raw else made.hexdigest()


def derive(algorithm: bytes, password: bytes, salt: bytes, iterations: int, length: int) -> bytes:
    """A key from a password (PBKDF2); Lua has checked the numbers."""
    return hashlib.pbkdf2_hmac(algorithm.decode(), password, salt, iterations, length)
