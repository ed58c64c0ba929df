"""The HTTP API: workflows started, found, followed and told things, as JSON over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

import orjson
from aiohttp import web

from luaflow.client import Client
from luaflow.client.handle import Handle
from luaflow.domain import values
from luaflow.domain.sealed import SealedPayload
from luaflow.errors import (
    AlreadyExists,
    InvalidArgument,
    LuaflowError,
    NotFound,
    Refused,
    Unavailable,
    Unknown,
    WorkflowFailed,
)
from luaflow_web.following import history_events
from luaflow_web.openapi import document
from luaflow_web.routing import Routes

log = logging.getLogger(__name__)

ROOT: Final = "/api/v1"
BODY_BYTES: Final = 8 * 1024 * 1024
"""A request's body has at most so many bytes."""
BODY_SECONDS: Final = 30.0
"""So long a client may take to send it."""
SAFE: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer says to browsers: it is data for nobody else, and never a page."""
WAIT_SECONDS: Final = 30.0
MAX_WAIT_SECONDS: Final = 300.0
PAGE: Final = 500
MAX_PAGE: Final = 5000
FOLLOWERS: Final = 100
"""So many histories are followed at a time."""
WELCOME: Final = f"luaflow: the HTTP API is described at {ROOT}/openapi.json\n"
_LOCAL: Final = ("127.0.0.1", "localhost", "::1")
_STATUS: Final[tuple[tuple[type[LuaflowError], int, str], ...]] = (
    (NotFound, 404, "NotFound"),
    (AlreadyExists, 409, "AlreadyExists"),
    (Refused, 409, "Refused"),
    (SealedPayload, 409, "Refused"),  # this server was not given the keys
    (InvalidArgument, 400, "Invalid"),
    (Unavailable, 503, "Unavailable"),
    (Unknown, 503, "Unknown"),
)


class Problem(Exception):
    """An answer that is an error, with a status of its own."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


Route = Callable[["Ask"], Awaitable[web.StreamResponse]]


class Ask:
    """One request to the API: its parts, read as strictly as they are described."""

    def __init__(self, request: web.BaseRequest, params: dict[str, str]) -> None:
        self.request = request
        self.params = params

    def word(self, name: str) -> str | None:
        """A parameter of the query; None without."""
        return self.request.query.get(name) or None

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number of the query, within bounds."""
        text = self.word(name)
        try:
            found = default if text is None else float(text)
        except ValueError:
            found = float("nan")
        if not least <= found <= most:
            raise InvalidArgument(f"{name} must be a number from {least:g} to {most:g}, not {text}")
        return found

    async def body(self, *known: str) -> dict[str, Any]:
        """The body, a JSON object of these keys at most; empty without a body."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                data = await self._data()
        except TimeoutError:
            text = f"the body did not come within {BODY_SECONDS:.0f} s"
            raise Problem(408, "Invalid", text) from None
        found = values.loads(bytes(data)) if data.strip() else {}
        if not isinstance(found, dict):
            raise InvalidArgument("the body must be a JSON object")
        for key in found:
            if key not in known:
                raise InvalidArgument(f"the body has {key!r}; known are {', '.join(known)}")
        return found

    async def _data(self) -> bytearray:
        data = bytearray()
        async for chunk in self.request.content.iter_any():
            data += chunk
            if len(data) > BODY_BYTES:
                text = f"the body has more than {BODY_BYTES} bytes: pass references to large data"
                raise Problem(413, "Invalid", text)
        return data


def text_of(body: dict[str, Any], key: str, *, required: bool = False) -> str | None:
    """A text of the body; None without."""
    found = body.get(key)
    if found is None and not required:
        return None
    if not isinstance(found, str) or not found:
        raise InvalidArgument(f"{key} must be text, not {found!r}")
    return found


def table_of(body: dict[str, Any], key: str) -> dict[str, Any] | None:
    """An object of the body; None without."""
    found = body.get(key)
    if found is not None and not isinstance(found, dict):
        raise InvalidArgument(f"{key} must be an object, not {found!r}")
    return found


def arguments_of(body: dict[str, Any]) -> list[Any]:
    """What is passed on: ``args``, a list; or ``input``, one value."""
    if "args" in body and "input" in body:
        raise InvalidArgument("give args (a list) or input (one value), not both")
    if "input" in body:
        return [body["input"]]
    found = body.get("args", [])
    if not isinstance(found, list):
        raise InvalidArgument("args must be a list; one value goes into input")
    return found


