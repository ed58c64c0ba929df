"""Packed histories: what is packed is unpacked, byte for byte, also by later releases."""

from __future__ import annotations

import hashlib
import random

import pytest

from luaflow.domain import packing
from luaflow.domain.events import Event


def history(count: int, body: bytes = b'{"seq":1}') -> list[Event]:
    """A history of some events."""
    return [Event(n + 1, 1_700_000_000_000 + 7 * n, "TimerFired", body) for n in range(count)]


def plain(events: list[Event]) -> list[tuple[int, int, str, bytes]]:
    """All there is of events."""
    return [(e.id, e.ts, e.type, e.raw) for e in events]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"a":"\n\\n"}', bytes(range(256)), b"\n" * 9])
@pytest.mark.parametrize("count", [0, 1, 2, 700])
def test_what_is_packed_is_unpacked(count: int, body: bytes) -> None:
    """Any body, also one that looks like a record's first line."""
    events = history(count, body)
    data = packing.pack(events)
    parts = packing.pieces(data)
    assert packing.parse_head(packing.head(parts, count)) == len(parts)
    assert plain(packing.unpack(b"".join(parts))) == plain(events)


def test_pieces_are_small_where_the_whole_is() -> None:
    """A small history is cut so that the server keeps its hash compact; a large one is not."""
    noise = random.Random(1).randbytes
    assert max(map(len, packing.pieces(noise(3000)))) == packing.SMALL
    assert len(packing.pieces(noise(400_000))) == 2


def test_damaged_bytes_are_named() -> None:
    """Flipped or missing bytes are a ValueError, never another history or another exception."""
    good = packing.pack(history(50, b'{"result":"0123456789"}'))
    rng = random.Random(2)
    for _ in range(300):
        data = bytearray(good)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            packing.unpack(bytes(data))
        except ValueError as error:
            assert "cannot be read" in str(error)  # noqa: PT017
    with pytest.raises(ValueError, match="too early"):
        packing.unpack(good[:-4])


def test_a_format_of_a_later_release_is_refused() -> None:
    """It says what to do."""
    with pytest.raises(ValueError, match="update luaflow"):
        packing.parse_head(b"2 1 1")


def test_the_dictionary_never_changes() -> None:
    """Histories that were packed with it are read with it for ever."""
    assert hashlib.sha256(packing.DICTIONARY).hexdigest() == DIGEST


DIGEST = "60600ab46d05edb62c09f6485a25a8aa2a9a9efa0e27ec53f70eebae8dbc2a2e"
