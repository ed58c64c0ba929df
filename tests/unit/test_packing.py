"""Packed histories: what is packed is unpacked, byte for byte, also by later releases."""

from __future__ import annotations

import hashlib
import random

import pytest

from luaflow.domain import packing
from luaflow.domain.events import Event

RUN = packing.About(b"r1", b"order-1", b"app:order", b"default", b"b1", b"1700000000000", b"w1.7")


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
    data = packing.pack(events, RUN)
    parts = packing.pieces(data)
    assert packing.parse_head(packing.head(parts, count)) == (2, len(parts))
    assert plain(packing.unpack(b"".join(parts), RUN)) == plain(events)


def test_pieces_are_small_where_the_whole_is() -> None:
    """A small history is cut so that the server keeps its hash compact; a large one is not."""
    noise = random.Random(1).randbytes
    assert max(map(len, packing.pieces(noise(3000)))) == packing.SMALL
    assert len(packing.pieces(noise(400_000))) == 2


def test_damaged_bytes_are_named() -> None:
    """Flipped or missing bytes are a ValueError, never another history or another exception."""
    events = history(50, b'{"result":"0123456789"}')
    good = packing.pack(events, RUN)
    rng = random.Random(2)
    for _ in range(300):
        data = bytearray(good)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            # (of the last byte of deflate some bits mean nothing)
            assert plain(packing.unpack(bytes(data), RUN)) == plain(events)
        except ValueError as error:
            assert "cannot be read" in str(error)  # noqa: PT017
    with pytest.raises(ValueError, match="too early"):
        packing.unpack(good[:-8], RUN)


@pytest.mark.parametrize("field", packing.About._fields)
def test_a_history_is_read_beside_its_own_state_only(field: str) -> None:
    """What it takes from the state was not changed since, or it says so: it is not guessed."""
    first = (
        b'{"attempt":1,"bundle":"b1","first_run_id":"r1","run_id":"r1","task_queue":"default",'
        b'"type":"app:order","workflow_id":"order-1"}'
    )
    events = [
        Event(1, 1_700_000_000_000, "WorkflowExecutionStarted", first),
        Event(2, 1_700_000_000_000, "WorkflowTaskCompleted", b'{"seen":1,"worker":"w1"}'),
    ]
    data = packing.pack(events, RUN)
    assert plain(packing.unpack(data, RUN)) == plain(events)
    value = getattr(RUN, field)
    other = value.replace(value[-1:], b"x") if field != "cid" else b"w2.7"
    with pytest.raises(ValueError, match="cannot be read"):
        packing.unpack(data, RUN._replace(**{field: other}))


def test_a_short_history_says_little_of_what_its_state_says() -> None:
    """Ids of 32 letters in the first event cost a few bytes, wherever they stand."""
    ids = [f"{n:032x}".encode() for n in (7**38, 7**37, 7**36)]
    run = RUN._replace(run_id=ids[0], wid=ids[1], bundle=ids[2])
    shape = (
        b'{"attempt":1,"bundle":"%s","client":"app:client","context":{},"first_run_id":"%s",'
        b'"host":"app:worker","identity":"root@h:1","input":[],"run_id":"%s","rv":1,'
        b'"task_queue":"default","type":"app:order","v":1,"workflow_id":"%s"}'
    )
    body = shape % (ids[2], ids[0], ids[0], ids[1])
    events = [Event(1, 1_700_000_000_000, "WorkflowExecutionStarted", body)]
    assert len(packing.pack(events, run)) < 40
    assert len(packing.pack(events, RUN)) > 80


def test_a_format_of_a_later_release_is_refused() -> None:
    """It says what to do."""
    with pytest.raises(ValueError, match="update luaflow"):
        packing.parse_head(b"3 1 1")


@pytest.mark.parametrize("format_", [1, 2])
def test_the_dictionaries_never_change(format_: int) -> None:
    """Histories that were packed with them are read with them for ever."""
    text = packing.DICTIONARY if format_ == 1 else packing.dictionary(RUN)
    assert hashlib.sha256(text).hexdigest() == DIGESTS[format_]


@pytest.mark.parametrize("format_", [1, 2])
def test_what_a_release_packed_is_read(format_: int) -> None:
    """Bytes as they stand on somebody's server."""
    events = packing.unpack(PACKED[format_], RUN, format_)
    assert plain(events) == plain(history(3, b'{"result":"a\\nb"}'))


DIGESTS = {
    1: "60600ab46d05edb62c09f6485a25a8aa2a9a9efa0e27ec53f70eebae8dbc2a2e",
    2: "f576af18e36273a7ae68fdd8258f58cae0399560a06af7a45a944e904c71b8a7",
}
PACKED = {
    1: b"347@\x00\xe4\x9chh\x8e\xa4C)1&/I\xa9\xd6\x9cb\x05\x00",
    2: b"CM0(\xc5\x1eL\xbdRbL^\x12\xd0xs\x8a\xa4\x01u\x91,$",
}