class Api:
    """Answers the requests to ``/api/v1``. ``stopping`` ends what follows a history."""

    def __init__(self, client: Client, *, local: bool) -> None:
        """``local``: bound to this machine only, so a request must name this machine."""
        self._client = client
        self._local = local
        self.stopping = asyncio.Event()
        self._followers = 0
        self._routes: Routes[Route] = Routes()
        run = f"{ROOT}/workflows/{{id}}"
        for method, path, route in (
            ("GET", "/", self._welcome),
            ("GET", f"{ROOT}/openapi.json", self._openapi),
            ("GET", f"{ROOT}/workflows", self._list),
            ("POST", f"{ROOT}/workflows", self._start),
            ("GET", run, self._describe),
            ("GET", f"{run}/result", self._result),
            ("GET", f"{run}/history", self._history),
            ("POST", f"{run}/signal", self._signal),
            ("POST", f"{run}/query", self._query),
            ("POST", f"{run}/update", self._update),
            ("POST", f"{run}/cancel", self._cancel),
            ("POST", f"{run}/terminate", self._terminate),
        ):
            self._routes.add(method, path, route)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; every error is one object with kind and message."""
        try:
            self._check_site(request)
            found = self._routes.find(request.rel_url.raw_path)
            if found is None:
                raise Problem(
                    404, "NotFound", f"there is no {request.path}; see {ROOT}/openapi.json"
                )
            own = found.of(request.method)
            if own is None:
                text = f"{request.path} answers {found.allow}, not {request.method}"
                return _problem(405, "Invalid", text, {"Allow": found.allow})
            route, params = own
            return await route(Ask(request, params))
        except Problem as error:
            return _problem(error.status, error.kind, error.message)
        except LuaflowError as error:
            return _problem_of(error)

    def _check_site(self, request: web.BaseRequest) -> None:
        """Refuse what a page of another site makes a browser send."""
        host = request.headers.get("Host", "")
        if self._local and _name_of(host) not in _LOCAL:
            text = f"this is bound to this machine and not to {host!r}: serve with --host"
            raise Problem(403, "PermissionDenied", text)
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise Problem(403, "PermissionDenied", f"pages of {origin} may not ask this API")
        # a browser says so also where it names no origin: an image, a script, a link
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise Problem(403, "PermissionDenied", "pages of other sites may not ask this API")

    # -- what it answers -------------------------------------------------------------------------

    async def _welcome(self, _ask: Ask) -> web.StreamResponse:
        return web.Response(text=WELCOME, headers=SAFE)

    async def _openapi(self, _ask: Ask) -> web.StreamResponse:
        return reply(document())

    async def _start(self, ask: Ask) -> web.StreamResponse:
        body = await ask.body(
            *("type", "args", "input", "workflow_id", "task_queue", "options", "memo"),
            *("search_attributes", "request_id"),
        )
        handle = await self._client.start(
            str(text_of(body, "type", required=True)),
            *arguments_of(body),
            id=text_of(body, "workflow_id"),
            task_queue=text_of(body, "task_queue"),
            options=table_of(body, "options"),
            memo=table_of(body, "memo"),
            search_attributes=table_of(body, "search_attributes"),
            request_id=text_of(body, "request_id"),
        )
        found = {"workflow_id": handle.workflow_id, "run_id": handle.run_id, "pid": handle.pid}
        where = f"{ROOT}/workflows/{quote(handle.workflow_id, safe='')}"
        return reply(found, 200 if handle.existed else 201, Location=where)

    async def _list(self, ask: Ask) -> web.StreamResponse:
        limit = int(ask.number("limit", 20, 1, 1000))
        return reply(await self._client.list(ask.word("query"), limit, ask.word("page")))

    async def _describe(self, ask: Ask) -> web.StreamResponse:
        return reply(await self._handle(ask).describe())

    async def _result(self, ask: Ask) -> web.StreamResponse:
        seconds = ask.number("wait", WAIT_SECONDS, 0, MAX_WAIT_SECONDS)
        handle = self._handle(ask)
        waiting = asyncio.create_task(handle.result(seconds), name="luaflow-api-result")
        stopped = asyncio.create_task(self.stopping.wait(), name="luaflow-api-stop")
        try:
            await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise TimeoutError
            return reply({"status": "completed", "result": values.encode(waiting.result())})
        except TimeoutError:
            await handle.describe()  # an id that nobody has is no running workflow
            return reply({"status": "running"}, 202)
        except WorkflowFailed as error:
            return reply({"status": error.status, "error": _failure(error)})
        finally:
            for task in (waiting, stopped):
                task.cancel()
            await asyncio.wait({waiting, stopped})

    async def _history(self, ask: Ask) -> web.StreamResponse:
        handle = self._handle(ask)
        if "text/event-stream" in ask.request.headers.get("Accept", ""):
            return await self._follow(ask, handle)
        after = int(ask.number("after", 0, 0, 1e15))
        limit = int(ask.number("limit", PAGE, 1, MAX_PAGE))
        events: list[dict[str, Any]] = []
        more = False
        async for event in handle.history():
            if event.id <= after:
                continue
            if len(events) == limit:
                more = True
                break
            events.append(event.to_json())
        return reply({"events": events, "next": events[-1]["id"] if more else None})

    async def _follow(self, ask: Ask, handle: Handle) -> web.StreamResponse:
        if self._followers >= FOLLOWERS:
            text = f"{FOLLOWERS} histories are followed: ask for pages, or another server"
            raise Problem(503, "Unavailable", text)
        self._followers += 1  # each reads with a connection of its own
        try:
            return await history_events(ask.request, handle, self.stopping, SAFE)
        finally:
            self._followers -= 1

    async def _signal(self, ask: Ask) -> web.StreamResponse:
        body = await ask.body("name", "args", "input", "request_id")
        name = str(text_of(body, "name", required=True))
        handle = self._handle(ask)
        await handle.signal(name, *arguments_of(body), request_id=text_of(body, "request_id"))
        return _accepted(handle)

    async def _query(self, ask: Ask) -> web.StreamResponse:
        return await self._asked(ask, "query")

    async def _update(self, ask: Ask) -> web.StreamResponse:
        return await self._asked(ask, "update")

    async def _asked(self, ask: Ask, verb: str) -> web.StreamResponse:
        """Ask the code of a run, where handles of this release can."""
        body = await ask.body("name", "args", "input")
        name = str(text_of(body, "name", required=True))
        ask_run = getattr(self._handle(ask), verb, None)
        if ask_run is None:
            text = f"this release of luaflow has no {verb} for workflows"
            raise Problem(501, "Unimplemented", text)
        return reply({"result": values.encode(await ask_run(name, *arguments_of(body)))})

    async def _cancel(self, ask: Ask) -> web.StreamResponse:
        body = await ask.body("reason", "request_id")
        handle = self._handle(ask)
        await handle.cancel(text_of(body, "reason"), request_id=text_of(body, "request_id"))
        return _accepted(handle)

    async def _terminate(self, ask: Ask) -> web.StreamResponse:
        body = await ask.body("reason")
        handle = self._handle(ask)
        await handle.terminate(text_of(body, "reason"))
        return _accepted(handle)

    def _handle(self, ask: Ask) -> Handle:
        return self._client.get_handle(ask.params["id"], ask.word("run_id"))


def reply(value: Any, status: int = 200, **headers: str) -> web.Response:
    """An answer as JSON that nobody keeps."""
    return web.Response(
        body=orjson.dumps(value),
        status=status,
        content_type="application/json",
        headers={**SAFE, **headers},
    )


def _accepted(handle: Handle) -> web.Response:
    return reply({"workflow_id": handle.workflow_id, "run_id": handle.run_id})


def _failure(error: WorkflowFailed) -> dict[str, Any]:
    return {
        "kind": error.kind,
        "message": error.message,
        "retryable": error.retryable,
        "details": values.encode(error.details),
    }


def _problem(
    status: int, kind: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    text = message.encode(errors="replace").decode()  # it may quote a header that is no UTF-8
    return reply({"error": {"kind": kind, "message": text}}, status, **(headers or {}))


def _problem_of(error: LuaflowError) -> web.Response:
    if isinstance(error, WorkflowFailed):  # of an update, or a query
        return reply({"error": _failure(error)}, 422)
    for kind, status, name in _STATUS:
        if isinstance(error, kind):
            return _problem(status, name, error.message)
    log.error("the API failed: %s", error.message, exc_info=error)
    return _problem(500, "Internal", error.message)


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
