"""One payload to its sealed bytes and back: compress, then encrypt; the other way round to open.

What an encrypted payload is bound to (the additional data of AES-GCM) is its namespace, its owner
(``w:<workflow id>``, ``j:<job id>``, ``n:<node>``, ``s:<what a schedule's workflow ids begin
with>``), whether it is a value or a failure, the codec and the key id.
"""

from __future__ import annotations

import base64
import os
import zlib
from typing import Any, Final

from luaflow.codec.keys import VARIABLE, Keyring
from luaflow.domain.sealed import SealedPayload
from luaflow.errors import MissingLibrary, Refused

NONE: Final = "none"
READ: Final = "read"
ZLIB: Final = "zlib"
AES: Final = "aes-gcm"
BOTH: Final = "zlib+aes-gcm"
CODECS: Final = (NONE, READ, ZLIB, AES, BOTH)
"""What a namespace may ask for; ``read`` writes plain text and still opens what was sealed."""
NONCE_BYTES: Final = 12
LEAST_TO_COMPRESS: Final = 128
"""Bytes; smaller ones only grow."""


class Sealer:
    """Seals for one namespace with the codec it asks for, and opens what any of them sealed."""

    def __init__(self, namespace: str, codec: str, keys: Keyring) -> None:
        """``codec`` is one of CODECS."""
        self.namespace = namespace
        self.codec = codec
        self.keys = keys

    @property
    def seals(self) -> bool:
        """Whether payloads are to be sealed at all."""
        return self.codec not in (NONE, READ)

    def seal(self, data: bytes, owner: str, kind: str) -> tuple[dict[str, Any], bytes]:
        """The header of a payload and its bytes. Refused without the key that is asked for."""
        steps = []
        if "zlib" in self.codec and len(data) >= LEAST_TO_COMPRESS:
            small = zlib.compress(data)
            if len(small) < len(data):
                data, steps = small, [ZLIB]
        if "aes" not in self.codec:
            return {"c": "+".join(steps) or NONE}, data
        active = self.keys.active
        if active is None:
            raise Refused(
                f"the namespace {self.namespace!r} takes encrypted payloads only (codec"
                f" {self.codec}): give this process its keys in {VARIABLE}"
            )
        key_id, key = active
        codec, nonce = "+".join([*steps, AES]), os.urandom(NONCE_BYTES)
        bound = self._bound(owner, kind, codec, key_id)
        data = _cipher(key).encrypt(nonce, data, bound)
        return {"c": codec, "k": key_id, "n": base64.b64encode(nonce).decode()}, data

    def open(self, shape: dict[str, Any], data: bytes, owner: str, kind: str, most: int) -> bytes:
        """The payload of a header and its bytes; SealedPayload says why there is none.

        ``most``: bytes that it may have once it is no longer compressed.
        """
        codec = str(shape.get("c"))
        steps = codec.split("+")
        if not set(steps) <= {NONE, ZLIB, AES}:
            raise SealedPayload(f"a payload is of the codec {codec!r}: a newer release wrote it")
        if AES in steps:
            key_id = str(shape.get("k"))
            key = self.keys.get(key_id)
            if key is None:
                raise SealedPayload(
                    f"a payload is encrypted with the key {key_id!r}, which is not known here: add"
                    f" it to {VARIABLE}"
                )
            nonce = base64.b64decode(str(shape.get("n")))
            data = _decrypt(key, nonce, data, self._bound(owner, kind, codec, key_id), key_id)
        if ZLIB not in steps:
            return data
        try:
            whole = zlib.decompressobj()
            plain = whole.decompress(data, most + 1)
        except zlib.error as error:
            raise SealedPayload(f"a payload cannot be decompressed: {error}") from None
        if len(plain) > most or not whole.eof:
            raise SealedPayload(f"a payload has more than {most} bytes, or is cut off")
        return plain

    def _bound(self, owner: str, kind: str, codec: str, key_id: str) -> bytes:
        parts = ["luaflow-1", self.namespace, owner, kind, codec, key_id]
        return "\0".join(parts).encode()


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingLibrary(
            "encrypted payloads need the package cryptography: pip install 'luaflow[crypto]'"
        ) from None
    return AESGCM(key)


def _decrypt(key: bytes, nonce: bytes, data: bytes, bound: bytes, key_id: str) -> bytes:
    cipher = _cipher(key)
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

    try:
        plain: bytes = cipher.decrypt(nonce, data, bound)
    except (InvalidTag, ValueError):
        raise SealedPayload(
            f"a payload does not open with the key {key_id!r}: its bytes were changed, it belongs"
            " to another workflow, or the key of that id is another one"
        ) from None
    return plain
