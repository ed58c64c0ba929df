"""Reading the entries that hold code: Lua workflows, functions, libraries; Python functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from luaflow.domain.failure import Invalid
from luaflow.domain.options import parse_activity_options
from luaflow.registry import sources, typed
from luaflow.registry.entries import (
    Activity,
    FunctionEntry,
    LibraryEntry,
    PythonEntry,
    WorkflowEntry,
)
from luaflow.registry.fields import Fields
from luaflow.registry.flow import read_flow, read_priority, read_rate_limit
from luaflow.registry.problems import RegistryError
from luaflow.registry.retention import read_retention
from luaflow.registry.schemas import mistake
from luaflow.registry.sources import Source, SourceError
from luaflow.registry.yamlfile import parse

_HANDLER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", re.ASCII)
# Read by the engine's own limits, or without meaning for luaflow.
_ELSEWHERE: Final = ("pool", "retention", "security")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry lies: the source folder no reference may leave, and its YAML file."""

    root: Path
    yaml: Path


def read_workflow(common: dict[str, Any], fields: Fields, place: Place) -> WorkflowEntry:
    """A `workflow.lua` entry; without a worker in its metadata nothing runs it."""
    meta = _registration(fields, common["meta"], "workflow")
    entry = WorkflowEntry(
        **common,
        **_lua(fields, place, common["id"], default_method="main"),
        **_schemas(fields, place),
        type_name=meta.text("name") or common["id"],
        worker=meta.reference("worker"),
        versioning=meta.choice("versioning", ("pinned", "auto_upgrade")),
        retention=read_retention(meta),
        **read_flow(fields),
    )
    if meta.data and entry.worker is None:
        meta.warn("worker", "is missing, so no worker runs this workflow", "add worker: <worker>")
    fields.unknown(*_ELSEWHERE)
    return entry


def read_function(common: dict[str, Any], fields: Fields, place: Place) -> FunctionEntry:
    """A `function.lua` or `process.lua` entry."""
    entry = FunctionEntry(
        **common,
        **_lua(fields, place, common["id"], default_method=None),
        **_schemas(fields, place),
        **_callable(fields, common["meta"]),
    )
    fields.unknown(*_ELSEWHERE)
    return entry


def read_library(common: dict[str, Any], fields: Fields, place: Place) -> LibraryEntry:
    """A `library.lua` or `module.lua` entry."""
    entry = LibraryEntry(**common, **_lua(fields, place, common["id"], default_method=None))
    fields.unknown(*_ELSEWHERE)
    return entry


def read_python(common: dict[str, Any], fields: Fields, place: Place) -> PythonEntry:
    """A `function.python` entry; the handler is imported by the worker, not here."""
    handler = fields.required("handler", "my_app.activities:charge")
    if handler and not _HANDLER.match(handler):
        fields.error(
            "handler",
            f"must be package.module:callable, got {handler}",
            "write it as my_app.activities:charge",
        )
    entry = PythonEntry(
        **common,
        handler=handler,
        **_schemas(fields, place),
        **_callable(fields, common["meta"]),
    )
    fields.unknown(*_ELSEWHERE)
    return entry


def _lua(fields: Fields, place: Place, entry_id: str, default_method: str | None) -> dict[str, Any]:
    imports = fields.mapping("imports")
    return {
        "source": _source(fields, place, entry_id),
        "method": fields.optional("method") or default_method,
        "modules": fields.texts("modules"),
        "imports": {alias: imports.reference(alias) or "" for alias in imports.data},
    }


