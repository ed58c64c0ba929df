"""Random values and authenticated encryption; a nonce of 12 bytes stands before each ciphertext."""

from __future__ import annotations

import os
from typing import Any, Final

from luaflow.domain.failure import Failure
from luaflow.lua.services.libraries import library

NONCE: Final = 12


def random_bytes(length: int) -> bytes:
    """Bytes that nobody can foresee."""
    return os.urandom(length)


def random_string(length: int, alphabet: bytes) -> bytes:
    """Bytes of an alphabet, each as likely as the others."""
    limit = 256 - 256 % len(alphabet) if len(alphabet) <= 256 else 0
    if not limit:
        # numbers of 64 bits, where the bias cannot be measured
        numbers = memoryview(os.urandom(8 * length)).cast("Q")
        return bytes(alphabet[n % len(alphabet)] for n in numbers)
    out = bytearray()
    while len(out) < length:
        drawn = os.urandom(length - len(out) + 16)
        out += bytes(alphabet[n % len(alphabet)] for n in drawn if n < limit)
    return bytes(out[:length])


def encrypt(cipher: bytes, data: bytes, key: bytes, aad: bytes | None) -> bytes:
    """Encrypt under a fresh nonce, which stands before the ciphertext."""
    nonce = os.urandom(NONCE)
    sealed: bytes = _cipher(cipher, key).encrypt(nonce, data, aad)
    return nonce + sealed


def decrypt(cipher: bytes, data: bytes, key: bytes, aad: bytes | None) -> bytes | Failure:
    """Decrypt what ``encrypt`` made; a Failure when it was made with another key, or altered."""
    opened = _cipher(cipher, key)
    wrong = library("cryptography.exceptions", "crypto", "crypto").InvalidTag
    try:
        plain: bytes = opened.decrypt(data[:NONCE], data[NONCE:], aad)
    except wrong:
        return Failure(
            "Internal",
            "decryption failed: the key or the additional data is another one, or the data was "
            "altered",
            retryable=False,
        )
    return plain


def _cipher(name: bytes, key: bytes) -> Any:
    aead = library("cryptography.hazmat.primitives.ciphers.aead", "crypto", "crypto")
    return aead.AESGCM(key) if name == b"aes" else aead.ChaCha20Poly1305(key)
