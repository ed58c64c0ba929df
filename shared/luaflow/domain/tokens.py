"""Task tokens: what ``activity.defer()`` hands out, and who completes the activity gives back."""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

import orjson

from luaflow.errors import InvalidArgument

_FIELDS: Final = (str, str, int, int, str)


class Token(NamedTuple):
    """One attempt of one activity; ``token`` is what the server knows it by."""

    workflow_id: str
    run_id: str
    seq: int
    attempt: int
    token: str

    def __str__(self) -> str:
        """Return the text that travels: letters, digits, ``-`` and ``_``."""
        return base64.urlsafe_b64encode(orjson.dumps(list(self))).rstrip(b"=").decode()


def parse_token(text: str) -> Token:
    """Return what a token's text says; InvalidArgument for one that ``defer()`` never gave."""
    try:
        data = text.encode("ascii")
        fields = orjson.loads(
            base64.b64decode(data + b"=" * (-len(data) % 4), b"-_", validate=True)
        )
        if [type(field) for field in fields] == list(_FIELDS):
            return Token(*fields)
    except (AttributeError, TypeError, ValueError, binascii.Error):
        pass
    raise InvalidArgument(f"{str(text)[:40]!r} is no task token: pass the text of activity.defer()")
