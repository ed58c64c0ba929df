"""Which of many recorded runs are worth keeping: one of each shape, the smallest."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import orjson

from luaflow.errors import LuaflowError
from luaflow.lua.vm import Engine
from luaflow.replay.loading import source_of
from tests.corpus.files import FOLDER, Stored, histories, read_bundle
from tests.corpus.replaying import replayed

LARGEST = 60_000
"""Bytes of a history, with its bundle, beyond which it is not kept, unless only it has an event."""


class Candidate(NamedTuple):
    """A recorded run: its shape, what it costs, where it is."""

    shape: str
    size: int
    path: Path
    stored: Stored


def shape_of(stored: Stored) -> str:
    """What a history is made of: types of events in order, without repetition; their features.

    Runs of the same suite that only differ in how often they do a thing have the same shape.
    """
    types = [event.type for event in stored.events]
    order = [kind for kind, _ in itertools.groupby(types)]
    features: set[str] = set()
    for event in stored.events:
        body = event.body
        features.update(f"{event.type}.{key}" for key in body)
        failure = body.get("failure")
        if isinstance(failure, dict):
            features.add(f"{event.type}:{failure.get('kind')}")
        if event.type == "MarkerRecorded":
            features.add(f"marker:{body['marker']}")
    return hashlib.sha256(orjson.dumps([order, sorted(features)])).hexdigest()[:8]


def choose(raw: Path, most: int) -> list[Candidate]:
    """The smallest run of each shape that the corpus lacks, at most so many, fairly by test.

    Every module's claims (``tests/reference``) count as a shape of their own.
    """
    known = {path.stem.rsplit("-", 1)[1] for path in histories()}
    best: dict[str, Candidate] = {}
    for path in sorted((raw / "histories").glob("*.hist")):
        stored = Stored.from_bytes(path.read_bytes())
        bundle = raw / "bundles" / f"{stored.header['bundle']}.json"
        size = path.stat().st_size + bundle.stat().st_size
        shape = shape_of(stored)
        if "tests/reference" in stored.header["origin"]:
            shape = hashlib.sha256(f"{shape}{bundle.name}".encode()).hexdigest()[:8]
        if shape in known:
            continue
        if shape not in best or size < best[shape].size:
            best[shape] = Candidate(shape, size, path, stored)
    found = sorted(best.values(), key=lambda c: (c.size, c.shape))
    needed = _rare(found)
    others = [c for c in found if c.size <= LARGEST and c not in needed]
    return [*needed, *_fairly(others, most - len(needed))]


def _rare(candidates: list[Candidate]) -> list[Candidate]:
    """The smallest with each type of event."""
    seen: set[str] = set()
    found = []
    for candidate in candidates:
        types = {event.type for event in candidate.stored.events}
        if not types <= seen:
            seen |= types
            found.append(candidate)
    return found


def _fairly(candidates: list[Candidate], most: int) -> list[Candidate]:
    """Turn by turn from each test, in the order given: no test has all the room."""
    tests: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        tests[candidate.stored.header["origin"]].append(candidate)
    turns = itertools.zip_longest(*(tests[name] for name in sorted(tests)))
    return [c for turn in turns for c in turn if c is not None][:most]


def suite_of(stored: Stored) -> str:
    """The suite a run comes from: ``test_locks`` of ``tests/protocol/test_locks.py::…``."""
    return Path(str(stored.header["origin"]).split("::")[0]).stem.removeprefix("test_")


def keep(chosen: list[Candidate], raw: Path, log: Callable[[str], None]) -> int:
    """Copy what was chosen into the corpus, if it replays here as where it ran. How many."""
    count = 0
    for part in ("histories", "bundles"):
        (FOLDER / part).mkdir(exist_ok=True)
    for candidate in chosen:
        header, events = candidate.stored
        bundle = read_bundle(header["bundle"], raw)
        try:
            asked = replayed(
                header["namespace"], header["run_id"], events, bundle, Engine(source_of(bundle))
            )
        except LuaflowError as error:
            log(f"left out {header['origin']}: {error}")
            continue
        if asked != header["asked"]:
            log(f"left out {header['origin']}: it asks for something else here")
            continue
        name = f"{suite_of(candidate.stored)}-{candidate.shape}.hist"
        (FOLDER / "histories" / name).write_bytes(candidate.path.read_bytes())
        (FOLDER / "bundles" / f"{bundle.name}.json").write_bytes(bundle.content)
        count += 1
    return count
