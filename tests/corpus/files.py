"""The format of the corpus: one file a history, one file a bundle, one list of hashes.

``histories/<suite>-<shape>.hist`` is UTF-8 text. Its first line is a JSON object:

- ``format``: 1
- ``recorded``: the commit whose code wrote the history
- ``origin``: the test that ran it
- ``namespace``, ``run_id``: where it ran (the rest stands in the first event)
- ``bundle``: the name of the code that it is replayed with
- ``asked``: a digest of what each decision asked for, in order (``replaying.digest_of``)

Each further line is an event: id, ts, type and body, with tabs between; the body is the JSON that
was stored, byte for byte (``history_size`` counts it). ``bundles/<name>.json`` is the stored
content of a bundle; its name is the hash of it. ``HASHES`` lists the SHA-256 of every file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from luaflow.domain.events import Event
from luaflow.registry.bundle import Bundle

FOLDER = Path(__file__).parent
FORMAT = 1


class Stored(NamedTuple):
    """One history of the corpus: the object of its first line, and its events."""

    header: dict[str, Any]
    events: list[Event]

    def to_bytes(self) -> bytes:
        """The file."""
        lines = [orjson.dumps(self.header, option=orjson.OPT_SORT_KEYS)]
        for event in self.events:
            if b"\n" in event.raw:
                raise ValueError(f"the body of event {event.id} has more than one line")
            lines.append(f"{event.id}\t{event.ts}\t{event.type}\t".encode() + event.raw)
        return b"\n".join(lines) + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> Stored:
        """Read a file."""
        first, *rest = content.removesuffix(b"\n").split(b"\n")
        header = orjson.loads(first)
        if header["format"] != FORMAT:
            raise ValueError(f"a history of format {header['format']}: this reads {FORMAT}")
        events = []
        for line in rest:
            id, ts, type, raw = line.split(b"\t", 3)
            events.append(Event(int(id), int(ts), type.decode(), raw))
        return cls(header, events)


def histories(folder: Path = FOLDER) -> list[Path]:
    """The files of all histories, in order of their names."""
    return sorted((folder / "histories").glob("*.hist"))


def read_bundle(name: str, folder: Path = FOLDER) -> Bundle:
    """A bundle of the corpus; Invalid where its content is not what its name says."""
    return Bundle.from_bytes((folder / "bundles" / f"{name}.json").read_bytes(), name)


def stored_files(folder: Path = FOLDER) -> Iterator[Path]:
    """All files that may never change."""
    yield from histories(folder)
    yield from sorted((folder / "bundles").glob("*.json"))


def hash_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_hashes(folder: Path = FOLDER) -> dict[str, str]:
    """The committed hashes, by path below the folder."""
    listed = folder / "HASHES"
    lines = listed.read_text().splitlines() if listed.exists() else []
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def changed(folder: Path = FOLDER) -> list[str]:
    """What is wrong with the files: rewritten, removed, or not in the list of hashes."""
    listed = read_hashes(folder)
    there = {str(path.relative_to(folder)): path for path in stored_files(folder)}
    problems = [f"{name}: removed" for name in listed if name not in there]
    for name, path in there.items():
        if name not in listed:
            problems.append(f"{name}: not listed; python -m tests.corpus seal adds it")
        elif hash_of(path) != listed[name]:
            problems.append(f"{name}: rewritten")
    return sorted(problems)


def seal(folder: Path = FOLDER) -> int:
    """Append the hashes of new files to the list; what is listed stays as it is. How many."""
    listed = read_hashes(folder)
    new = [p for p in stored_files(folder) if str(p.relative_to(folder)) not in listed]
    with (folder / "HASHES").open("a") as out:
        out.writelines(f"{hash_of(p)}  {p.relative_to(folder)}\n" for p in new)
    return len(new)
