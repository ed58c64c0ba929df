"""The ``http`` module of functions: its questions go to the exchange that the call answers.

The exchange is made by whoever serves HTTP and lies in ``call.state["http"]``; a call without one
answers no request, and is told so.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from luaflow.activity import ActivityError
from luaflow.errors import InvalidArgument, LuaflowError

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall

log = logging.getLogger(__name__)

ESCAPES_FROM = 4096
"""Shorter texts cross as they are."""
_ESCAPED = (b'"', b"\\", b"\n", b"\r", b"\t")

Work: TypeAlias = "Callable[[FunctionCall, list[Any]], Awaitable[Any]]"

STATE = "http"
"""The place of the exchange in a call's state."""


class Exchange(Protocol):
    """A request and its response; a method raises InvalidArgument for what the code got wrong."""

    def facts(self) -> dict[str, Any]:
        """What is known of the request without its body."""

    def set_status(self, status: int) -> None:
        """Set the status."""

    def set_header(self, name: str, value: str) -> None:
        """Set a header."""

    def set_transfer(self, mode: str) -> None:
        """Say how the body goes: ``chunked`` or ``sse``."""

    def write(self, data: bytes, content_type: str) -> bool:
        """Add to the body; True when so much is gathered that it should be sent.

        ``content_type`` holds where none was set.
        """

    def write_event(self, name: str, data: bytes) -> None:
        """Add a server-sent event."""

    async def flush(self) -> None:
        """Send what was gathered."""

    async def body(self, timeout_ms: int, most: int) -> bytes:
        """Read the whole body."""

    async def multipart(self, timeout_ms: int, most: int, in_memory: int) -> dict[str, Any]:
        """Read the form that the body is: ``values``, and ``files`` with a number each."""

    def open_stream(self) -> int:
        """The number to read the body with, piece by piece."""

    def open_file(self, number: int) -> int:
        """The same for a file of the form."""

    async def read(self, number: int, size: int) -> bytes | None:
        """The next piece; None at the end."""

    def close(self, number: int) -> None:
        """Forget a stream."""


def _of(call: FunctionCall) -> Exchange:
    exchange: Exchange | None = call.state.get(STATE)
    if exchange is None:
        raise InvalidArgument("this function does not answer an HTTP request")
    return exchange


def _request(call: FunctionCall) -> tuple[Any, ...]:
    return (_of(call).facts() if STATE in call.state else None,)


def _open(call: FunctionCall) -> tuple[Any, ...]:
    return (STATE in call.state,)


def _head(call: FunctionCall, what: bytes, value: Any, text: bytes = b"") -> tuple[Any, ...]:
    exchange = _of(call)
    try:
        if what == b"status":
            exchange.set_status(value)
        elif what == b"transfer":
            exchange.set_transfer(value.decode())
        else:
            exchange.set_header(value.decode("latin-1"), text.decode(errors="surrogateescape"))
    except InvalidArgument as error:
        return (error.message,)
    return (None,)


def _write(call: FunctionCall, data: bytes, content_type: bytes) -> tuple[Any, ...]:
    try:
        return None, _of(call).write(data, content_type.decode())
    except InvalidArgument as error:
        return error.message, False


def _event(call: FunctionCall, name: bytes, data: bytes) -> tuple[Any, ...]:
    try:
        _of(call).write_event(name.decode(errors="replace"), data)
    except InvalidArgument as error:
        return (error.message,)
    return (None,)


def _stream(call: FunctionCall) -> tuple[Any, ...]:
    try:
        return _of(call).open_stream(), None
    except InvalidArgument as error:
        return None, error.message


def _file(call: FunctionCall, number: int) -> tuple[Any, ...]:
    try:
        return _of(call).open_file(number), None
    except InvalidArgument as error:
        return None, error.message


def _close(call: FunctionCall, number: int) -> tuple[Any, ...]:
    _of(call).close(number)
    return (True,)


SERVICES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "http_request": _request,
    "http_open": _open,
    "http_head": _head,
    "http_write": _write,
    "http_event": _event,
    "http_stream": _stream,
    "http_file": _file,
    "http_close": _close,
}
"""What is answered at once; see ``function_services``."""


async def _body(call: FunctionCall, args: list[Any]) -> Any:
    return plain(await _of(call).body(*args))


async def _multipart(call: FunctionCall, args: list[Any]) -> Any:
    return await _of(call).multipart(*args)


async def _read(call: FunctionCall, args: list[Any]) -> Any:
    piece = await _of(call).read(*args)
    return None if piece is None else plain(piece)


async def _flush(call: FunctionCall, _args: list[Any]) -> Any:
    await _of(call).flush()


def _answered(work: Work) -> Work:
    """The same work, whose every error is one that code sees: it waits for an answer."""

    async def answer(call: FunctionCall, args: list[Any]) -> Any:
        try:
            return await work(call, args)
        except (LuaflowError, ValueError):
            raise
        except Exception as error:
            log.exception("%s: an exchange failed", call.entry.id)
            raise ActivityError(f"{type(error).__name__}: {error}", retryable=False) from None

    return answer


IO: dict[str, Work] = {
    "http.body": _answered(_body),
    "http.multipart": _answered(_multipart),
    "http.read": _answered(_read),
    "http.flush": _answered(_flush),
}
"""What has to be waited for; see ``function_work``."""


def plain(data: bytes) -> str | bytes:
    """What crosses to Lua with the least work: text as it is, other bytes as base64.

    Text of which much would have to be escaped counts as bytes: undoing that costs more.
    """
    if len(data) > ESCAPES_FROM and sum(map(data.count, _ESCAPED)) * 16 > len(data):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
