"""Code bundles: one entry with everything it needs, named by the hash of its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import orjson

from luaflow.domain.failure import Invalid
from luaflow.registry.app import App
from luaflow.registry.entries import CallableEntry, LuaEntry, WorkerEntry, WorkflowEntry
from luaflow.registry.flow import flow_of
from luaflow.registry.schemas import text_of

FORMAT: Final = 1
NAME_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """One source of a bundle: Lua text, the name of the chunk in traces, what it may require.

    `imports` goes from alias to the entry id under which the bundle holds the imported chunk.
    """

    name: str
    text: str
    modules: tuple[str, ...] = ()
    imports: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The documented object."""
        return {
            "name": self.name,
            "text": self.text,
            "modules": list(self.modules),
            "imports": self.imports,
        }


@dataclass(frozen=True)
class Bundle:
    """The code of one entry: `chunks` by entry id, the entry's own and all it imports.

    `method` None means the chunk itself returns the function. `local_activities` are the entry
    ids of activities that run inside the workflow task; `activity_options` the call defaults that
    functions state in `meta.options`, by entry id. `output_schema` is the JSON text of what the
    result must follow.
    """

    entry_id: str
    type_name: str
    method: str | None
    chunks: dict[str, Chunk]
    local_activities: tuple[str, ...] = ()
    activity_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    output_schema: str = ""

    @cached_property
    def content(self) -> bytes:
        """Canonical JSON: the same bytes for the same code on every machine."""
        tree: dict[str, Any] = {
            "format": FORMAT,
            "entry_id": self.entry_id,
            "type_name": self.type_name,
            "method": self.method,
            "local_activities": list(self.local_activities),
            "activity_options": self.activity_options,
            "chunks": {key: chunk.to_json() for key, chunk in self.chunks.items()},
        }
        if self.output_schema:  # a workflow without one keeps the name it had
            tree["output_schema"] = self.output_schema
        return orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)

    @cached_property
    def name(self) -> str:
        """The first 32 hexadecimal digits of the SHA-256 of the content."""
        return name_of(self.content)

    @property
    def main(self) -> Chunk:
        """The entry's own chunk."""
        return self.chunks[self.entry_id]

    @classmethod
    def from_bytes(cls, content: bytes, name: str | None = None) -> Bundle:
        """Read a stored bundle; with `name`, check that the content is what it names.

        Raises Invalid for anything else than what `content` writes.
        """
        if name is not None and name_of(content) != name:
            raise Invalid(f"the bundle {name} does not match its content: deploy it again")
        try:
            tree = orjson.loads(content)
            if tree["format"] != FORMAT:
                raise Invalid(f"the bundle has format {tree['format']}: upgrade this luaflow")
            bundle = cls(
                entry_id=tree["entry_id"],
                type_name=tree["type_name"],
                method=tree["method"],
                chunks={
                    key: Chunk(
                        name=chunk["name"],
                        text=chunk["text"],
                        modules=tuple(chunk["modules"]),
                        imports=dict(chunk["imports"]),
                    )
                    for key, chunk in tree["chunks"].items()
                },
                local_activities=tuple(tree.get("local_activities", ())),
                activity_options=dict(tree.get("activity_options", {})),
                output_schema=str(tree.get("output_schema", "")),
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise Invalid(f"not a bundle: {error!r}") from None
        needed = {bundle.entry_id, *(i for c in bundle.chunks.values() for i in c.imports.values())}
        if missing := needed - set(bundle.chunks):
            raise Invalid(f"the bundle lacks {', '.join(sorted(missing))}")
        return bundle


def name_of(content: bytes) -> str:
    """The name of a bundle's content."""
    return hashlib.sha256(content).hexdigest()[:NAME_LENGTH]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What `luaflow deploy` stores for one workflow: its bundle and where it runs.

    `worker_id`, `client_id` and `task_queue` (with the client's prefix) come from the registry.
    `versioning` is "auto_upgrade" where open runs are to move to it; `build` is the deployment and
    build id of the worker, where it has any. `input_schema` is JSON text, for whoever starts it;
    `flow` is what limits its runs, `retention` how long they are kept, both as JSON.
    """

    type_name: str
    entry_id: str
    worker_id: str
    task_queue: str
    client_id: str
    bundle: Bundle
    versioning: str = ""
    build: tuple[str, str] | None = None
    input_schema: str = ""
    flow: str = ""
    retention: str = ""


def bundle_entry(app: App, entry_id: str) -> Bundle:
    """The bundle of one Lua entry of an app: workflow, function or library."""
    entry = app.entries[entry_id]
    if not isinstance(entry, LuaEntry):
        raise Invalid(f"{entry_id} is of kind {entry.kind}: only Lua entries have bundles")
    chunks: dict[str, Chunk] = {}
    todo = [entry_id]
    while todo:
        current = todo.pop()
        part = app.entries[current]
        if current in chunks or not isinstance(part, LuaEntry):
            continue
        chunks[current] = Chunk(part.source.chunk, part.source.text, part.modules, part.imports)
        todo.extend(part.imports.values())
    if not isinstance(entry, WorkflowEntry):
        return Bundle(entry.id, entry.id, entry.method, chunks)
    activities = app.activities
    local = (key for key, e in activities.items() if e.activity and e.activity.local)
    options = {key: defaults_of(e) for key, e in sorted(activities.items())}
    options = {key: found for key, found in options.items() if found}
    return Bundle(
        entry.id,
        entry.type_name,
        entry.method,
        chunks,
        tuple(sorted(local)),
        options,
        text_of(entry.output_schema),
    )


def _build(worker: WorkerEntry) -> tuple[str, str] | None:
    """What the worker's code is called; a deployment without a name is called as its worker."""
    options = worker.options
    if not options.use_versioning or not options.build_id:
        return None
    return options.deployment_name or worker.id, options.build_id


def defaults_of(entry: CallableEntry) -> dict[str, Any]:
    """The options of an activity call that gives none: its `meta.options`, its `priority`."""
    own = {"activity.priority": {"priority_key": entry.priority}} if entry.priority else {}
    return {**own, **entry.options}


def make_bundles(app: App) -> list[Deployment]:
    """The deployments of all workflows that a worker runs, in order of their ids."""
    found: list[Deployment] = []
    for entry in sorted(app.workflows.values(), key=lambda entry: entry.id):
        if entry.worker is None:
            continue
        worker = app.workers[entry.worker]
        found.append(
            Deployment(
                type_name=entry.type_name,
                entry_id=entry.id,
                worker_id=worker.id,
                task_queue=worker.task_queue,
                client_id=worker.client,
                bundle=bundle_entry(app, entry.id),
                versioning=entry.versioning or worker.options.default_versioning_behavior or "",
                build=_build(worker),
                input_schema=text_of(entry.input_schema),
                flow=flow_of(entry, worker).to_text(),
                retention=text_of(entry.retention),
            )
        )
    return found
