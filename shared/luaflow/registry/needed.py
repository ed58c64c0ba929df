"""What a part of an app needs of the rest: the entries that it names, hosts and variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from luaflow.registry.entries import Entry, LuaEntry
from luaflow.registry.loader import RawEntry, read_entries, read_folder, source_folders
from luaflow.registry.problems import Problems

Found: TypeAlias = tuple[Path, RawEntry]
"""An entry as it stands in a file, with the source folder it was found below."""

EVERYWHERE: Final = ("process.host", "terminal.host", "env.")
"""Kinds that belong to the whole app and have no code: always taken."""

LONGEST_ID: Final = 200
_QUOTED_ID: Final = re.compile(r"""(["'])([\w.-]+:[\w.-]+)\1""")


class Rest:
    """The entries of an app that were not asked for; each can be taken once.

    Tests are none of them: those that were not asked for are not run.
    """

    def __init__(self, found: Iterable[Found]) -> None:
        """Hold what was found, the first of each id."""
        self._left: dict[str, Found] = {}
        for folder, raw in found:
            if raw.meta.get("type") != "test":
                self._left.setdefault(raw.id, (folder, raw))

    def everywhere(self) -> list[Found]:
        """Take what belongs to the whole app."""
        ids = [key for key, (_, raw) in self._left.items() if raw.kind.startswith(EVERYWHERE)]
        return [self._left.pop(key) for key in ids]

    def named_by(self, entry: Entry) -> list[Found]:
        """Take what an entry names: in its fields, or as an id in quotes in its code."""
        names = [*_texts(entry.data), *_texts(entry.meta)]
        if isinstance(entry, LuaEntry):
            names += [match[2] for match in _QUOTED_ID.finditer(entry.source.text)]
        ids = dict.fromkeys(name if ":" in name else f"{entry.namespace}:{name}" for name in names)
        return [self._left.pop(key) for key in ids if key in self._left]


def rest_of(path: Path, loaded: set[Path]) -> Rest:
    """The rest of the app in a folder; files that cannot be read are passed over."""
    unheard = Problems()
    return Rest(
        (file.folder, raw)
        for folder in source_folders(path)
        for file in read_folder(folder, unheard)
        if file.yaml not in loaded
        for raw in read_entries(file, unheard)
    )


def _texts(value: Any) -> Iterator[str]:
    """The texts in plain data that may be ids."""
    if isinstance(value, str):
        if len(value) <= LONGEST_ID:
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)
