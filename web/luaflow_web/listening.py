"""Listener: one address that HTTP requests come to, until it is told to stop."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import ClientConnectionResetError, web
from aiohttp.http_exceptions import HttpProcessingError

from luaflow.errors import LuaflowError
from luaflow.observe import tracing
from luaflow.registry.http import Address

log = logging.getLogger(__name__)

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - what an address without a host asks for
MOST_IN_FLIGHT = 1000
"""So many requests are answered at a time; more are told to come again."""
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class CannotListen(LuaflowError):
    """An address cannot be listened on."""


class Listener:
    """Listens on an address and lets ``answer`` answer; a client that leaves cancels it."""

    def __init__(
        self,
        answer: Answer,
        address: Address,
        *,
        what: str,
        idle_seconds: float,
        stop_seconds: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``what`` listens is named in errors; requests in flight have ``stop_seconds``."""
        self._answer = answer
        self._address = address
        self._what = what
        self._idle_seconds = idle_seconds
        self._stop_seconds = stop_seconds
        self._tls = tls
        self._runner: web.ServerRunner | None = None
        self.in_flight = 0

    @property
    def url(self) -> str:
        """Where it is reached, with the port it really has."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{Address(self._address.host or _EVERYWHERE, self.port)}"

    @property
    def port(self) -> int:
        """The port, known once it listens."""
        if self._runner is None or not self._runner.addresses:
            return self._address.port
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen. Raises CannotListen when the port is taken, or the host is not ours."""
        server = web.Server(
            self._guarded,
            handler_cancellation=True,
            keepalive_timeout=self._idle_seconds,
            access_log=None,
            auto_decompress=False,
            logger=_protocol_log(),
        )
        runner = web.ServerRunner(server, shutdown_timeout=self._stop_seconds)
        await runner.setup()
        host, port = self._address
        if not host and not port:
            host = _EVERYWHERE  # as two sockets, for IPv4 and IPv6, it would have two ports
        site = web.TCPSite(runner, host or None, port, ssl_context=self._tls)
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            await runner.cleanup()
            reason = getattr(error, "strerror", None) or str(error)
            raise CannotListen(
                f"{self._what} cannot listen on {self._address}: {reason}; choose another address"
            ) from error
        self._runner = runner

    async def stop(self) -> None:
        """Take no new connection, let requests in flight end, then cut off what is left."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _guarded(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.in_flight >= MOST_IN_FLIGHT:
            text = f"{MOST_IN_FLIGHT} requests are in flight: try again"
            return web.json_response({"error": text}, status=503, headers={"Retry-After": "1"})
        self.in_flight += 1
        try:
            await _expect(request)
            with tracing.incoming(request.headers):
                return await self._answer(request)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception:
            log.exception("%s: %s %s failed", self._what, request.method, request.path)
            return web.json_response({"error": "internal error"}, status=500)
        finally:
            self.in_flight -= 1


_NO_NEWS = (HttpProcessingError, ClientConnectionResetError)


def _protocol_log() -> logging.Logger:
    """Where the library tells of connections; not of requests that are none, nor of who left."""
    found = logging.getLogger("luaflow_web.protocol")
    found.addFilter(_worth_telling)
    return found


def _worth_telling(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], _NO_NEWS))


async def _expect(request: web.BaseRequest) -> None:
    """Tell a client that asks first to send its body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
