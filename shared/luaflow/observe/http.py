"""OpsServer: /metrics, /healthz and /readyz for Prometheus and Kubernetes, on a thread.

A thread and not the event loop: a loop that hangs must still be seen to hang.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

log = logging.getLogger(__name__)

Check = Callable[[], tuple[bool, str]]
"""Whether all is well, and one sentence about it. Called on a thread; it must not block."""

Page = Callable[[str], tuple[int, bytes] | None]
"""Status and JSON for a path, None for one that is another's. Called on a thread; it may wait."""


class OpsServer:
    """Serves ``registry`` and the two checks on ``host:port`` (0: any free port, see ``port``).

    ``healthz`` false asks Kubernetes to restart the process, ``readyz`` false to send no work.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        healthz: Check,
        readyz: Check,
        page: Page = lambda _: None,
    ) -> None:
        self.host = host
        self.port = port
        self._registry = registry
        self._page = page
        self._checks = {"/healthz": healthz, "/readyz": readyz}
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen and serve; started already, do nothing. Raises OSError when the port is taken."""
        if self._server is None:
            self._server = _Server((self.host, self.port), _handler(self))
            self.port = self._server.server_address[1]
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.1,), name="luaflow-ops", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving and wait for the requests that run; safe twice and before start()."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a GET of ``path``."""
        if path == "/metrics":
            encode, content_type = choose_encoder(accept)
            return 200, content_type, encode(self._registry)
        if check := self._checks.get(path):
            ok, text = check()
            return (200 if ok else 503), "text/plain; charset=utf-8", f"{text}\n".encode()
        if more := self._page(path):
            return more[0], "application/json", more[1]
        return 404, "text/plain; charset=utf-8", b"here are /metrics, /healthz and /readyz\n"


class _Server(ThreadingHTTPServer):
    # Threads of requests are waited for at the end; the time-out of the handler bounds that.
    daemon_threads = False
    block_on_close = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request of %s broke off", client_address, exc_info=True)  # noqa: LOG014 - called from one


def _handler(ops: OpsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # seconds a client may take to say what it wants

        def do_GET(self) -> None:
            try:
                path = self.path.partition("?")[0]
                status, content_type, body = ops.answer(path, self.headers.get("Accept", ""))
            except Exception as error:  # a broken check is an answer, too
                log.exception("%s failed", self.path)
                status, content_type, body = 503, "text/plain", f"{error!r}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            log.debug(format, *args)

    return Handler
