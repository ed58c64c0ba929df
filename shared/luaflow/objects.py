"""Object stores: where bytes go that are too large or too old for Redis.

An object is bytes under a key of parts with slashes between them (``runs/3/order-7/…``). A folder
is built in (``file:///var/lib/luaflow``); other kinds are plugged in: an installed package
names a factory for its scheme in the entry point group ``luaflow.objects``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote, urlsplit

from luaflow.errors import InvalidArgument, NotFound, Unavailable

GROUP = "luaflow.objects"
T = TypeVar("T")


class Objects(Protocol):
    """What an object store can do. Each call is repeatable, and raises Unavailable on a failure."""

    async def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``, whole or not at all; what was there before is replaced."""

    async def get(self, key: str) -> bytes:
        """The bytes under ``key``; NotFound without any."""
        ...

    async def delete(self, key: str) -> None:
        """Forget ``key``; nothing happens where there is none."""

    async def keys(self, prefix: str) -> list[str]:
        """The keys that begin with ``prefix``, which ends with a slash or is '', in order."""
        ...

    async def close(self) -> None:
        """Give up connections."""


Factory = Callable[[str], Objects]


def open_objects(url: str) -> Objects:
    """The object store at ``url``; InvalidArgument for one that nobody here can open."""
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return Folder(url)
    for found in entry_points(group=GROUP, name=scheme):
        factory: Factory = found.load()
        return factory(url)
    known = sorted({"file", *(point.name for point in entry_points(group=GROUP))})
    raise InvalidArgument(
        f"the object store {url!r} cannot be opened: its kind must be one of {', '.join(known)}"
    )


class Folder:
    """Objects as files below a folder (of a shared disk, where several machines use it).

    A part of a key that is no plain file name is percent-encoded.
    """

    def __init__(self, url: str) -> None:
        """``url`` is ``file:///an/absolute/path``; the folder is made with the first object."""
        place = urlsplit(url)
        if place.netloc or not place.path.startswith("/"):
            raise InvalidArgument(f"{url!r} names no folder: write file:///an/absolute/path")
        self._root = Path(unquote(place.path))

    async def put(self, key: str, data: bytes) -> None:
        """See ``Objects``; the bytes are on disk when this returns."""
        await self._do(lambda: _write(self._path(key), data))

    async def get(self, key: str) -> bytes:
        """See ``Objects``."""
        data = await self._do(lambda: _read(self._path(key)))
        if data is None:
            raise NotFound(f"there is no object {key!r} in {self._root}")
        return data

    async def delete(self, key: str) -> None:
        """See ``Objects``; a folder that is empty by this goes, too."""
        await self._do(lambda: self._delete(self._path(key)))

    async def keys(self, prefix: str) -> list[str]:
        """See ``Objects``."""
        return await self._do(lambda: sorted(self._walk(prefix)))

    async def close(self) -> None:
        """Nothing is open."""

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*(_encode(part) for part in key.split("/")))

    def _walk(self, prefix: str) -> list[str]:
        top = self._path(prefix.rstrip("/")) if prefix else self._root
        return [
            "/".join(_decode(part) for part in path.relative_to(self._root).parts)
            for path in top.rglob("*")
            if path.is_file() and not path.name.startswith("~")
        ]

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except OSError:
                return  # it has other objects

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise Unavailable(f"the object store {self._root} failed: {error}") from error


def _encode(part: str) -> str:
    # a name that begins with ~ is being written; one of dots only, or none, is no name
    text = quote(part, safe=" !#$&'()+,;=@[]{}^").replace("~", "%7E")
    return text if text.strip(".") else text.replace(".", "%2E") or "%"


def _decode(name: str) -> str:
    return "" if name == "%" else unquote(name)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"~{os.getpid()}-{id(data):x}-{path.name}"[:200])
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
