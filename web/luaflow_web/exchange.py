"""One request and its response, as the ``http`` module of the handler sees them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import ClientPayloadError, web
from multidict import CIMultiDict

from luaflow.activity import ActivityError
from luaflow.domain import values
from luaflow.errors import InvalidArgument
from luaflow_web.forms import Form, Reader, read_form
from luaflow_worker.http_calls import plain

FLUSH_BYTES: Final = 64 * 1024
"""What a handler wrote is sent when it is so much."""
NO_TIMEOUT_MS: Final = 24 * 3600 * 1000
CODE_BYTES: Final = 16 * 1024 * 1024
"""A body that is handed over whole has at most so many bytes: the memory of code has a bound."""
BINARY_BYTES: Final = 4 * 1024 * 1024
"""The same for a body that is no plain text: it takes more room on its way."""
PIECE_BYTES: Final = 1024 * 1024
"""A stream gives so many bytes at a time at most."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS: Final = frozenset({"connection", "content-length", "transfer-encoding", "trailer"})
_NO_BODY: Final = frozenset({204, 304})


class HttpExchange:
    """What a handler reads and writes; ``finish`` sends what it left.

    ``headers`` are those that middlewares add to the response, ``remote`` who they think asks.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        remote: str,
        *,
        compress: bool = False,
        read_seconds: float = 0,
    ) -> None:
        """``read_seconds`` bounds every reading of the body; 0 is no bound."""
        self.request = request
        self.sent: web.StreamResponse | None = None
        self._params = params
        self.added = headers
        self._remote = remote
        self._compress = compress
        self._read_ms = int(read_seconds * 1000)
        self._status = 200
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._transfer = ""
        self._buffer = bytearray()
        self._committed = False
        self._body: bytes | None = None
        self._lost = ""
        self._form: Form | None = None
        self._streams: dict[int, Reader] = {}
        self._last_stream = 0

    # -- the request -----------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """What is known without the body, as a tagged tree; repeated values are joined."""
        request = self.request
        queries: dict[str, list[str]] = {}
        for key, value in parse_qsl(
            request.rel_url.raw_query_string, keep_blank_values=True, errors="surrogateescape"
        ):
            queries.setdefault(key, []).append(value)
        headers: dict[str, list[str]] = {}
        for key, value in request.headers.items():
            headers.setdefault(key.lower(), []).append(value)
        joined = {key: ", ".join(found) for key, found in headers.items()}
        length = request.content_length
        if length is None:
            length = -1 if request.body_exists else 0
        found: dict[str, Any] = values.encode(
            {
                "method": request.method,
                "path": _text(request.path),
                "host": _text(request.headers.get("Host", "")),
                "remote_addr": self._remote,
                "content_length": length,
                "has_body": request.body_exists,
                "query": {_key(k): _text(v[0]) for k, v in queries.items()},
                "queries": {_key(k): _text(",".join(v)) for k, v in queries.items()},
                "params": {name: _text(value) for name, value in self._params.items()},
                "headers": {key: _text(value) for key, value in joined.items()},
                "media": _text(_media(joined.get("content-type", ""))),
                "accepted": {_key(one): True for one in accepted(joined.get("accept", ""))},
            }
        )
        return found

    async def body(self, timeout_ms: int, most: int) -> bytes:
        """Read the whole body; read once, it is there for another call."""
        if self._body is None:
            self._unread()
            if not self.request.body_exists:
                raise InvalidArgument("the request has no body")
            chunks = bytearray()
            async with self._in_time(timeout_ms):
                async for chunk in self._limited(min(most, CODE_BYTES)):
                    chunks += chunk
            if not chunks:
                raise InvalidArgument("the request has no body")
            self._body = bytes(chunks)
        if len(self._body) > BINARY_BYTES and isinstance(plain(self._body), bytes):
            most = min(most, BINARY_BYTES)
        if len(self._body) > most:
            raise InvalidArgument(_too_large(len(self._body), most))
        return self._body

    async def _limited(self, most: int) -> AsyncIterator[bytes]:
        """The pieces of the body; InvalidArgument once they are more than may be."""
        length = self.request.content_length or 0
        if length > most:
            raise InvalidArgument(_too_large(length, most))
        size = 0
        async for chunk in self.request.content.iter_any():
            size += len(chunk)
            if size > most:
                raise InvalidArgument(_too_large(size, most))
            yield chunk

    @asynccontextmanager
    async def _in_time(self, timeout_ms: int) -> AsyncIterator[None]:
        """Say in words of ours that the body did not come in time, or broke off.

        What was read of it is lost, so whoever asks again is told the same.
        """
        patience = min(timeout_ms, self._read_ms or timeout_ms)
        try:
            async with asyncio.timeout(patience / 1000):
                yield
        except TimeoutError:
            self._lost = f"the body did not come within {patience} ms"
            raise ActivityError(self._lost, kind="Internal", retryable=False) from None
        except (ClientPayloadError, web.RequestPayloadError, ConnectionError) as error:
            self._lost = f"the body cannot be read: {error}"
            raise InvalidArgument(self._lost) from None
        except InvalidArgument as error:
            self._lost = error.message
            raise

    def _unread(self) -> None:
        if self._lost:
            raise InvalidArgument(self._lost)
        if self._form is not None or self._streams or self._last_stream:
            raise InvalidArgument("the body was read already, as a form or a stream")

    async def multipart(self, timeout_ms: int, most: int, in_memory: int) -> dict[str, Any]:
        """Read the form: ``values`` (a list where a name came twice) and ``files`` by name."""
        if self._form is None:
            self._unread()
            if self._body is not None:
                raise InvalidArgument("the body was read already; parse_multipart comes first")
            async with self._in_time(timeout_ms):
                self._form = await read_form(self.request, most, in_memory)
        return self._form.shown()

    def open_stream(self) -> int:
        """Begin to read the body piece by piece."""
        self._unread()
        if self._body is not None:
            raise InvalidArgument("the body was read already, with body or body_json")
        if not self.request.body_exists:
            raise InvalidArgument("the request has no body")
        return self._open(self.request.content)

    def open_file(self, number: int) -> int:
        """Begin to read a file of the form."""
        assert self._form is not None
        return self._open(self._form.files[number].reader())

    def _open(self, reader: Reader) -> int:
        self._last_stream += 1
        self._streams[self._last_stream] = reader
        return self._last_stream

    async def read(self, number: int, size: int) -> bytes | None:
        """The next piece of a stream; None at its end."""
        reader = self._streams.get(number)
        if reader is None:
            raise InvalidArgument("the stream is closed")
        async with self._in_time(self._read_ms or NO_TIMEOUT_MS):
            return await reader.read(min(size, PIECE_BYTES)) or None

    def close(self, number: int) -> None:
        """Forget a stream."""
        self._streams.pop(number, None)

    # -- the response ----------------------------------------------------------------------------

    def set_status(self, status: int) -> None:
        """Set the status code."""
        self._head("status")
        if not 200 <= status <= 599:
            raise InvalidArgument(f"{status} is no status of a response: it is 200 to 599")
        self._status = status

    def set_header(self, name: str, value: str) -> None:
        """Set a header."""
        self._head("headers")
        if not _TOKEN.match(name):
            raise InvalidArgument(f"{name[:80]!r} is not the name of a header")
        if name.lower() in _OURS:
            raise InvalidArgument(f"{name} is set by the server, as the body goes")
        if _CONTROL.search(value) or len(value) > 8000:
            raise InvalidArgument(f"the value of {name} must be one line of 8,000 bytes at most")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(f"the value of {name} is not UTF-8 text") from None
        self._headers[name] = value

    def set_transfer(self, mode: str) -> None:
        """Say how the body goes; ``sse`` is an event stream, which nobody may keep back."""
        self._head("transfer")
        self._transfer = mode
        if mode == "sse":
            self._headers["Content-Type"] = "text/event-stream"
            self._headers.setdefault("Cache-Control", "no-cache")
            self._headers.setdefault("X-Accel-Buffering", "no")

    def _head(self, what: str) -> None:
        if self._committed:
            raise InvalidArgument(f"the {what} cannot change: the response has begun")

    def write(self, data: bytes, content_type: str) -> bool:
        """Gather a part of the body; True when it is time to flush."""
        if not self._committed and content_type:
            self._headers.setdefault("Content-Type", content_type)
        self._committed = True
        self._buffer += data
        return len(self._buffer) >= FLUSH_BYTES

    def write_event(self, name: str, data: bytes) -> None:
        """Gather a server-sent event."""
        if self._transfer != "sse":
            self.set_transfer("sse")
        if "\n" in name or "\r" in name:
            raise InvalidArgument("response:write_event expects a name of one line")
        self._committed = True
        if name:
            self._buffer += f"event: {name}\n".encode()
        for line in re.split(rb"\r\n|\r|\n", data):
            self._buffer += b"data: " + line + b"\n"
        self._buffer += b"\n"

    async def flush(self) -> None:
        """Send what was gathered, the head first."""
        self._committed = True
        if self.sent is None:
            self.sent = self._response(None)
            self.sent.content_length = None
            await self.sent.prepare(self.request)
        await self._send()

    async def _send(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        if data and self.sent is not None and self._has_body():
            try:
                await self.sent.write(data)
            except (ConnectionError, RuntimeError) as error:
                raise ActivityError(f"the client is gone: {error}", retryable=False) from None

    def _has_body(self) -> bool:
        return self.request.method != "HEAD" and self._status not in _NO_BODY

    def _response(self, body: bytes | None) -> web.StreamResponse:
        headers = CIMultiDict(self._headers)
        for name, value in self.added.items():
            headers.setdefault(name, value)
        if body is None:
            response = web.StreamResponse(status=self._status, headers=headers)
        else:
            headers.setdefault("Content-Type", "text/plain; charset=utf-8" if body else "")
            if not headers["Content-Type"]:
                del headers["Content-Type"]
            response = web.Response(status=self._status, headers=headers, body=body or None)
        if self._compress and self._transfer != "sse" and self._has_body():
            varies = (response.headers.get("Vary"), "Accept-Encoding")
            response.headers["Vary"] = ", ".join(filter(None, varies))
            response.enable_compression()
        return response

    async def finish(self) -> web.StreamResponse:
        """Send what is left, and return the response to the server."""
        if self.sent is None and not self._transfer:
            return self._response(bytes(self._buffer))
        await self.flush()
        assert self.sent is not None
        await self.sent.write_eof()
        return self.sent

    def release(self) -> None:
        """Give back what the request held: files of a form."""
        self._streams.clear()
        if self._form is not None:
            self._form.close()


def accepted(header: str) -> list[str]:
    """The media types of an Accept header, without those that it excludes (``q=0``)."""
    found = []
    for part in header.split(","):
        media, *parameters = (one.strip().lower() for one in part.split(";"))
        if media and not any(re.fullmatch(r"q=0(\.0*)?", one) for one in parameters):
            found.append(media)
    return found


def _media(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _too_large(size: int, most: int) -> str:
    if most in {CODE_BYTES, BINARY_BYTES}:
        return f"the body has {size} bytes, more than the {most} that code may hold: use stream()"
    return f"the body has {size} bytes, more than the {most} of max_body"


def _text(text: str) -> str | bytes:
    """Text as Lua gets it: bytes where it is no UTF-8."""
    return plain(text.encode(errors="surrogateescape"))


def _key(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="replace")
