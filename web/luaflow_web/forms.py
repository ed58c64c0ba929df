"""Multipart forms: values, and files that lie in memory up to a limit and on disk above it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from luaflow.errors import InvalidArgument
from luaflow_worker.http_calls import plain

PARTS = 1000
"""A form has at most so many parts."""


class Reader(Protocol):
    """Something to read piece by piece."""

    async def read(self, n: int = -1) -> bytes:
        """The next piece; empty at the end."""


class _FileReader:
    """Reads a file of a form from its beginning; files on disk are small and near."""

    def __init__(self, held: IO[bytes]) -> None:
        self._held = held
        self._at = 0

    async def read(self, n: int = -1) -> bytes:
        self._held.seek(self._at)
        piece = self._held.read(n)
        self._at += len(piece)
        return piece


@dataclass(slots=True)
class File:
    """An uploaded file; name and headers are what the client says."""

    number: int
    name: str | bytes
    headers: dict[str, str | bytes]
    size: int
    held: IO[bytes]

    def reader(self) -> Reader:
        """A new reader of the whole file."""
        return _FileReader(self.held)

    def shown(self) -> dict[str, Any]:
        """What code is told of it."""
        return {
            "number": self.number,
            "name": self.name,
            "size": self.size,
            "headers": self.headers,
        }


@dataclass(slots=True)
class Form:
    """A form that was read; ``close`` removes its files."""

    values: dict[str, list[str | bytes]] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    fields: dict[str, list[File]] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """What code is told of it."""
        return {
            "values": {k: v[0] if len(v) == 1 else v for k, v in self.values.items()},
            "files": {k: [file.shown() for file in v] for k, v in self.fields.items()},
        }

    def close(self) -> None:
        """Remove the files."""
        for file in self.files:
            file.held.close()


async def read_form(request: web.BaseRequest, most: int, in_memory: int) -> Form:
    """Read the body as a form. Raises InvalidArgument for one that is none, or too large."""
    if not request.content_type.startswith("multipart/"):
        raise InvalidArgument(f"the request is no multipart form, it is {request.content_type}")
    form = Form()
    try:
        await _read_parts(await request.multipart(), form, most, in_memory)
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError) as error:
        form.close()
        raise InvalidArgument(f"the form cannot be read: {error}") from None
    except BaseException:
        form.close()
        raise
    return form


async def _read_parts(parts: MultipartReader, form: Form, most: int, in_memory: int) -> None:
    left = most
    count = 0
    async for part in parts:
        count += 1
        if count > PARTS:
            raise InvalidArgument(f"the form has more than {PARTS} parts")
        if not isinstance(part, BodyPartReader) or not part.name:
            raise InvalidArgument("the form has a part without a name")
        if part.filename is None:
            left -= await _read_value(part, form, left, most)
        else:
            left -= await _read_file(part, form, left, most, in_memory)


async def _pieces(part: BodyPartReader, left: int, most: int) -> Any:
    while piece := await part.read_chunk(65536):
        left -= len(piece)
        if left < 0:
            raise InvalidArgument(f"the body has more than the {most} bytes of max_body")
        yield piece


async def _read_value(part: BodyPartReader, form: Form, left: int, most: int) -> int:
    data = bytearray()
    async for piece in _pieces(part, left, most):
        data += piece
    form.values.setdefault(str(part.name), []).append(plain(bytes(data)))
    return len(data)


async def _read_file(part: BodyPartReader, form: Form, left: int, most: int, in_memory: int) -> int:
    held = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 - closed with the form
    headers = {
        key.lower(): plain(value.encode(errors="surrogateescape"))
        for key, value in part.headers.items()
    }
    name = plain(str(part.filename).encode(errors="surrogateescape"))
    file = File(len(form.files), name, headers, 0, held)
    form.files.append(file)
    form.fields.setdefault(str(part.name), []).append(file)
    async for piece in _pieces(part, left, most):
        held.write(piece)
        file.size += len(piece)
    return file.size
