"""Loading a part of an app: what is broken is left out, what is missing is warned of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from luaflow.registry.entries import (
    ClientEntry,
    Entry,
    FunctionEntry,
    LuaEntry,
    PythonEntry,
    WorkerEntry,
    WorkflowEntry,
)
from luaflow.registry.links import circles
from luaflow.registry.problems import Problems, RegistryError, RegistryWarning


@dataclass(frozen=True, slots=True)
class Broken:
    """An entry that was left out: as far as it could be read, and what is wrong with it."""

    entry: Entry
    errors: list[RegistryError]


class Lenient(Problems):
    """Takes what is wrong between entries as warnings."""

    def error(
        self, message: str, file: str, line: int, remedy: str, *, column: int | None = None
    ) -> None:
        """Note a warning in place of an error."""
        self.warn(message, file, line, remedy)


def sound(entry: Entry, own: Problems, problems: Problems, broken: dict[str, Broken]) -> bool:
    """Whether an entry was read without errors; if not, it is put among the broken ones.

    What was noted about it moves from `own` to `problems`, as warnings.
    """
    for warning in own.warnings:
        problems.warn(warning.message, warning.file, warning.line, warning.remedy)
    for error in own.errors:
        problems.warn(f"{entry.id} is left out: {error.what}", error.file, error.line, error.remedy)
    if own.errors:
        broken[entry.id] = Broken(entry, own.errors)
    return not own.errors


def leave_out(
    entries: dict[str, Entry],
    broken: dict[str, Broken],
    warnings: list[RegistryWarning],
    found: Mapping[str, list[RegistryError]],
) -> None:
    """Put entries among the broken ones whose code cannot run; the warnings say so."""
    for id_, errors in found.items():
        broken[id_] = Broken(entries.pop(id_), errors)
        warnings += [
            RegistryWarning(
                f"{id_} is left out: {error.what}", error.file, error.line, error.remedy
            )
            for error in errors
        ]


def faults(
    entry_id: str, entries: dict[str, Entry], broken: dict[str, Broken]
) -> list[RegistryError]:
    """The errors of an entry, and of all that it imports, directly or not."""
    found: list[RegistryError] = []
    todo, seen = [entry_id], set[str]()
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        if current in broken:
            found += broken[current].errors
        entry = broken[current].entry if current in broken else entries.get(current)
        # As written: of a loaded entry, imports that are broken have fallen away.
        written = entry.data.get("imports") if entry else None
        if entry and isinstance(written, dict):
            names = map(str, written.values())
            todo += [name if ":" in name else f"{entry.namespace}:{name}" for name in names]
    return found


def without_missing(entries: dict[str, Entry], problems: Problems) -> dict[str, Entry]:
    """The entries without references to what is not among them; each is a warning.

    An import falls away, also one that closes a circle, and so does the registration on a worker.
    A worker whose client is missing falls away itself.
    """
    for entry in list(entries.values()):
        if isinstance(entry, WorkerEntry) and not _there(entry.client, ClientEntry, entries):
            _warn(entry, problems, f"client {entry.client}", "client")
            del entries[entry.id]
    whole = {key: _whole(entry, entries, problems) for key, entry in entries.items()}
    cut: dict[str, dict[str, str]] = {}
    for entry, alias, circle in circles(whole):
        _warn(entry, problems, f"import {alias}, in the circle {circle},", "imports", alias)
        cut[entry.id] = {**cut.get(entry.id, entry.imports)}
        cut[entry.id].pop(alias, None)
    for key, imports in cut.items():
        entry = whole[key]
        assert isinstance(entry, LuaEntry)
        whole[key] = replace(entry, imports=imports)
    return whole


def _whole(entry: Entry, entries: dict[str, Entry], problems: Problems) -> Entry:
    if isinstance(entry, LuaEntry):
        missing = [
            a for a, target in entry.imports.items() if not _there(target, LuaEntry, entries)
        ]
        for alias in missing:
            _warn(entry, problems, f"import {entry.imports[alias]}", "imports", alias)
        if missing:
            kept = {a: target for a, target in entry.imports.items() if a not in missing}
            entry = replace(entry, imports=kept)
    group = "luaflow" if "luaflow" in entry.meta else "temporal"
    if isinstance(entry, WorkflowEntry) and entry.worker:
        if not _there(entry.worker, WorkerEntry, entries):
            _warn(entry, problems, f"worker {entry.worker}", "meta", group, "workflow", "worker")
            entry = replace(entry, worker=None)
    elif isinstance(entry, (FunctionEntry, PythonEntry)) and entry.activity:
        worker = entry.activity.worker
        if not _there(worker, WorkerEntry, entries):
            _warn(entry, problems, f"worker {worker}", "meta", group, "activity", "worker")
            entry = replace(entry, activity=None)
    return entry


def _there(wanted: str, kind: type[Entry], entries: dict[str, Entry]) -> bool:
    return isinstance(entries.get(wanted), kind)


def _warn(entry: Entry, problems: Problems, what: str, *path: str) -> None:
    problems.warn(
        f"the {what} of {entry.id} is not loaded",
        entry.file,
        entry.line(*path),
        "add its folder to --include, or see why it is left out",
    )
