"""The JSON Schema of registry files, asked of the very code that reads them.

``python -m tools.registry_schema`` writes ``shared/luaflow/registry/registry.schema.json``, with
which editors complete and check the YAML of an app (``luaflow init`` places it).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from luaflow.registry import app as registry
from luaflow.registry import code, schedules, services
from luaflow.registry.fields import Fields
from luaflow.registry.interpolate import EnvRegistry
from luaflow.registry.problems import Problems
from luaflow.registry.yamlfile import parse
from tools.programs import ROOT

FILE: Final = ROOT / "shared" / "luaflow" / "registry" / "registry.schema.json"

_PLACEHOLDER: Final = {"type": "string", "pattern": r"\$\{"}
_TEXT: Final = {"type": ["string", "number"]}
_PLACE: Final = code.Place(Path(), Path())

READERS: Final[dict[str, Callable[[dict[str, Any], Fields], Any]]] = {
    "temporal.client": services.read_client,
    "temporal.worker": services.read_worker,
    "workflow.lua": lambda common, fields: code.read_workflow(common, fields, _PLACE),
    "function.lua": lambda common, fields: code.read_function(common, fields, _PLACE),
    "library.lua": lambda common, fields: code.read_library(common, fields, _PLACE),
    "function.python": lambda common, fields: code.read_python(common, fields, _PLACE),
    "schedule": schedules.read_schedule,
}
"""Kind -> what reads its keys."""

TEXTS: Final = {
    "name": "The entry's name; its id is namespace:name.",
    "kind": "What the entry is.",
    "meta": "Free, but for meta.temporal (who runs it) and meta.options (defaults of its calls).",
    "source": "The code: file://x.lua, or the Lua text itself.",
    "method": "The exported function to run.",
    "modules": "The modules that the code may require.",
    "imports": "Libraries: alias: id.",
    "client": "The temporal.client that a worker connects with.",
    "task_queue": "The queue that the worker serves.",
    "worker": "The temporal.worker that runs it.",
    "local": "Run it inside the workflow task.",
    "address": "redis://host:port; --redis and LUAFLOW_REDIS_URL win.",
    "handler": "package.module:callable.",
    "workflow": "The workflow.lua that is started.",
    "input": "Its arguments, a list.",
    "cron": 'When: "0 9 * * 1-5", or a list of such.',
    "interval": "When: 1h, or {every: 1h, offset: 5m}, or a list of such.",
    "calendar": "When: {hour: 9, day_of_week: MON-FRI}, or a list of such.",
    "timezone": "Of cron and calendar; UTC without.",
    "start_at": "Not before this time.",
    "end_at": "Not after this time.",
    "jitter": "Later by up to so much, each time differently.",
    "overlap": "What becomes of a time while the run before goes on.",
    "catchup_window": "How late a time may be acted on: a year.",
    "pause_on_failure": "Stop when a run failed.",
    "limited_actions": "How often it acts at all.",
    "workflow_id": "What the ids of its runs begin with; the entry's id without.",
    "options": "Start options of the workflow.",
    "paused": "Begin paused.",
    "input_schema": "JSON Schema of the first argument.",
    "output_schema": "JSON Schema of the result.",
}


def schema() -> dict[str, Any]:
    """The schema of a registry file."""
    kinds = sorted({*READERS, *registry.SYNONYMS, *(_whole(one) for one in registry.PLAIN)})
    entry = {
        "type": "object",
        "required": ["name", "kind"],
        "properties": {
            "name": {"type": "string", "description": TEXTS["name"]},
            "kind": {"anyOf": [{"enum": kinds}, {"type": "string"}], "description": TEXTS["kind"]},
            "meta": {"type": "object", "description": TEXTS["meta"]},
        },
        "allOf": [_of_kind(kind) for kind in sorted({*READERS, *registry.SYNONYMS})],
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A registry file of luaflow",
        "$defs": {"entry": entry, "placeholder": _PLACEHOLDER},
        "type": "object",
        "required": ["namespace"],
        "properties": {
            "version": {"type": ["string", "number"]},
            "namespace": {
                "type": "string",
                "description": "The first part of the ids in this file.",
            },
            "meta": {"type": "object", "description": "Meta of every entry of the file."},
            "entries": {"type": ["array", "null"], "items": {"$ref": "#/$defs/entry"}},
        },
        "if": {"required": ["name"]},
        "then": {"$ref": "#/$defs/entry"},
    }


def _whole(kind: str) -> str:
    return kind + "os" if kind.endswith(".") else kind


def _of_kind(kind: str) -> dict[str, Any]:
    found = keys_of(registry.SYNONYMS.get(kind, kind))
    return {
        "if": {"properties": {"kind": {"const": kind}}},
        "then": {"properties": {name: _with_text(name, one) for name, one in found.items()}},
    }


def _with_text(name: str, one: dict[str, Any]) -> dict[str, Any]:
    if "properties" in one:
        inner = {key: _with_text(key, value) for key, value in one["properties"].items()}
        one = {**one, "properties": inner}
    return {**one, "description": TEXTS[name]} if name in TEXTS else one


def keys_of(kind: str) -> dict[str, dict[str, Any]]:
    """The keys that the reader of a kind asks for, as properties; nested ones below."""
    found: dict[tuple[str | int, ...], dict[str, Any]] = {}

    class Recorder(_Recorder):
        seen = found

    document = parse(b"namespace: app\n", "schema")
    problems = Problems()
    meta: dict[str, Any] = {"temporal": {}}
    common = {
        "id": "app:x",
        "kind": kind,
        "meta": meta,
        "data": {},
        "document": document,
        "path": (),
    }
    fields = Recorder({}, document, (), namespace="app", env=EnvRegistry({}), problems=problems)
    READERS[kind](common, fields)
    return _tree(found)


def _tree(found: dict[tuple[str | int, ...], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    root: dict[str, Any] = {"properties": {}}
    for path in sorted(found, key=lambda one: (len(one), [str(part) for part in one])):
        node = root
        for part in path[:-1]:
            node = node.setdefault("properties", {}).setdefault(str(part), {"type": "object"})
        node.setdefault("properties", {}).setdefault(str(path[-1]), {}).update(found[path])
    tree: dict[str, dict[str, Any]] = root["properties"]
    return tree


class _Recorder(Fields):
    """Fields that note how each key is read."""

    seen: dict[tuple[str | int, ...], dict[str, Any]]

    def _note(self, key: str, what: dict[str, Any]) -> None:
        self.seen.setdefault((*self.path, key), what)

    def raw(self, key: str) -> Any:
        self._note(key, {})
        return super().raw(key)

    def text(self, key: str, default: str = "") -> str:
        self._note(key, _TEXT)
        return super().text(key, default)

    def legacy_text(self, key: str, default: str = "") -> str:
        self._note(key, _TEXT)
        return super().legacy_text(key, default)

    def flag(self, key: str, default: bool = False) -> bool:
        self._note(key, _or_placeholder({"type": "boolean", "default": default}))
        return super().flag(key, default)

    def integer(self, key: str, default: int) -> int:
        self._note(key, _or_placeholder({"type": "integer", "default": default}))
        return super().integer(key, default)

    def rate(self, key: str) -> float:
        self._note(key, _or_placeholder({"type": "number", "minimum": 0}))
        return super().rate(key)

    def duration(self, key: str, default_ms: int) -> int:
        self._note(key, {"type": ["string", "number"], "default": f"{default_ms}ms"})
        return super().duration(key, default_ms)

    def mapping(self, key: str) -> Fields:
        self._note(key, {"type": "object"})
        return super().mapping(key)

    def texts(self, key: str) -> tuple[str, ...]:
        self._note(key, {"type": "array", "items": {"type": "string"}})
        return super().texts(key)

    def choice(self, key: str, words: tuple[str, ...]) -> str | None:
        self._note(key, _or_placeholder({"enum": list(words)}))
        return super().choice(key, words)

    def unknown(self, *more: str) -> None:
        for key in more:
            self._note(key, {})


def _or_placeholder(one: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [one, {"$ref": "#/$defs/placeholder"}]}


def text() -> str:
    """The schema as the file holds it."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
    print(f"wrote {FILE.relative_to(ROOT)}")
