"""Keys of payload codecs: named by references, read where they are used, never written anywhere.

``LUAFLOW_CODEC_KEYS`` is ``id:env:NAME`` or ``id:file:/path``, several with commas between them, or
the path of a file in JSON or YAML that gives each id its key. A key is 32 bytes in base64. The
first one encrypts, all of them decrypt.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from luaflow.errors import InvalidArgument

VARIABLE: Final = "LUAFLOW_CODEC_KEYS"
KEY_BYTES: Final = 32
AGAIN_SECONDS: Final = 2.0
"""How soon a key that is not there is looked for again: its file may have come."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


class Keyring:
    """The keys of a process by id; the first one is active."""

    def __init__(self, keys: Mapping[str, bytes], reference: str = "") -> None:
        """``reference`` is read again for a key that is missing."""
        self._keys = dict(keys)
        self._reference = reference
        self._read_at = time.monotonic()

    @classmethod
    def from_environment(cls) -> Keyring:
        """The keys that LUAFLOW_CODEC_KEYS names; InvalidArgument where one cannot be read."""
        reference = os.environ.get(VARIABLE, "").strip()
        return cls(read_keys(reference), reference)

    @property
    def active(self) -> tuple[str, bytes] | None:
        """The key that encrypts, and its id; None without any."""
        if not self._keys:
            self._look_again()
        return next(iter(self._keys.items()), None)

    def get(self, key_id: str) -> bytes | None:
        """The key of an id; None where it is not known here."""
        if key_id not in self._keys:
            self._look_again()
        return self._keys.get(key_id)

    def _look_again(self) -> None:
        if time.monotonic() - self._read_at < AGAIN_SECONDS:
            return
        self._read_at = time.monotonic()
        with contextlib.suppress(InvalidArgument):
            self._keys = read_keys(self._reference) or self._keys

    def __repr__(self) -> str:
        """The ids alone."""
        return f"Keyring({', '.join(self._keys)})"


def read_keys(reference: str) -> dict[str, bytes]:
    """The keys of a reference in order; InvalidArgument says which one cannot be read."""
    if not reference:
        return {}
    if ":env:" in reference or ":file:" in reference:
        return dict(_one(part.strip()) for part in reference.split(",") if part.strip())
    import yaml  # noqa: PLC0415 - few processes have a keys file

    found = yaml.safe_load(_text(reference))
    if not isinstance(found, dict) or not found:
        raise InvalidArgument(f"the keys file {reference} must give each key id a key in base64")
    return {_id(str(name)): _key(str(value), str(name)) for name, value in found.items()}


def _one(part: str) -> tuple[str, bytes]:
    name, kind, where = ([*part.split(":", 2), "", ""])[:3]
    if kind == "env" and where:
        value = os.environ.get(where)
        if value is None:
            raise InvalidArgument(f"the codec key {name!r}: the variable {where} is not set")
    elif kind == "file" and where:
        value = _text(where)
    else:
        raise InvalidArgument(
            f"{VARIABLE} must be id:env:NAME or id:file:/path, with commas between several, or the"
            f" path of a keys file; {name!r} is neither"
        )
    return _id(name), _key(value, name)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the codec keys in {path} cannot be read: {error}") from None


def _id(name: str) -> str:
    if not _ID.match(name):
        raise InvalidArgument(f"a codec key id must be 1-63 of A-Z a-z 0-9 _ . -, not {name!r}")
    return name


def _key(text: str, name: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        # (its value is not to be seen in any log)
        raise InvalidArgument(f"the codec key {name!r} must be {KEY_BYTES} bytes in base64")
    return key
