"""Packed histories: the whole history of a closed run as one compressed value.

Format 2 is raw deflate (zlib, window 15) over one line an event, and behind it the CRC-32 of that
text, 4 bytes. A line is ``<ms since the event before> <type> <body>``; where the body has a line
break itself, ``<type>:<bytes of the body>`` stands in the place of the type. Ids are 1..n, so none
is written. The compressor begins with ``dictionary(about)``: shapes of events, with what the state
of the run says anyway filled in, so that a short history need not repeat it. That text is a part of
the format and never changes.

Format 1 has a line ``<ms> <type> <bytes of the body>`` before each body, no CRC, and begins with
``DICTIONARY`` whatever the run.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from luaflow.domain.events import Event, type_of

FORMAT = 2
"""The format that is written; all up to it are read."""
SMALL = 63
"""Bytes of a piece of a small one: the server keeps a hash of values up to 64 bytes compact, and
notes the length of one of 64 in a byte more."""
SMALL_PIECES = 48
LARGE = 256 * 1024
"""Bytes of a piece of one that is larger than ``SMALL_PIECES`` small pieces."""
MOST = 1024 * 1024
"""A history that is larger when packed stays as it is."""
UNPACKED = 256 * MOST
"""No history that was packed is larger: what would be was made to fill the memory."""
DICTIONARY = (
    b"0 WorkflowExecutionCanceled 0 WorkflowExecutionTimedOut 0 WorkflowExecutionTerminate"
    b'd {"reason":""}0 WorkflowExecutionContinuedAsNew {"new_run_id":""}0 StartChildWorkfl'
    b'owExecutionInitiated {"seq":1,"workflow_id":"","run_id":"","close":"terminate"}0 Chi'
    b"ldWorkflowExecutionStarted 0 ChildWorkflowExecutionFailed 0 ChildWorkflowExecutionCo"
    b'mpleted {"seq":1,"result":0 SignalExternalWorkflowExecutionInitiated 0 LockRequested'
    b' 0 LockGranted 0 MarkerRecorded {"seq":1,"name":"version","value":0 UpsertWorkflowSe'
    b'archAttributes {"attributes":{}}0 WorkflowExecutionUpdateAdmitted {"id":"","name":""'
    b',"input":[],"sender":""}0 WorkflowExecutionUpdateAccepted 0 WorkflowExecutionUpdateC'
    b'ompleted 0 WorkflowExecutionCancelRequested {"reason":""}0 WorkflowExecutionSignaled'
    b' {"input":[],"name":"","sender":""}0 TimerCanceled {"seq":1,"target":1}0 TimerStarte'
    b'd {"seq":1,"ms":1000}1000 TimerFired {"seq":1}0 ActivityTaskTimedOut 0 ActivityTaskF'
    b'ailed {"seq":1,"attempt":1,"failure":{"kind":"Timeout","message":"","retryable":true'
    b',"details":0 WorkflowExecutionFailed {"failure":{"kind":"","message":"","retryable":'
    b'false}}1795896955451 WorkflowExecutionStarted 350\n{"attempt":1,"bundle":"","client":'
    b'"app:client","context":{},"cron_schedule":"","memo":{},"retry_policy":{},"search_att'
    b'ributes":{},"first_run_id":"","host":"app:worker","identity":"root@","input":[{"id":'
    b'"}],"run_id":"","rv":1,"task_queue":"default","type":"app:","v":1,"workflow_id":""}0'
    b' WorkflowTaskCompleted 31\n{"seen":1,"worker":"w"}0 ActivityTaskScheduled 49\n{"seq":1'
    b',"activity":"app:","input":[{"id":"}],"options":{"start_to_close":}}2 ActivityTaskCo'
    b'mpleted 49\n{"seq":1,"result":{"id":"ok":true},"attempt":1}4 WorkflowTaskCompleted 31'
    b'\n{"seen":4,"worker":"w"}0 WorkflowExecutionCompleted 90\n{"result":{"ok":true}}'
)


_RARE = DICTIONARY[: DICTIONARY.index(b"1795896955451")]  # the part before the example of a run
# what most histories are like, the nearest last: deflate spells what is near in fewer bits
_USUAL = (
    b'{"cron_schedule":"","memo":{},"retry_policy":{},"search_attributes":{},"options":{"start_to'
    b'_close":}}\n0 ActivityTaskCompleted {"seq":3,"result":{"id":"ok":true},"attempt":1}\n1 Workf'
    b'lowTaskCompleted {"seen":10,"worker":"%(worker)s"}\n0 ActivityTaskScheduled {"seq":2,"activit'
    b'y":"%(app)s","input":[{"id":"}]}\n0 ActivityTaskCompleted {"seq":2,"result":{"ok":true},"atte'
    b'mpt":1}\n1 WorkflowTaskCompleted {"seen":7,"worker":"%(worker)s"}\n0 ActivityTaskScheduled {"'
    b'seq":3,"activity":"%(app)s"}\n%(start)s WorkflowExecutionStarted {"attempt":1,"bundle":"%(bun'
    b'dle)s","client":"%(app)sclient","context":{},"first_run_id":"%(run)s","host":"%(app)sworker",'
    b'"identity":"root@","input":[{"id":"}],"run_id":"%(run)s","rv":1,"task_queue":"%(queue)s","typ'
    b'e":"%(type)s","v":1,"workflow_id":"%(wid)s"}\n1 WorkflowTaskCompleted {"seen":1,"worker":"%(w'
    b'orker)s"}\n0 ActivityTaskScheduled {"seq":1,"activity":"%(app)s","input":[{"id":"}]}\n0 Activ'
    b'ityTaskCompleted {"seq":1,"result":{"ok":true},"attempt":1}\n1 WorkflowTaskCompleted {"seen":'
    b'4,"worker":"%(worker)s"}\n0 WorkflowExecutionCompleted {"result":{"ok":true}}\n'
)


class About(NamedTuple):
    """What the state of a closed run says of it, as it is stored; the fields of these names."""

    run_id: bytes
    wid: bytes
    type: bytes
    queue: bytes
    bundle: bytes
    start: bytes
    cid: bytes


STATED = About._fields[1:]
"""The fields of a run's state that ``About`` wants."""


