"""Every stored history of a released version replays to the same commands, for ever."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from luaflow.domain.events import CLOSING, MESSAGES, REST
from luaflow.lua.vm import Engine
from luaflow.registry.modules import PROVIDED, WORKFLOW
from luaflow.replay.loading import source_of
from luaflow.replay.recorded import _OPS
from tests.corpus.choosing import shape_of
from tests.corpus.files import FOLDER, Stored, changed, histories, read_bundle, read_hashes, seal
from tests.corpus.replaying import replayed
from tests.support.mutants import FOUND, Violation, kernel_mutant

LEAST = 300
MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def corpus() -> dict[str, Stored]:
    """All histories, by file name."""
    return {path.name: Stored.from_bytes(path.read_bytes()) for path in histories()}


def test_every_history_replays_to_the_same_commands(corpus: dict[str, Stored]) -> None:
    """On a fresh engine, with the code it ran on: operation, number, name, data, end."""
    assert list(_differences(corpus)) == []


@pytest.mark.parametrize(
    "violation",
    [
        kernel_mutant(
            "scheduler",
            "  run.queue[tail] = task\n",
            "  run.queue[tail] = task\n  if tail > run.head then run.queue[tail],"
            " run.queue[tail - 1] = run.queue[tail - 1], task end\n",
        ),
        kernel_mutant("modules/time", "tostring(ns)", "tostring(ns + 1)"),
    ],
)
def test_another_kernel_is_found(corpus: dict[str, Stored], violation: Violation) -> None:
    """Planted: a kernel that does something else in some of them."""
    with violation():
        assert next(_differences(corpus), None)


def _differences(corpus: dict[str, Stored]) -> Iterator[str]:
    """What is different, a line for each history."""
    by_bundle: defaultdict[str, list[str]] = defaultdict(list)
    for name, stored in corpus.items():
        by_bundle[stored.header["bundle"]].append(name)
    for bundle_name, names in by_bundle.items():
        bundle = read_bundle(bundle_name)
        engine = Engine(source_of(bundle))
        for name in names:
            header, events = corpus[name]
            try:
                asked = replayed(header["namespace"], header["run_id"], events, bundle, engine)
            except FOUND as error:
                yield f"{name} ({header['origin']}): {error}"
                continue
            for number, (old, new) in enumerate(zip(header["asked"], asked, strict=True), 1):
                if old != new:
                    yield f"{name} ({header['origin']}): its decision {number} asks for others"


def test_it_is_large_enough_and_no_larger(corpus: dict[str, Stored]) -> None:
    """So many histories, each of another shape, in so little room."""
    shapes = {
        (
            shape_of(stored),
            stored.header["bundle"] if "reference" in stored.header["origin"] else "",
        )
        for stored in corpus.values()
    }
    assert len(shapes) == len(corpus) >= LEAST
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < MOST_BYTES


def test_it_has_every_event_and_every_module(corpus: dict[str, Stored]) -> None:
    """No event that code sees or makes is missing, nor a module that code may require."""
    types = {event.type for stored in corpus.values() for event in stored.events}
    assert types >= (MESSAGES | REST | set(CLOSING) | set(_OPS))
    modules: set[str] = set()
    for name in {stored.header["bundle"] for stored in corpus.values()}:
        for chunk in read_bundle(name).chunks.values():
            modules.update(chunk.modules)
    assert modules >= WORKFLOW & PROVIDED


def test_no_stored_file_was_changed() -> None:
    """A history is never rewritten, nor removed; its hash is committed."""
    assert changed() == []


def test_a_rewritten_a_removed_and_an_unlisted_file_are_found(tmp_path: Path) -> None:
    """Sealing again does not help: what is listed stays listed as it was."""
    folder = tmp_path / "corpus"
    first, second, *_ = histories()
    for part in ("histories", "bundles"):
        (folder / part).mkdir(parents=True)
    for path in (first, second):
        shutil.copy(path, folder / "histories")
    assert seal(folder) == 2
    assert (changed(folder), seal(folder)) == ([], 0)
    (folder / "histories" / first.name).write_bytes(second.read_bytes())
    (folder / "histories" / second.name).unlink()
    shutil.copy(first, folder / "histories" / "new-1.hist")
    found = [line.split(": ")[1][:9] for line in changed(folder)]
    assert sorted(found) == ["not liste", "removed", "rewritten"]
    assert seal(folder) == 1
    assert len(changed(folder)) == 2
    assert len(read_hashes(folder)) == 3
