"""Requests that nobody should send: each is answered or refused, and the server goes on."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.engine import Engine, within
from tests.web.support_web import LOCAL, Served, write_app

FACTS = """\
local req = http.request()
http.response():json({req:method(), req:path(), req:query_params(), req:params(), req:host()})
"""


async def said(http: Served, sent: bytes) -> bytes:
    """Everything that is answered to these bytes; what is no whole request is cut off."""
    host, port = http.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    if not sent.endswith(b"\r\n\r\n"):
        writer.write_eof()
    try:
        return bytes(await within(reader.read()))
    except ConnectionError:
        return b""
    finally:
        writer.close()


ODD = [
    b"GET http://other.example/a?b=%zz&%ff=%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /a%ff%00%2f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /a?x=\xff HTTP/1.1\r\nHost: \xff\r\nConnection: close\r\n\r\n",
    b"GET /a HTTP/1.0\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\n",
    b"GET //a//b/../c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"BREW /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\nAccept: ;;,,q=;\r\nConnection: close\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET " + b"/a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"nonsense\r\n\r\n",
]


@pytest.mark.parametrize("number", range(len(ODD)))
async def test_odd_requests(engine: Engine, caplog: pytest.LogCaptureFixture, number: int) -> None:
    """The app's service and the API say 2xx or 4xx, whatever is asked."""
    app = write_app(engine.folder, {"h": FACTS}, {"GET /{all...}": "h"})
    with caplog.at_level(logging.ERROR):
        for one in (Served(engine, app), Served(engine, None, api=LOCAL)):
            async with one as http:
                answer = await said(http, ODD[number])
                assert not answer or answer.split(b" ")[1][:1] in (b"2", b"4"), answer
    assert not [r for r in caplog.records if r.name != "luaflow.store.watch"]  # of the server


async def test_any_path_and_query(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """What a client may put into a line reaches the code, or is refused."""
    app = write_app(engine.folder, {"h": FACTS}, {"GET /{one}/{all...}": "h"})
    loop = asyncio.get_running_loop()
    lines = st.binary(max_size=60).map(lambda raw: bytes(c for c in raw if c > 32 and c != 127))
    async with Served(engine, app) as http:

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(path=lines, query=lines)
        def look(path: bytes, query: bytes) -> None:
            sent = b"GET /%s?%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (path, query)
            answer = asyncio.run_coroutine_threadsafe(said(http, sent), loop).result()
            assert answer.split(b" ")[1][:1] in (b"2", b"4"), (sent, answer)

        await asyncio.to_thread(look)
    assert not [r for r in caplog.records if r.name != "luaflow.store.watch"]  # of the server
