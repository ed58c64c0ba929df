"""Entries against each other: references that must exist, names that must be unique."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from luaflow.domain.ids import check_name, closest
from luaflow.errors import InvalidArgument
from luaflow.registry.entries import (
    ClientEntry,
    Entry,
    FunctionEntry,
    LuaEntry,
    PythonEntry,
    WorkerEntry,
    WorkflowEntry,
)
from luaflow.registry.problems import Problems

T = TypeVar("T", bound=Entry)


def link(entries: dict[str, Entry], problems: Problems) -> dict[str, Entry]:
    """The entries with task queues completed; notes every broken reference in `problems`."""
    linked: dict[str, Entry] = {}
    for entry in entries.values():
        if isinstance(entry, WorkerEntry):
            linked[entry.id] = _worker(entry, entries, problems)
            continue
        linked[entry.id] = entry
        if isinstance(entry, WorkflowEntry):
            _registration(entry, entry.worker, "workflow", entries, problems)
        if isinstance(entry, (FunctionEntry, PythonEntry)) and entry.activity:
            _registration(entry, entry.activity.worker, "activity", entries, problems)
        if isinstance(entry, LuaEntry):
            _imports(entry, entries, problems)
    _type_names(entries, problems)
    _cycles(entries, problems)
    return linked


def similar(wanted: str, ids: list[str], otherwise: str) -> str:
    """A remedy: the closest existing id, or `otherwise`."""
    close = closest(wanted, ids)
    return f"did you mean {close}?" if close else otherwise


def _find(wanted: str, kind: type[T], entries: dict[str, Entry]) -> tuple[T | None, list[str]]:
    entry = entries.get(wanted)
    return (
        entry if isinstance(entry, kind) else None,
        [other.id for other in entries.values() if isinstance(other, kind)],
    )


def _worker(entry: WorkerEntry, entries: dict[str, Entry], problems: Problems) -> WorkerEntry:
    if not entry.client or not entry.task_queue:
        return entry
    client, others = _find(entry.client, ClientEntry, entries)
    if client is None:
        problems.error(
            f"client {entry.client} of the worker {entry.id} does not exist",
            entry.file,
            entry.line("client"),
            similar(entry.client, others, "add an entry of kind temporal.client"),
        )
        return entry
    queue = client.tq_prefix + entry.task_queue
    try:
        check_name(queue, "the task queue")
    except InvalidArgument as error:
        problems.error(error.message, entry.file, entry.line("task_queue"), "choose another name")
    return replace(entry, task_queue=queue)


def _registration(
    entry: Entry, worker: str | None, what: str, entries: dict[str, Entry], problems: Problems
) -> None:
    if worker is None:
        return
    found, others = _find(worker, WorkerEntry, entries)
    if found is None:
        group = "luaflow" if "luaflow" in entry.meta else "temporal"
        problems.error(
            f"worker {worker} of {entry.id} does not exist",
            entry.file,
            entry.line("meta", group, what, "worker"),
            similar(worker, others, "add an entry of kind temporal.worker"),
        )


def _imports(entry: LuaEntry, entries: dict[str, Entry], problems: Problems) -> None:
    for alias, wanted in entry.imports.items():
        found, others = _find(wanted, LuaEntry, entries)
        if found is None:
            problems.error(
                f"import {alias} of {entry.id}: {wanted or 'nothing'} is no Lua entry",
                entry.file,
                entry.line("imports", alias),
                similar(wanted, others, "add an entry of kind library.lua"),
            )


def _type_names(entries: dict[str, Entry], problems: Problems) -> None:
    taken: dict[tuple[str, str], WorkflowEntry] = {}
    for entry in entries.values():
        if not isinstance(entry, WorkflowEntry) or entry.worker is None:
            continue
        first = taken.setdefault((entry.worker, entry.type_name), entry)
        if first is not entry:
            problems.error(
                f"the workflow type {entry.type_name} stands twice on {entry.worker}:"
                f" {first.id} and {entry.id}",
                entry.file,
                entry.line("meta", "temporal", "workflow", "name"),
                "give one of them another name:",
            )


def _cycles(entries: dict[str, Entry], problems: Problems) -> None:
    """Notes each import cycle once, at the import that closes it."""
    for entry, alias, circle in circles(entries):
        problems.error(
            f"imports go in a circle: {circle}",
            entry.file,
            entry.line("imports", alias),
            "move what both need into a library of its own",
        )


def circles(entries: dict[str, Entry]) -> Iterator[tuple[LuaEntry, str, str]]:
    """Each circle of imports: the entry and the alias that close it, and the ids on the way."""
    done: set[str] = set()
    for start in entries:
        trail: list[str] = []
        # (entry id, False) enters it, (entry id, True) leaves it: recursion would have a limit.
        work = [(start, False)]
        while work:
            current, leaving = work.pop()
            if leaving:
                done.add(trail.pop())
                continue
            entry = entries.get(current)
            if current in done or not isinstance(entry, LuaEntry):
                continue
            trail.append(current)
            work.append((current, True))
            for alias, target in entry.imports.items():
                if target in trail:
                    yield entry, alias, " -> ".join([*trail[trail.index(target) :], target])
                else:
                    work.append((target, False))
