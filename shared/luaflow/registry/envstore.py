"""Environment variables at run time: `env.variable` entries and the storages behind them."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from luaflow.domain.failure import Failure
from luaflow.errors import LuaflowError
from luaflow.registry.app import App
from luaflow.registry.entries import Entry
from luaflow.registry.interpolate import text_of

MAX_DEPTH: Final = 8
"""How many routers may stand behind each other."""
MAX_FILE_BYTES: Final = 1024 * 1024

_NAME: Final = re.compile(r"[A-Za-z0-9_]+\Z", re.ASCII)


class EnvFailure(LuaflowError):
    """A variable that cannot be read or written; ``failure`` is what the code sees."""

    def __init__(self, kind: str, message: str) -> None:
        """Keep kind and message."""
        super().__init__(message)
        self.failure = Failure(kind, message, retryable=False)


class Storage(Protocol):
    """Where values of variables are kept."""

    def read(self, name: str) -> str | None:
        """The value of a name, None when there is none."""

    def write(self, name: str, value: str) -> None:
        """Keep a value; EnvFailure where nothing can be written."""


@dataclass(slots=True)
class _Fixed:
    """Values that code cannot change: those of the process, or of the entry itself."""

    id: str
    values: Mapping[str, str]

    def read(self, name: str) -> str | None:
        return self.values.get(name)

    def write(self, name: str, value: str) -> None:
        raise EnvFailure("PermissionDenied", f"the storage {self.id} is read-only")


class _Process(_Fixed):
    """The variables of this process: what is no UTF-8 there is read as if it were, nearly."""

    def read(self, name: str) -> str | None:
        found = self.values.get(name)
        return found and found.encode(errors="surrogateescape").decode(errors="replace")


@dataclass(slots=True)
class _Memory:
    """Values that end with the process."""

    values: dict[str, str] = field(default_factory=dict)

    def read(self, name: str) -> str | None:
        return self.values.get(name)

    def write(self, name: str, value: str) -> None:
        self.values[name] = value


@dataclass(slots=True)
class _File:
    """Lines NAME=VALUE of a file; what stands behind a ``#`` is a comment."""

    id: str
    root: Path
    path: Path
    create: bool
    file_mode: int
    dir_mode: int

    def read(self, name: str) -> str | None:
        for line in reversed(self._lines()):
            key, found, value = line.partition("#")[0].partition("=")
            if found and key.strip() == name:
                return value.strip()
        return None

    def write(self, name: str, value: str) -> None:
        # (a line of a file ends at more characters than "\n": those of str.splitlines)
        if value != value.strip() or "#" in value or "\0" in value or len(value.splitlines()) > 1:
            raise EnvFailure(
                "Invalid",
                f"the storage {self.id} is a file of lines: a value there has no '#', no line "
                "break and no space around it",
            )
        lines = [
            line
            for line in self._lines()
            if line.partition("#")[0].partition("=")[0].strip() != name
        ]
        self._replace([*lines, f"{name}={value}"])

    def _lines(self) -> list[str]:
        if not self.path.resolve().is_relative_to(self.root.resolve()):
            raise EnvFailure(
                "PermissionDenied",
                f"the storage {self.id} is a file outside of the app folder: file_path must lead "
                "to one inside",
            )
        try:
            if self.path.stat().st_size > MAX_FILE_BYTES:
                raise EnvFailure("Internal", f"{self.path} has more than {MAX_FILE_BYTES} bytes")
            return self.path.read_text().splitlines()
        except FileNotFoundError:
            if not self.create:
                raise EnvFailure(
                    "NotFound",
                    f"the storage {self.id} has no file {self.path}: make it, or set auto_create",
                ) from None
            self._replace([])
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise EnvFailure("Internal", f"{self.path}: {error}") from None

    def _replace(self, lines: list[str]) -> None:
        """Write all lines anew, beside the file first: whoever reads sees the old or the new."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=self.dir_mode)
            handle, beside = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(handle, "w") as file:
                    file.write("".join(f"{line}\n" for line in lines))
                Path(beside).chmod(self.file_mode)
                Path(beside).replace(self.path)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    Path(beside).unlink()
                raise
        except OSError as error:
            raise EnvFailure("Internal", f"{self.path}: {error}") from None


@dataclass(slots=True)
class _Router:
    """Storages one behind the other: the first that has a value is read, the first is written."""

    store: EnvStore
    ids: tuple[str, ...]

    def read(self, name: str) -> str | None:
        with self.store.deeper():
            hits = (self.store.storage(id_).read(name) for id_ in self.ids)
            return next((hit for hit in hits if hit is not None), None)

    def write(self, name: str, value: str) -> None:
        with self.store.deeper():
            self.store.storage(self.ids[0]).write(name, value)


@dataclass(frozen=True, slots=True)
class _Variable:
    id: str
    name: str
    storage: str
    default: str | None
    readonly: bool


class EnvStore:
    """The variables of one app, by public name or entry id."""

    def __init__(self, app: App, environment: Mapping[str, str] | None = None) -> None:
        """``environment``: what `env.storage.os` reads, by default that of this process."""
        self._environment = os.environ if environment is None else environment
        self._root = app.root
        self._variables: dict[str, _Variable] = {}
        self._public: dict[str, _Variable] = {}
        self._storages: dict[str, Storage] = {}
        self._depth = 0
        for entry in app.entries.values():
            if entry.kind == "env.variable":
                self._add_variable(entry)
            elif entry.kind.startswith("env.storage."):
                self._storages[entry.id] = self._make_storage(entry)

    # -- what code does --------------------------------------------------------------------------

    def get(self, key: str) -> str:
        """The value of a variable, or its default. Raises EnvFailure (NotFound) without either."""
        variable = self._variable(key)
        value = self._value(variable)
        if value is None:
            raise EnvFailure("NotFound", f"the environment variable {key} has no value")
        return value

    def set(self, key: str, value: str) -> None:
        """Keep a value where the variable is stored. Raises EnvFailure (PermissionDenied …)."""
        variable = self._variable(key)
        if variable.readonly:
            raise EnvFailure("PermissionDenied", f"the environment variable {key} is read-only")
        self.storage(variable.storage).write(variable.name, value)

    def get_all(self) -> dict[str, str]:
        """The values of all variables that have a public name and a value."""
        found: dict[str, str] = {}
        for name, variable in sorted(self._public.items()):
            with contextlib.suppress(EnvFailure):
                value = self._value(variable)
                if value is not None:
                    found[name] = value
        return found

    # -- what storages ask -----------------------------------------------------------------------

    def storage(self, id_: str) -> Storage:
        """The storage of an entry id."""
        try:
            return self._storages[id_]
        except KeyError:
            raise EnvFailure("NotFound", f"there is no environment storage {id_}") from None

    @contextlib.contextmanager
    def deeper(self) -> Any:
        """Go through one more router; EnvFailure for routers that lead to each other."""
        if self._depth >= MAX_DEPTH:
            raise EnvFailure("Internal", "the environment routers lead to each other")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    # -- reading the entries ---------------------------------------------------------------------

    def _variable(self, key: str) -> _Variable:
        variable = self._public.get(key) or self._variables.get(key)
        if variable is None:
            raise EnvFailure(
                "NotFound",
                f"there is no environment variable {key} in this app: declare it in an entry of "
                "kind env.variable",
            )
        return variable

    def _value(self, variable: _Variable) -> str | None:
        value = self.storage(variable.storage).read(variable.name)
        return variable.default if value is None else value

    def _add_variable(self, entry: Entry) -> None:
        public = entry.data.get("variable")
        name = str(public or entry.name)
        if not _NAME.match(name):
            return  # no storage could hold it
        default = entry.data.get("default")
        variable = _Variable(
            id=entry.id,
            name=name,
            storage=_absolute(str(entry.data.get("storage") or ""), entry.namespace),
            default=None if default is None else text_of(default),
            readonly=entry.data.get("readonly") is True,
        )
        self._variables[entry.id] = variable
        if public:
            self._public.setdefault(name, variable)

    def _make_storage(self, entry: Entry) -> Storage:
        data = entry.data
        match entry.kind.removeprefix("env.storage."):
            case "os":
                return _Process(entry.id, self._environment)
            case "static":
                values = data.get("values") or {}
                return _Fixed(entry.id, {str(k): text_of(v) for k, v in values.items()})
            case "file":
                return _File(
                    entry.id,
                    self._root,
                    self._root / str(data.get("file_path") or ""),
                    create=data.get("auto_create") is True,
                    file_mode=_mode(data.get("file_mode"), 0o644),
                    dir_mode=_mode(data.get("dir_mode"), 0o755),
                )
            case "router":
                ids = [_absolute(str(one), entry.namespace) for one in data.get("storages") or ()]
                return _Router(self, tuple(ids or ["(none)"]))
        return _Memory()


def _absolute(reference: str, namespace: str) -> str:
    return reference if ":" in reference else f"{namespace}:{reference}"


def _mode(value: Any, default: int) -> int:
    return value & 0o777 if isinstance(value, int) else default
