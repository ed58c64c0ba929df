"""A hostile client of ``luaflow serve``: it is answered or cut off, and all others are served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.engine import Engine, engine, make_engine
from tests.web.support_web import LOCAL, Served, write_app

from luaflow.store.namespaces import update_namespace
from luaflow_web import api

__all__ = ["engine", "make_engine"]

WITHIN = 15.0
START = "POST /api/v1/workflows HTTP/1.1\r\nHost: {host}\r\n"
GET = "GET /api/v1/workflows HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"


class Hostile:
    """Says any bytes to a server, and hears what it answers until it closes."""

    def __init__(self, served: Served) -> None:
        self.served = served
        url = served.client._base_url
        assert url is not None
        self.host, self.port = str(url.host), int(url.port or 0)

    async def say(self, text: str | bytes, *, whole: bool = True) -> str:
        """The answer to what is said, or its head; ``{host}`` is the server's own name."""
        here = f"{self.host}:{self.port}"
        data = text.replace("{host}", here).encode("latin-1") if isinstance(text, str) else text
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(WITHIN):
                answer = reader.read() if whole else reader.readuntil(b"\r\n\r\n")
                return (await answer).decode("latin-1")
        except ConnectionError:
            return ""
        finally:
            writer.close()

    async def status(self, text: str | bytes) -> int:
        """The status of the first answer; 0 where there is none."""
        answer = await self.say(text)
        return int(answer.split(" ", 2)[1]) if answer.startswith("HTTP/1.") else 0


@pytest.fixture
async def hostile(engine: Engine) -> AsyncIterator[Hostile]:
    """A client of the API."""
    async with Served(engine, None, api=LOCAL) as served:
        found = Hostile(served)
        yield found
        assert await found.status(GET + "\r\n") == 200  # nobody else has noticed


BODIES = {
    "two lengths": "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "a length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    "a negative length": "Content-Length: -1\r\n\r\n{}",
    "a length that is no number": "Content-Length: 0x2\r\n\r\n{}",
    "a length with a sign": "Content-Length: +2\r\n\r\n{}",
    "chunks of no size": "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "chunks twice": "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a header of 64 KB": f"X-Long: {'a' * 65_536}\r\n\r\n",
    "a thousand headers": "".join(f"X-{n}: 1\r\n" for n in range(1000)) + "\r\n",
    "a NUL in a header": "X-Null: a\0b\r\n\r\n",
    "a folded header": "X-A: 1\r\n Evil: 2\r\n\r\n",
    "a name with a space": "X A: 1\r\n\r\n",
    "a bare line feed": "X-A: 1\nEvil: 2\n\n",
    "no JSON": "Content-Length: 1\r\n\r\n{",
    "JSON of 100,000 levels": f"Content-Length: 200000\r\n\r\n{'[' * 100_000}{']' * 100_000}",
    "not a number": 'Content-Length: 27\r\n\r\n{"type": "x", "input": NaN}',
    "a lone surrogate": 'Content-Length: 32\r\n\r\n{"type": "\\ud800", "input": 1}  ',
}


async def test_a_request_that_is_none(hostile: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    """It is answered by a 4xx or cut off; no second request comes out of it, nothing is logged."""
    for name, body in BODIES.items():
        answer = await hostile.say(f"{START}Connection: close\r\n{body}")
        assert answer.count("HTTP/1.1 ") <= 1, (name, answer)
        assert not answer or answer.startswith(("HTTP/1.1 4", "HTTP/1.0 4")), (name, answer)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR], caplog.text


ELSEWHERE = (
    "GET / HTTP/1.1\r\nHost: evil.example\r\n",
    "GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n",
    "GET / HTTP/1.1\r\nHost: evil.example@127.0.0.1\r\n",
    "GET / HTTP/1.0\r\n",
    "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n",
    "GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: https://evil.example\r\n",
    "GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: null\r\n",
    "GET / HTTP/1.1\r\nHost: {host}\r\nOrigin:\r\n",
    "GET / HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: cross-site\r\n",
    "GET / HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: same-site\r\n",
)


async def test_whoever_comes_from_elsewhere(hostile: Hostile) -> None:
    """A name that leads here by a trick of DNS, a page of another site."""
    for head in ELSEWHERE:
        found = await hostile.status(f"{head}Connection: close\r\n\r\n")
        assert found in (400, 403), head


PATHS = (
    "/../../../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/api/v1/workflows/..%2f..%2f..%2fetc%2fpasswd",
    "/api/v1/workflows/..%2f..%2fetc/history",
    "/api/v1/workflows/%00",
    "/api/v1/workflows/a%7Bb%7D",
    "/api/v1/workflows/%ff%fe",
    "/api/v1/workflows/x?run_id=../../x",
    "/api/v1/workflows/x/history?after=-1",
    "/api/v1/workflows/x/history?limit=1e999",
    "/api/v1/workflows?page=%ff",
    "/api/v1/workflows?limit=nan",
    f"/api/v1/workflows/{'x' * 7000}",
)


async def test_paths_that_lead_elsewhere(engine: Engine, hostile: Hostile, tmp_path: Path) -> None:
    """Ids are looked up and nothing else, also in an archive that is a folder."""
    (tmp_path / "passwd").write_text("root")
    archive = f"file://{tmp_path}/archive"
    await update_namespace(engine.store.link, engine.store.namespace, archive=archive)
    for path in PATHS:
        head = f"GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n"
        assert await hostile.status(head) in (400, 404), path


@pytest.mark.heavy
async def test_a_body_without_an_end(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too much of it, or too little and too slowly."""
    monkeypatch.setattr(api, "BODY_BYTES", 10_000)
    monkeypatch.setattr(api, "BODY_SECONDS", 0.3)
    chunk = f"1000\r\n{'a' * 4096}\r\n"
    chunked = f"{START}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert "413" in (await hostile.say(chunked + chunk * 10)).partition("\r\n")[0]
    assert "408" in (await hostile.say(chunked + chunk)).partition("\r\n")[0]
    slow = await hostile.say(f"{START}Content-Length: 99\r\n\r\n{{", whole=False)
    assert "408" in slow.partition("\r\n")[0]


async def test_what_browsers_are_told(hostile: Hostile) -> None:
    """Every answer is data: not a page, not a script, not a frame, not to be kept."""
    for path in ("/", "/api/v1/workflows", "/api/v1/openapi.json", "/nowhere"):
        answer = await hostile.say(
            f"GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n"
        )
        for name, value in api.SAFE.items():
            assert f"{name}: {value}\r\n" in answer, path


async def test_an_app_is_attacked(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """The same bytes against a route of an app: none becomes another request."""
    app = write_app(
        engine.folder,
        {"h": "local b = http.request():body() http.response():json({n = #(b or '')})"},
        {"POST /h": "h", "GET /files/{path...}": "h"},
    )
    async with Served(engine, app) as served:
        hostile = Hostile(served)
        for name, body in BODIES.items():
            answer = await hostile.say(
                f"POST /h HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n{body}"
            )
            assert answer.count("HTTP/1.") <= 1, name
            assert " 500 " not in answer[:20], (name, answer)
        for path in ("/files/../../h", "/files/%2e%2e/x", "//h", "/h%00", "/h%0d%0aX: y"):
            assert await hostile.status(
                f"GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n"
            ) in (200, 400, 404, 405)
        good = (
            "POST /h HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
        )
        assert await hostile.status(good) == 200
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR], caplog.text
