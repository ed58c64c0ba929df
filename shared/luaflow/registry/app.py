"""An app folder as one value: its entries by id, checked against each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from luaflow.errors import InvalidArgument
from luaflow.registry import code, http, links, needed, partial, schedules, services
from luaflow.registry.entries import (
    CallableEntry,
    ClientEntry,
    Entry,
    FunctionEntry,
    GenericEntry,
    PythonEntry,
    WorkerEntry,
    WorkflowEntry,
)
from luaflow.registry.fields import Fields
from luaflow.registry.interpolate import EnvRegistry, Variable
from luaflow.registry.loader import (
    RawEntry,
    RegistryFile,
    read_entries,
    read_folder,
    source_folders,
)
from luaflow.registry.partial import Broken
from luaflow.registry.problems import NoApp, Problems, RegistryError, RegistryWarning

SYNONYMS: Final = {
    "luaflow.client": "temporal.client",
    "luaflow.worker": "temporal.worker",
    "module.lua": "library.lua",
    "process.lua": "function.lua",
}
PLAIN: Final = (
    "env.storage.",
    "env.variable",
    "process.host",
    "process.service",
    "registry.entry",
)
_IGNORED: Final = (
    "cloudstorage.",
    "config.aws",
    "contract.",
    "db.sql.",
    "exec.",
    "fs.",
    "http.static",
    "network.",
    "ns.",
    "pg.scope",
    "queue.",
    "security.",
    "store.",
    "template.",
    "terminal.host",
)


@dataclass(frozen=True, slots=True)
class App:
    """A loaded app folder; every mapping goes from entry id to entry.

    `root` is the folder as given: Python handlers are imported from it. `activities` are those
    functions that a worker has registered. `warnings` are what loads but is probably not meant.
    `broken` are the entries that a partial load left out, with what is wrong with each.
    """

    root: Path
    entries: dict[str, Entry]
    warnings: list[RegistryWarning] = field(default_factory=list)
    broken: dict[str, Broken] = field(default_factory=dict)

    @property
    def clients(self) -> dict[str, ClientEntry]:
        """The `temporal.client` entries."""
        return {key: e for key, e in self.entries.items() if isinstance(e, ClientEntry)}

    @property
    def workers(self) -> dict[str, WorkerEntry]:
        """The `temporal.worker` entries."""
        return {key: e for key, e in self.entries.items() if isinstance(e, WorkerEntry)}

    @property
    def workflows(self) -> dict[str, WorkflowEntry]:
        """All `workflow.lua` entries, also those without a worker."""
        return {key: e for key, e in self.entries.items() if isinstance(e, WorkflowEntry)}

    @property
    def functions(self) -> dict[str, CallableEntry]:
        """All that `funcs.call` may name: Lua functions and processes, and Python functions."""
        return {
            key: e for key, e in self.entries.items() if isinstance(e, (FunctionEntry, PythonEntry))
        }

    @property
    def activities(self) -> dict[str, CallableEntry]:
        """The functions registered on a worker; their names are their ids."""
        return {key: e for key, e in self.functions.items() if e.activity is not None}

    def workflow(self, name: str) -> WorkflowEntry | None:
        """The workflow of an entry id, or of a registered type name."""
        if name in self.workflows:
            return self.workflows[name]
        return next((e for e in self.workflows.values() if e.type_name == name), None)

    def leave_out(self, found: Mapping[str, list[RegistryError]]) -> None:
        """Go on without these entries: a partial load, once their code was looked at."""
        partial.leave_out(self.entries, self.broken, self.warnings, found)

    def faults(self, entry_id: str) -> list[RegistryError]:
        """What is wrong with an entry that a partial load left out, or with what it imports."""
        return partial.faults(entry_id, self.entries, self.broken)


def load_app(
    path: Path,
    env: Mapping[str, str] | None = None,
    *,
    partly: bool = False,
    only: Sequence[Path] = (),
) -> App:
    """Read and check an app folder; `env` is the environment (the process's own by default).

    Reads every YAML and JSON file with a namespace below `path` (or what its `wippy.lock` names,
    or its `src`); with `only`, those of them that are, or lie below, one of these paths, and of the
    rest what those name (luaflow.registry.needed). Raises NoApp for a folder that holds no such
    file, RegistryErrors with all errors at once, each with file, line and remedy.

    `partly` is for running a part of an app: an entry with errors is left out (`App.broken`), and
    a reference to what is not there is a warning. A file that cannot be read is an error still.
    """
    if not path.is_dir():
        raise InvalidArgument(f"{path}: there is no such folder \u2013 name the app's folder")
    problems = Problems()
    files: list[RegistryFile] = []
    try:
        for folder in source_folders(path):
            files += read_folder(folder, problems, only)
    except RegistryError as error:
        problems.errors.append(error)
    if not files and not problems.errors:
        raise NoApp(
            f"{path}: there is no app in this folder \u2013 write src/_index.yaml with a "
            "`namespace:` and `entries:`; the README shows a first one"
        )
    found = [(file.folder, raw) for file in files for raw in read_entries(file, problems)]
    raws = _unique(found, problems)
    rest = needed.rest_of(path, {file.yaml for file in files}) if only else needed.Rest(())
    raws += rest.everywhere()
    registry = _environment([raw for _, raw in raws], os.environ if env is None else env)
    broken: dict[str, Broken] = {}
    entries: dict[str, Entry] = {}
    for folder, raw in raws:  # grows while it is read
        own = Problems() if partly else problems
        entry = _read(raw, folder, registry, own)
        raws += rest.named_by(entry)
        if own is problems or partial.sound(entry, own, problems, broken):
            entries[raw.id] = entry
    linking = problems
    if partly:
        entries = partial.without_missing(entries, problems)
        linking = partial.Lenient(warnings=problems.warnings)
    entries = links.link(entries, linking)
    http.link(entries, linking)
    schedules.link(entries, linking)
    problems.raise_if_any()
    return App(path, entries, problems.warnings, broken)


def _unique(found: list[tuple[Path, RawEntry]], problems: Problems) -> list[tuple[Path, RawEntry]]:
    first: dict[str, tuple[Path, RawEntry]] = {}
    for folder, raw in found:
        if raw.id in first:
            other = first[raw.id][1]
            problems.error(
                f"the id {raw.id} is taken by {other.place}",
                raw.document.file,
                raw.document.line(raw.path),
                "rename one of the two",
            )
        else:
            first[raw.id] = (folder, raw)
    return list(first.values())


def _environment(raws: list[RawEntry], env: Mapping[str, str]) -> EnvRegistry:
    registry = EnvRegistry(env)
    for raw in raws:
        space = raw.id.partition(":")[0]
        if raw.kind == "env.variable":
            storage = raw.data.get("storage")
            public = str(raw.data.get("variable") or raw.id.partition(":")[2])
            variable = Variable(
                name=public,
                storage=_absolute(storage, space) if isinstance(storage, str) else None,
                default=raw.data.get("default"),
            )
            registry.variables[raw.id] = variable
            registry.variables.setdefault(public, variable)
        elif raw.kind == "env.storage.static" and isinstance(raw.data.get("values"), dict):
            registry.static[raw.id] = raw.data["values"]
        elif raw.kind == "env.storage.router" and isinstance(raw.data.get("storages"), list):
            registry.routers[raw.id] = tuple(
                _absolute(str(name), space) for name in raw.data["storages"]
            )
    return registry


def _absolute(reference: str, namespace: str) -> str:
    return reference if ":" in reference else f"{namespace}:{reference}"


def _read(raw: RawEntry, folder: Path, env: EnvRegistry, problems: Problems) -> Entry:
    common: dict[str, Any] = {
        "id": raw.id,
        "kind": raw.kind,
        "meta": raw.meta,
        "data": raw.data,
        "document": raw.document,
        "path": raw.path,
    }
    fields = Fields(
        raw.data,
        raw.document,
        raw.data_path,
        namespace=raw.id.partition(":")[0],
        env=env,
        problems=problems,
    )
    place = code.Place(folder, raw.yaml)
    match SYNONYMS.get(raw.kind, raw.kind):
        case "temporal.client":
            return services.read_client(common, fields)
        case "temporal.worker":
            return services.read_worker(common, fields)
        case "workflow.lua":
            return code.read_workflow(common, fields, place)
        case "function.lua":
            return code.read_function(common, fields, place)
        case "library.lua":
            return code.read_library(common, fields, place)
        case "function.python":
            return code.read_python(common, fields, place)
        case "http.service":
            return http.read_service(common, fields)
        case "http.router":
            return http.read_router(common, fields)
        case "http.endpoint":
            return http.read_endpoint(common, fields)
        case "schedule":
            return schedules.read_schedule(common, fields)
    _warn_kind(raw, problems)
    return GenericEntry(**common)


def _warn_kind(raw: RawEntry, problems: Problems) -> None:
    if raw.kind.startswith(PLAIN) and raw.kind not in _IGNORED:
        return
    known = raw.kind.startswith(_IGNORED) or raw.kind.endswith((".bc", ".wasm"))
    what = "has no meaning for luaflow" if known else "is not a known kind"
    problems.warn(
        f"{raw.id}: {raw.kind} {what}; the entry is kept and not run",
        raw.document.file,
        raw.document.line((*raw.path, "kind")),
        "remove the entry, or leave it for another runtime" if known else "check the spelling",
    )
