"""The ``http_client`` module: requests, redirects checked step by step, bodies within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary

import luaflow
from luaflow.domain.failure import Invalid
from luaflow.errors import WorkflowFailed
from luaflow.lua.services.libraries import library
from luaflow_worker.modules.egress import (
    check_host,
    checked_socket,
    denied,
    look_up,
    private_allowed,
)
from luaflow_worker.modules.http_options import Request, check_url, read_request, ssl_context

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall

REDIRECTS: Final = 10
CHUNK: Final = 32 * 1024
MAX_CHUNK: Final = 1024 * 1024
STREAMS: Final = 20
"""That a call may have open at a time."""

_SECRETS: Final = ("authorization", "cookie", "host", "proxy-authorization")
_CONTENT: Final = ("content-type", "content-length", "content-encoding", "transfer-encoding")

_numbers = itertools.count(1)
_streams: WeakKeyDictionary[FunctionCall, dict[int, Any]] = WeakKeyDictionary()


async def _request(call: FunctionCall, args: list[Any]) -> Any:
    """Answer http_client.request."""
    method, url, options = args
    return await _send(call, read_request(method, url, _table(options)))


async def _batch(call: FunctionCall, args: list[Any]) -> Any:
    """Answer http_client.request_batch: each with its response, or its failure."""

    async def one(method: str, url: str, options: Any) -> dict[str, Any]:
        from luaflow_worker.attempt import failure_of_call  # noqa: PLC0415 - imports this

        try:
            return {"response": await _send(call, read_request(method, url, _table(options)))}
        except (WorkflowFailed, ValueError) as error:
            return {"failure": failure_of_call(error)}

    return await asyncio.gather(*(one(*request) for request in args[0]))


def _table(options: Any) -> Mapping[str, Any]:
    return options if isinstance(options, dict) else {}


async def _send(call: FunctionCall, request: Request) -> dict[str, Any]:
    aiohttp = library("aiohttp", "http_client", "http")
    failures = (aiohttp.ClientError, OSError, TimeoutError, UnicodeError)
    stack = contextlib.AsyncExitStack()
    try:
        async with asyncio.timeout(request.timeout):
            response = await _follow(aiohttp, request, stack)
            found = _shape(response)
            if request.stream:
                number = await _keep(call, response, stack)
                found |= {"body": None, "body_size": -1, "stream": number}
            elif request.method != "HEAD":
                found |= await _body(response, request.max_body)
    except TimeoutError:
        raise _network(f"no answer in {request.timeout:g} s", request) from None
    except aiohttp.InvalidURL as error:
        raise Invalid(f"http_client: the URL is not valid: {error}") from None
    except failures as error:
        # A refusal of ours comes wrapped by the library that looked the name up.
        for cause in (error.__cause__, error.__context__):
            if isinstance(cause, WorkflowFailed):
                raise cause from None
        raise _network(str(error) or type(error).__name__, request) from None
    finally:
        await stack.aclose()
    return found


def _network(why: str, request: Request) -> WorkflowFailed:
    host = urlsplit(request.url).netloc.rpartition("@")[2]
    text = f"http_client: {request.method} {host}: {why}"
    return WorkflowFailed(text, kind="Internal", retryable=True)


async def _follow(aiohttp: Any, request: Request, stack: contextlib.AsyncExitStack) -> Any:
    """Send, and send again where the answer leads; the last answer is open until ``stack`` ends."""
    session = await stack.enter_async_context(_session(aiohttp, request))
    for _ in range(REDIRECTS + 1):
        if not request.unix_socket:
            check_host(urlsplit(request.url).hostname or "")
        response = await session.request(
            request.method,
            request.url,
            params=request.query or None,
            headers=request.headers,
            data=_data(aiohttp, request),
            allow_redirects=False,
            server_hostname=request.tls.get("server_name") or None,
            skip_auto_headers=("Content-Type",) if request.body is not None else (),
        )
        stack.push_async_callback(_release, response)
        where = response.headers.get("Location")
        if response.status not in (301, 302, 303, 307, 308) or not where:
            return response
        request = _redirected(request, str(response.url), response.status, where)
    raise _network(f"more than {REDIRECTS} redirects", request)


def _session(aiohttp: Any, request: Request) -> Any:
    """A session of one request: no cookies are kept, no proxy of the environment is used."""
    if request.unix_socket:
        if not private_allowed():
            raise denied(f"not allowed: the socket {request.unix_socket}")
        connector = aiohttp.UnixConnector(request.unix_socket)
    else:
        connector = aiohttp.TCPConnector(
            resolver=_resolver(aiohttp),
            use_dns_cache=False,
            ssl=ssl_context(request.tls),
            socket_factory=checked_socket,
        )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": f"luaflow/{luaflow.__version__}"},
        max_line_size=16384,
        max_field_size=16384,
    )


def _resolver(aiohttp: Any) -> Any:
    class Checked(aiohttp.abc.AbstractResolver):  # type: ignore[misc]
        """Looks names up by our rules."""

        async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
            return await look_up(host, port, family)

        async def close(self) -> None:
            """Nothing is open."""

    return Checked()


async def _release(response: Any) -> None:
    response.close()


def _data(aiohttp: Any, request: Request) -> Any:
    if request.files:
        form = aiohttp.FormData()
        for name, value in request.form:
            form.add_field(name, value)
        for one in request.files:
            content = one["content"]
            form.add_field(
                one["name"],
                content.encode() if isinstance(content, str) else content,
                filename=str(one.get("filename") or one["name"]),
                content_type=str(one.get("content_type") or "application/octet-stream"),
            )
        return form
    if request.form:
        return aiohttp.FormData(request.form)
    return request.body


def _redirected(request: Request, base: str, status: int, where: str) -> Request:
    """The next request: to where the answer leads, without secrets on another host."""
    url = check_url(urljoin(base, where))
    headers = request.headers
    if urlsplit(url)[:2] != urlsplit(base)[:2]:
        headers = {k: v for k, v in headers.items() if k.lower() not in _SECRETS}
    following = replace(request, url=url, headers=headers, query=[])
    if status in (307, 308) or request.method in ("GET", "HEAD"):
        return following
    headers = {k: v for k, v in headers.items() if k.lower() not in _CONTENT}
    return replace(following, method="GET", headers=headers, body=None, form=[], files=[])


def _shape(response: Any) -> dict[str, Any]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = "-".join(part.capitalize() for part in name.split("-"))
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    clean = {key: _clean(value) for key, value in headers.items()}
    return {
        "status_code": response.status,
        "headers": clean,
        "cookies": {name: _clean(morsel.value) for name, morsel in response.cookies.items()},
        "url": str(response.url),
        "body": "",
        "body_size": 0,
    }


def _clean(text: str) -> str | bytes:
    """Header bytes that are no UTF-8 come as surrogates: give them back as bytes."""
    return _text(text.encode(errors="surrogateescape"))


async def _body(response: Any, limit: int) -> dict[str, Any]:
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK):
        body += chunk
        if len(body) > limit:
            raise WorkflowFailed(
                f"http_client: the response has more than {limit} bytes: raise max_response_body, "
                "or read it with stream = true",
                kind="Internal",
                retryable=False,
            )
    return {"body": _text(bytes(body)), "body_size": len(body)}


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


# Streams --------------------------------------------------------------------------------------


async def _keep(call: FunctionCall, response: Any, stack: contextlib.AsyncExitStack) -> int:
    """Keep an answer open until the code closes it, or the call ends."""
    mine = _streams.setdefault(call, {})
    if len(mine) >= STREAMS:
        text = f"http_client: {STREAMS} streams are open: close some"
        raise WorkflowFailed(text, kind="RateLimited", retryable=False)
    number = next(_numbers)
    mine[number] = response
    held = asyncio.Event()

    async def hold() -> None:
        async with stack.pop_all():
            held.set()
            await asyncio.Event().wait()

    call.keep(number, asyncio.create_task(hold(), name="luaflow-stream"))
    await held.wait()  # until then it is closed by whoever called us
    return number


async def _read(call: FunctionCall, args: list[Any]) -> Any:
    """Answer stream:read: some bytes, or nothing at the end."""
    aiohttp = library("aiohttp", "http_client", "http")
    response = _streams.get(call, {}).get(args[0])
    if response is None:
        raise WorkflowFailed("stream:read: the stream is closed", kind="Internal", retryable=False)
    try:
        data = await response.content.read(min(args[1] or CHUNK, MAX_CHUNK))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        text = f"stream:read: {error or type(error).__name__}"
        raise WorkflowFailed(text, kind="Internal", retryable=True) from None
    return _text(data) if data else None


async def _close(call: FunctionCall, args: list[Any]) -> bool:
    """Answer stream:close; safe twice."""
    if _streams.get(call, {}).pop(args[0], None) is not None:
        call.drop(args[0])
    return True


IO: Final[dict[str, Callable[[FunctionCall, list[Any]], Awaitable[Any]]]] = {
    "http_client.request": _request,
    "http_client.request_batch": _batch,
    "http_client.read": _read,
    "http_client.close": _close,
}