def about(run_id: str, values: Iterable[bytes | None]) -> About:
    """What stands in the state of a run: the values of its fields ``STATED``."""
    return About(run_id.encode(), *(bytes(value or b"") for value in values))


def dictionary(about: About) -> bytes:
    """What the compressor of format 2 begins with."""
    app, colon, _ = about.type.rpartition(b":")
    return _RARE + _USUAL % {
        b"run": about.run_id,
        b"wid": about.wid,
        b"type": about.type,
        b"app": app + colon,
        b"queue": about.queue,
        b"bundle": about.bundle,
        b"start": about.start,
        b"worker": about.cid.partition(b".")[0],
    }


def pack(events: Iterable[Event], about: About) -> bytes:
    """The events of a history, from the first one on, packed."""
    lines, before = [], 0
    for event in events:
        type = event.type.encode()
        if b"\n" in event.raw:
            type += b":%d" % len(event.raw)
        lines.append(b"%d %s %s\n" % (event.ts - before, type, event.raw))
        before = event.ts
    text = b"".join(lines)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary(about))
    return packer.compress(text) + packer.flush() + zlib.crc32(text).to_bytes(4)


def unpack(data: bytes, about: About, format_: int = FORMAT) -> list[Event]:
    """The events of a packed history; ValueError for bytes that are none.

    ``about``: what the state says now, which is what it said when the history was packed.
    """
    try:
        if format_ == 1:
            return list(_events_1(_inflated(data, DICTIONARY)))
        text = _inflated(data[:-4], dictionary(about))
        if zlib.crc32(text).to_bytes(4) != data[-4:]:
            raise ValueError("it is not what was packed, or the state of its run is not")
        return list(_events(text))
    except (zlib.error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"a packed history cannot be read: {error}") from error


def _inflated(data: bytes, dictionary: bytes) -> bytes:
    unpacker = zlib.decompressobj(-15, dictionary)
    text = unpacker.decompress(data, UNPACKED)
    if not unpacker.eof:
        raise ValueError("it ends too early, or never")
    return text


def _events(text: bytes) -> Iterable[Event]:
    at, ts, number = 0, 0, 0
    while at < len(text):
        behind = text.index(b" ", text.index(b" ", at) + 1)
        since, type = text[at:behind].split(b" ")
        type, colon, size = type.partition(b":")
        end = behind + 1 + int(size) if colon else text.index(b"\n", behind)
        if not behind < end < len(text):
            raise ValueError("an event is cut off")
        number, ts = number + 1, ts + int(since)
        yield Event(number, ts, type_of(type), text[behind + 1 : end])
        at = end + 1


def _events_1(text: bytes) -> Iterable[Event]:
    at, ts, number = 0, 0, 0
    while at < len(text):
        line = text.index(b"\n", at)
        since, type, size = text[at:line].split(b" ")
        at = line + 1 + int(size)
        if not line < at <= len(text):
            raise ValueError("an event is cut off")
        number, ts = number + 1, ts + int(since)
        yield Event(number, ts, type_of(type), text[line + 1 : at])


def pieces(data: bytes) -> list[bytes]:
    """A packed history cut into the values that are stored."""
    size = SMALL if len(data) <= SMALL * SMALL_PIECES else LARGE
    return [data[at : at + size] for at in range(0, len(data), size)]


def head(parts: Sequence[bytes], events: int) -> bytes:
    """What stands beside the pieces: format, how many pieces, how many events."""
    return b"%d %d %d" % (FORMAT, len(parts), events)


def parse_head(text: bytes) -> tuple[int, int]:
    """The format and how many pieces there are; ValueError for a format of a later release."""
    format_, parts, _ = (int(part) for part in text.split(b" "))
    if format_ > FORMAT:
        raise ValueError(f"this history is packed in format {format_}: update luaflow to read it")
    return format_, parts


def names(format_: int, parts: int, first: int = 0) -> list[str]:
    """The fields that the pieces are, from the ``first`` one on."""
    return [f"past:{n}" if format_ == 1 else str(n) for n in range(first, parts)]
