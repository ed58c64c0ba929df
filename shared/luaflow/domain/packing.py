"""Packed histories: the whole history of a closed run as one compressed value.

A packed history is raw deflate (zlib, window 15) over one record an event: a line
``<ms since the event before> <type> <bytes of the body>`` and the body. Ids are 1..n, so none is
written. The compressor begins with ``DICTIONARY``, which makes a short history half as large; that
text is a part of format 1 and never changes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

from luaflow.domain.events import Event, type_of

FORMAT = 1
"""The format that is written; all up to it are read."""
SMALL = 64
"""Bytes of a piece of a small one: the server keeps a hash of values up to this size compact."""
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


def pack(events: Iterable[Event]) -> bytes:
    """The events of a history, from the first one on, packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    parts, before = [], 0
    for event in events:
        parts.append(
            packer.compress(
                b"%d %s %d\n" % (event.ts - before, event.type.encode(), len(event.raw))
            )
        )
        parts.append(packer.compress(event.raw))
        before = event.ts
    return b"".join([*parts, packer.flush()])


def unpack(data: bytes) -> list[Event]:
    """The events of a packed history; ValueError for bytes that are none."""
    try:
        unpacker = zlib.decompressobj(-15, DICTIONARY)
        text = unpacker.decompress(data, UNPACKED)
        if not unpacker.eof:
            raise ValueError("it ends too early, or never")
        return list(_events(text))
    except (zlib.error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"a packed history cannot be read: {error}") from error


def _events(text: bytes) -> Iterable[Event]:
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


def parse_head(text: bytes) -> int:
    """How many pieces there are; ValueError for a format of a later release."""
    format_, parts, _ = (int(part) for part in text.split(b" "))
    if format_ > FORMAT:
        raise ValueError(f"this history is packed in format {format_}: update luaflow to read it")
    return parts
