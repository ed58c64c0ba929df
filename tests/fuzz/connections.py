"""Bytes on sockets that ``luaflow serve`` listens on: requests, halves of them, and no requests."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from luaflow.embedded import EmbeddedServer
from luaflow_web.serving import WebConfig, WebServer
from tests.fuzz.mutating import mutated
from tests.fuzz.target import Target
from tests.support.engine import Make
from tests.web.support_web import LOCAL, write_app

HANDLER = """
local req, res = http.request({timeout = 200, max_body = 5000}), http.response()
local body, err = req:body_json()
local form, why = req:parse_multipart()
res:set_header("X-A", "b")
res:write_json({req:method(), req:path(), req:host(), req:query_params(), req:params(),
  req:header("Cookie"), req:accepts("application/json"), tostring(err), tostring(why)})
"""
JSON = b"Content-Type: application/json\r\n"
HERE = b"Host: localhost\r\n"
SEEDS = (
    b"GET /a?x=1&y=%C3%A9 HTTP/1.1\r\nHost: x\r\nAccept: text/*;q=0.5, */*\r\nCookie: a=b\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\n" + JSON + b'Content-Length: 7\r\n\r\n{"a":1}',
    (
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n3;x=y\r\n[1]\r\n0\r\nT: 1\r\n\r\n"
    ),
    (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 82\r\n\r\n--b\r\nContent-Disposition: form-data; name=f; "
        b"filename=g\r\n\r\n12345\r\n--b--\r\n"
    ),
    b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"OPTIONS /a HTTP/1.1\r\nOrigin: http://y\r\nAccess-Control-Request-Method: GET\r\n"
    + HERE
    + b"\r\n",
    b"GET /api/v1/workflows?query=WorkflowId%3D%27a%27&limit=2 HTTP/1.1\r\n" + HERE + b"\r\n",
    b"GET /api/v1/workflows/a/history HTTP/1.1\r\nAccept: text/event-stream\r\n"
    b"Last-Event-ID: 1\r\n" + HERE + b"\r\n",
    b"GET /api/v1/workflows/a/result?timeout=1 HTTP/1.1\r\n" + HERE + b"\r\n",
    b"POST /api/v1/workflows HTTP/1.1\r\nContent-Length: 48\r\n"
    + (JSON + HERE)
    + b'\r\n{"type":"app:x","workflow_id":"a","input":[1,2]}',
    b"POST /api/v1/workflows/a/signal HTTP/1.1\r\nContent-Length: 23\r\n"
    + (JSON + HERE)
    + b'\r\n{"name":"s","input":[]}',
    b"GET /api/v1/openapi.json HTTP/1.0\r\nConnection: keep-alive\r\n" + HERE + b"\r\n",
)
PAUSE = b"\0PAUSE\0"
"""In an input: here the client waits a moment before it writes on."""
WORDS = (
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b": ", b" ", b"\t", PAUSE, PAUSE, PAUSE, b"\x16\x03\x01"),
    *(b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.99", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"0\r\n\r\n"),
    *(b"Content-Length: 10\r\n", b"Content-Length: -1\r\n", b"Content-Length: " + b"9" * 30),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"f" * 14),
    *(
        b"Content-Encoding: gzip\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        b"X: y\r\n ",
    ),
    *(b"Sec-WebSocket-Key: x\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"%ff"),
    *(b"X: " + b"a" * 9000 + b"\r\n", b"X: y\r\n" * 400, b"/../" * 50, b"?" + b"a&" * 500, b"[::1"),
    *(b"http://other:99999/", b"*", b"//", b"%00", b"%", b"#", b";", b"GET ", b"HEAD "),
)
ENDS = b"EAW"
"""How an input ends: the client says that it was all, breaks off, or waits for an answer."""
WAITS = 0.05
"""Seconds a client waits for an answer: some questions are answered late, or for ever."""
PATIENCE = 10.0
"""Seconds in which a whole request must be answered."""
GOOD = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Complaints(logging.Handler):
    """What was logged as an error: nothing a client writes is one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the words, and the error."""
        error = record.exc_info[1] if record.exc_info else None
        self.found.append(f"{record.getMessage()} {error!r}"[:500])


class Connections(Target):
    """Bytes for the service of an app, or for the API."""

    name = "http"
    quick = 60
    share = 15.0
    rate = 200.0
    seconds = 3.0

    def open(self) -> None:
        """A server with a namespace and an app, served."""
        self._folder = Path(tempfile.mkdtemp(prefix="luaflow-fuzz-"))
        self._server = EmbeddedServer(self._folder / "data", appendfsync="no")
        self._server.start()
        self._loop = asyncio.new_event_loop()
        self._complaints = Complaints()
        self._loop.set_exception_handler(
            lambda _, context: self._complaints.found.append(f"{context['message']} {context!r}")
        )
        logging.getLogger().addHandler(self._complaints)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        make = Make(self._server.url, "fuzz", self._folder / "flows")
        self._engine = await make(partitions=1)
        await self._engine.deploy({"x": "local function main() end"})
        app = write_app(
            self._folder / "app",
            {"h": HANDLER},
            {"GET /{all...}": "h", "POST /{all...}": "h"},
            router={"middleware": ["cors", "real_ip", "compress"]},
        )
        self._web = WebServer(self._engine.store, WebConfig(app, LOCAL), CollectorRegistry())
        await self._web.start()
        api = self._web._api_listener
        assert api
        self._doors = [(self._web._services[0]._listener, b"/x"), (api, b"/api/v1/openapi.json")]

    def close(self) -> None:
        """Stop all of it."""
        self._loop.run_until_complete(self._web.stop())
        self._loop.run_until_complete(self._engine.stop())
        self._loop.run_until_complete(self._engine.store.close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        logging.getLogger().removeHandler(self._complaints)
        self._server.stop()
        shutil.rmtree(self._folder)

    def make(self, chance: random.Random) -> bytes:
        """Where to, how it ends, and some requests, mostly damaged."""
        door, end = chance.choice((b"0", b"1")), bytes([chance.choice(ENDS)])
        requests = (mutated(chance, SEEDS, WORDS) for _ in range(chance.choice((1, 1, 1, 2, 4))))
        return door + end + b"".join(requests)

    def run(self, data: bytes) -> None:
        """Write it; no answer says 5xx, nothing is logged, and whoever comes next is answered."""
        self._complaints.found.clear()
        self._loop.run_until_complete(self._talk(data))
        assert not self._complaints.found, self._complaints.found[0]

    async def _talk(self, data: bytes) -> None:
        door, end, rest = data[:1] == b"1", data[1:2], data[2:]
        listener, good = self._doors[door]
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        try:
            answer = await _say(reader, writer, end, rest)
        finally:
            writer.transport.abort()
        assert not re.search(rb"(?m)^HTTP/1\.[01] 5", answer), answer[:300]
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(GOOD % good)
                after = await reader.read()
                writer.close()
                while listener.in_flight:  # noqa: ASYNC110 - what they do tells nobody
                    await asyncio.sleep(0.001)
        except TimeoutError:
            raise AssertionError(f"no end within {PATIENCE:.0f} s") from None
        assert after.startswith(b"HTTP/1.1 200 "), f"the next one is told {after[:300]!r}"


async def _say(reader: Any, writer: Any, end: bytes, data: bytes) -> bytes:
    """Write an input, with its pauses; what is answered."""
    try:
        for part in data.split(PAUSE):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.001)
        if end == b"A":
            return b""
        if end == b"E":
            writer.write_eof()
            return bytes(await asyncio.wait_for(reader.read(), PATIENCE))
        return bytes(await asyncio.wait_for(reader.read(1 << 16), WAITS))
    except TimeoutError:
        assert end == b"W", f"a connection whose client is done is open after {PATIENCE:.0f} s"
        return b""
    except OSError:
        return b""  # it is closed by now
