"""A history as server-sent events: each event once, also for a client that comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

import orjson
from aiohttp import web

from luaflow.client.handle import Handle
from luaflow.domain.events import Event
from luaflow.errors import InvalidArgument, LuaflowError

log = logging.getLogger(__name__)

PING_SECONDS = 15.0
"""After so long without an event a comment says that the connection lives."""
_RETRY_MS = 1000


async def history_events(
    request: web.BaseRequest, handle: Handle, stopping: asyncio.Event, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send the events after ``Last-Event-ID`` as they come, until the run closes.

    ``headers`` are of every answer. The id of each is its event id. Who has the last one is told
    204, and asks no more.
    """
    last = _last_event_id(request)
    run = await handle.describe()
    if run["status"] != "running" and last >= run["history_length"]:
        return web.Response(status=204)
    response = web.StreamResponse(
        headers={**headers, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    try:
        await response.write(f"retry: {_RETRY_MS}\n\n".encode())
        await _pass_on(response, handle, last, stopping)
        await response.write_eof()
    except LuaflowError as error:  # the head is gone: the client comes back and asks again
        log.warning("the history of %s broke off: %s", handle.workflow_id, error.message)
        if request.transport is not None:
            request.transport.abort()
    return response


async def _pass_on(
    response: web.StreamResponse, handle: Handle, last: int, stopping: asyncio.Event
) -> None:
    events = aiter(handle.history(follow=True))
    stopped = asyncio.create_task(stopping.wait(), name="luaflow-api-stop")
    coming: asyncio.Task[Event | None] | None = None
    try:
        while True:
            coming = coming or asyncio.create_task(_next(events), name="luaflow-api-event")
            await asyncio.wait(
                {coming, stopped}, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if stopped.done():
                return
            if not coming.done():
                await response.write(b": still here\n\n")
                continue
            event, coming = coming.result(), None
            if event is None:
                return
            if event.id > last:
                await response.write(_written(event))
    finally:
        for task in (coming, stopped):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)


def _written(event: Event) -> bytes:
    head = f"id: {event.id}\nevent: {event.type}\ndata: ".encode()
    return head + orjson.dumps(event.to_json()) + b"\n\n"


def _last_event_id(request: web.BaseRequest) -> int:
    text = request.headers.get("Last-Event-ID") or request.query.get("after") or "0"
    if not text.isascii() or not text.isdigit():
        raise InvalidArgument(f"Last-Event-ID must be the id of an event, not {text!r}")
    return int(text)