def _source(fields: Fields, place: Place, entry_id: str) -> Source:
    # Lua text may hold "${" of its own: it is never filled.
    value = fields.raw("source")
    if not isinstance(value, str) or not value:
        fields.error("source", "is required", "add source: file://<name>.lua")
        return Source("", entry_id, fields.document.file)
    if not value.startswith(sources.PREFIX):
        line = fields.document.text_line((*fields.path, "source"))
        written = Source(value, entry_id, fields.document.file, line)
        return typed.plain(written, fields.problems, place.yaml)
    try:
        path = sources.locate(value, place.yaml, place.root)
        if path.suffix not in sources.LUA_SUFFIXES:
            raise SourceError(f"{value} is not a Lua file", "give a file that ends in .lua")
        text = sources.read(path, value)
    except SourceError as error:
        fields.error("source", f"cannot be read: {error.message}", error.remedy)
        return Source("", entry_id, fields.document.file)
    relative = path.relative_to(place.root.resolve())
    written = Source(text, relative.as_posix(), str(place.root / relative))
    return typed.plain(written, fields.problems, path)


def _schemas(fields: Fields, place: Place) -> dict[str, Any]:
    return {key: _schema(fields, place, key) for key in ("input_schema", "output_schema")}


def _schema(fields: Fields, place: Place, key: str) -> dict[str, Any] | None:
    value = fields.get(key)
    try:
        if isinstance(value, str) and value.startswith(sources.PREFIX):
            path = sources.locate(value, place.yaml, place.root)
            value = parse(sources.read(path, value).encode(), path.name).data
    except SourceError as error:
        fields.error(key, f"cannot be read: {error.message}", error.remedy)
        return None
    except RegistryError as error:
        fields.error(key, f"cannot be read: {error.file}:{error.line}: {error.what}", error.remedy)
        return None
    if value is not None and not isinstance(value, dict):
        fields.error(key, "must be a JSON Schema object", "write type: object, or remove it")
        return None
    if value is not None and (found := mistake(value)):
        where, what = found
        text = f"{key} is no JSON Schema: {what}"
        inline = isinstance(fields.get(key), dict)
        line = fields.line(key, *where) if inline else fields.line(key)
        at = "" if inline or not where else f" (at {'/'.join(map(str, where))})"
        fields.problems.error(text + at, fields.document.file, line, "mend the schema")
        return None
    return value


def _registration(fields: Fields, meta: dict[str, Any], what: str) -> Fields:
    """`meta.temporal.<what>`, or `meta.luaflow.<what>`; the file's own meta may hold it too."""
    around = type(fields)(
        meta,
        fields.document,
        (*fields.path, "meta"),
        namespace=fields.namespace,
        env=fields.env,
        problems=fields.problems,
        prefix="meta.",
    )
    group = around.mapping("luaflow" if "luaflow" in meta else "temporal")
    return group.mapping(what)


def _callable(fields: Fields, meta: dict[str, Any]) -> dict[str, Any]:
    registration = _registration(fields, meta, "activity")
    worker = registration.reference("worker")
    if registration.data and worker is None:
        registration.warn("worker", "is missing, so this is no activity", "add worker: <worker>")
    local = registration.flag("local")
    if local and fields.raw("rate_limit") is not None:
        fields.warn(
            "rate_limit",
            "does not hold for a local activity",
            "limit them with worker_local_activities_per_second",
        )
    return {
        "activity": Activity(worker=worker, local=local) if worker else None,
        "options": _call_defaults(fields, meta),
        "rate_limit": read_rate_limit(fields),
        "priority": read_priority(fields),
    }


def _call_defaults(fields: Fields, meta: dict[str, Any]) -> dict[str, Any]:
    """`meta.options`, checked now: a mistake would otherwise fail every call."""
    options = meta.get("options")
    path = (*fields.path, "meta", "options")
    file, line = fields.document.file, fields.document.line(path)
    if options is None:
        return {}
    if not isinstance(options, dict):
        fields.problems.error("meta.options must be a mapping", file, line, "write keys below it")
        return {}
    try:
        _, warnings = parse_activity_options(fields.namespace, options)
    except Invalid as error:
        what = error.message.partition(": ")[2]
        fields.problems.error(f"meta.options: {what}", file, line, "mend the value")
        return {}
    for warning in warnings:
        fields.problems.warn(f"meta.options: {warning}", file, line, "check the spelling")
    return options
