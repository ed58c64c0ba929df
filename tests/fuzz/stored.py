"""What is read from servers, object stores and files: packed histories, archived runs, payloads."""

from __future__ import annotations

import asyncio
import gzip
import random
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from luaflow.archive import Archived, dump_run, load_run
from luaflow.codec.keys import Keyring
from luaflow.domain import packing, sealed
from luaflow.domain.events import Event
from luaflow.objects import Folder
from luaflow.store.namespaces import Settings
from luaflow.store.payloads import Border
from tests.fuzz.mutating import json_text, mutated
from tests.fuzz.target import Target

EVENTS = (
    Event(1, 1_700_000_000_000, "WorkflowExecutionStarted", b'{"input":[1],"type":"app:x"}'),
    Event(2, 1_700_000_000_100, "TimerStarted", b'{"seq":1,"ms":1000}'),
    Event(3, 1_700_000_001_100, "TimerFired", b'{"seq":1}'),
    Event(4, 1_700_000_001_101, "WorkflowExecutionCompleted", b'{"result":{"a":"b"}}'),
)
STATE = packing.About(b"r1", b"order-1", b"app:x", b"q", b"b1", b"1700000000000", b"w1.1")
RUN = Archived("order-1", "r1", {"status": "completed", "start": "1700000000000"}, list(EVENTS))


def deflated(text: bytes, dictionary: bytes) -> bytes:
    """Text compressed as a packed history is."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return packer.compress(text) + packer.flush()


class Packed(Target):
    """Packed histories of both formats, and their heads."""

    name = "packed"
    rate = 18000.0
    TEXT = b"".join(b"%d %s %d\n%s" % (e.ts, e.type.encode(), len(e.raw), e.raw) for e in EVENTS)
    LINES = b"".join(b"%d %s %s\n" % (e.ts, e.type.encode(), e.raw) for e in EVENTS)
    WORDS = (b" ", b"\n", b"-1", b"-40", b"0", b"0 A 0\n", b"0 A:9 ", b"1 1 4", b"_", b"9" * 20)

    def make(self, chance: random.Random) -> bytes:
        """Damage before compression, or after it."""
        if chance.randrange(3):
            return deflated(mutated(chance, (self.TEXT,), self.WORDS), packing.DICTIONARY)
        if chance.randrange(2):
            text = mutated(chance, (self.LINES,), self.WORDS)
            return deflated(text, packing.dictionary(STATE)) + zlib.crc32(text).to_bytes(4)
        return mutated(chance, (packing.pack(EVENTS, STATE), b"2 3 4"), self.WORDS)

    def run(self, data: bytes) -> None:
        """Read it: ValueError says that it cannot be."""
        reads: tuple[Callable[[], object], ...] = (
            lambda: packing.unpack(data, STATE, 1),
            lambda: packing.unpack(data, STATE),
            lambda: packing.parse_head(data),
        )
        for read in reads:
            try:
                read()
            except ValueError:
                continue


class ArchivedRuns(Target):
    """Runs in the archive."""

    name = "archived"
    rate = 16000.0
    TEXT = gzip.decompress(dump_run(RUN, "default"))
    WORDS = (b"\n", b'["', b",", b"null", b'{"format":1,', b"{}", b"[]", b"1.5")

    def make(self, chance: random.Random) -> bytes:
        """Damage before compression, or after it."""
        if chance.randrange(4):
            return gzip.compress(mutated(chance, (self.TEXT,), self.WORDS), 1, mtime=0)
        return mutated(chance, (dump_run(RUN, "default"),), self.WORDS)

    def run(self, data: bytes) -> None:
        """Read it."""
        load_run(data, "a run")


class SealedPayloads(Target):
    """Histories and values with sealed payloads in them."""

    name = "sealed"
    SEEDS = (
        b'{"input":[{"$lf":"sealed","v":{"c":"none","d":"ImEi"}}],"type":"app:x"}',
        b'{"result":{"$lf":"sealed","v":{"c":"zlib+aes-gcm","k":"a","n":"AAAA","d":"AAAA"}}}',
        b'{"result":{"$lf":"sealed","v":{"c":"none","at":"default/w/x","size":3,"sha256":"0"}}}',
        (
            b'{"failure":{"kind":"x","message":"sealed: it is read elsewhere","retryable":null,'
            b'"sealed":{"$lf":"sealed","v":{"c":"zlib","d":"AAAA"}}}}'
        ),
    )
    WORDS = (
        *(
            b'{"$lf":"sealed","v":{',
            b'"c":',
            b'"k":"a"',
            b'"d":',
            b'"at":',
            b'"o":"s:x"',
            b"}}",
            b"}",
        ),
        *(
            b'"zlib"',
            b'"aes-gcm"',
            b'"none"',
            b'"n":"A"',
            b",",
            b'"at":"default/\xff"',
            b'"size":-1',
        ),
    )

    def open(self) -> None:
        """A border with a key and an object store."""
        keys = Keyring({"a": b"k" * 32})
        self._folder = Path(tempfile.mkdtemp(prefix="luaflow-fuzz-"))
        settings = Settings(codec="zlib+aes-gcm")
        self._border = Border("default", settings, keys, Folder(self._folder.as_uri()), _nothing)
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        """Close the loop."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        shutil.rmtree(self._folder)

    def make(self, chance: random.Random) -> bytes:
        """An event's body with something sealed, nearly."""
        if not chance.randrange(4):
            return b'{"input":[' + json_text(chance) + b',{"$lf":"sealed","v":{"c":"none"}}]}'
        return mutated(chance, self.SEEDS, self.WORDS)

    def run(self, data: bytes) -> None:
        """Open it; what cannot be opened stays, and only says why when it is looked at."""
        opened = self._loop.run_until_complete(self._border.reply([data, data], "w:order-1"))
        sealed.check_open(opened[0])


async def _nothing(_command: tuple[Any, ...]) -> None:
    return None
