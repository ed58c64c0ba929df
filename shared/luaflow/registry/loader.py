"""From a folder of YAML files to raw entries: discovery, ids, metadata."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from luaflow.registry import yamlfile
from luaflow.registry.problems import Problems, RegistryError
from luaflow.registry.yamlfile import Document

SUFFIXES: Final = (".yaml", ".yml", ".json")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,98}\Z")
_HEAD: Final = ("name", "kind", "meta")
_FILE_HEAD: Final = ("version", "namespace", "entries")
_NAME_REMEDY: Final = "write letters, digits, '_', '-' and dots"


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry as written, with the metadata of its file merged under its own."""

    id: str
    kind: str
    meta: dict[str, Any]
    data: dict[str, Any]
    document: Document
    path: yamlfile.Path
    data_path: yamlfile.Path
    yaml: Path

    @property
    def place(self) -> str:
        """Where the entry stands: file and line."""
        return f"{self.document.file}:{self.document.line(self.path)}"


def source_folders(app: Path) -> list[Path]:
    """The folders whose files make an app: what `wippy.lock` names, or `src`, or the folder."""
    lock = app / "wippy.lock"
    if lock.is_file():
        directories = yamlfile.parse(lock.read_bytes(), str(lock)).data
        directories = directories.get("directories") if isinstance(directories, dict) else None
        named = directories if isinstance(directories, dict) else {}
        folders = [app / str(named.get("src", "src")), app / str(named.get("modules", ".wippy"))]
        for folder in folders:
            if not folder.resolve().is_relative_to(app.resolve()):
                raise RegistryError(
                    f"{folder.name} leaves the app folder", str(lock), 1, "name a folder inside it"
                )
        return [folder for folder in folders if folder.is_dir()]
    return [app / "src"] if (app / "src").is_dir() else [app]


def yaml_files(folder: Path) -> Iterator[Path]:
    """All YAML and JSON files below a folder in a stable order; hidden ones are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(parent) / name


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """A parsed file with a namespace, and the source folder it was found below."""

    document: Document
    yaml: Path
    folder: Path


def read_folder(folder: Path, problems: Problems, only: Sequence[Path] = ()) -> list[RegistryFile]:
    """All registry files below a folder; files without a namespace are skipped.

    With `only`, those that are or lie below one of these paths.
    """
    files: list[RegistryFile] = []
    root = folder.resolve()
    wanted = [one.resolve() for one in only]
    for path in yaml_files(folder):
        if wanted and not any(path.resolve().is_relative_to(one) for one in wanted):
            continue
        if not path.resolve().is_relative_to(root):
            problems.error(
                "the file is a link out of the app folder", str(path), 1, "copy the file into it"
            )
            continue
        with path.open("rb") as stream:
            raw = stream.read(yamlfile.MAX_BYTES + 1)
        if path.suffix == ".json" and b'"namespace"' not in raw:
            continue
        try:
            document = yamlfile.parse(raw, str(path))
        except RegistryError as error:
            problems.errors.append(error)
            continue
        if isinstance(document.data, dict) and document.data.get("namespace") is not None:
            files.append(RegistryFile(document, path, folder))
    return files


@dataclass(frozen=True, slots=True)
class _File:
    """One parsed file with a namespace, while its entries are taken out."""

    document: Document
    yaml: Path
    namespace: str
    problems: Problems

    def error(self, message: str, path: yamlfile.Path, remedy: str) -> None:
        self.problems.error(message, self.document.file, self.document.line(path), remedy)

    def mapping(self, parent: dict[str, Any], key: str, path: yamlfile.Path) -> dict[str, Any]:
        value = parent.get(key)
        if value is not None and not isinstance(value, dict):
            self.error(f"{key} must be a mapping", (*path, key), f"write keys below {key}:")
            return {}
        return value or {}


def read_entries(found: RegistryFile, problems: Problems) -> Iterator[RawEntry]:
    """The raw entries of a registry file."""
    document, top = found.document, found.document.data
    namespace = top["namespace"]
    file = _File(document, found.yaml, str(namespace), problems)
    if not isinstance(namespace, str) or not _NAME.match(namespace):
        file.error(f"namespace {namespace!r} is not a name", ("namespace",), _NAME_REMEDY)
        return
    meta = file.mapping(top, "meta", ())
    if "entries" not in top:
        if "name" in top or "kind" in top:
            own = {key: value for key, value in top.items() if key not in _FILE_HEAD}
            yield from _entry(own, (), {}, file)
        return
    listed = top["entries"]
    if listed is not None and not isinstance(listed, list):
        file.error(
            "entries must be a list", ("entries",), "write each entry below it with a leading '- '"
        )
        return
    for key in top:
        if key not in (*_FILE_HEAD, "meta"):
            problems.warn(
                f"{key} is not known and ignored",
                document.file,
                document.line((key,)),
                "move it into an entry, or remove it",
            )
    for index, entry in enumerate(listed or []):
        yield from _entry(entry, ("entries", index), meta, file)


def _entry(
    entry: Any, path: yamlfile.Path, meta: dict[str, Any], file: _File
) -> Iterator[RawEntry]:
    if not isinstance(entry, dict):
        file.error("an entry must be a mapping", path, "write name: and kind: here")
        return
    name, kind = entry.get("name"), entry.get("kind")
    if not isinstance(name, str) or not name:
        file.error("the entry has no name", (*path, "name"), "add name:")
    elif not _NAME.match(name):
        file.error(f"name {name!r} is not a name", (*path, "name"), _NAME_REMEDY)
    elif not isinstance(kind, str) or not kind:
        file.error(f"the entry {name} has no kind", (*path, "kind"), "add kind:")
    else:
        data, data_path = _data(entry, path)
        yield RawEntry(
            id=f"{file.namespace}:{name}",
            kind=kind,
            meta={**meta, **file.mapping(entry, "meta", path)},
            data=data,
            document=file.document,
            path=path,
            data_path=data_path,
            yaml=file.yaml,
        )


def _data(entry: dict[str, Any], path: yamlfile.Path) -> tuple[dict[str, Any], yamlfile.Path]:
    """The keys beside name, kind and meta; or what a lone `data:` wraps."""
    data = {key: value for key, value in entry.items() if key not in _HEAD}
    wrapped = data.get("data")
    if len(data) == 1 and isinstance(wrapped, dict):
        return wrapped, (*path, "data")
    return data, path
