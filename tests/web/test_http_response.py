"""What a handler answers, and what a client sees of one that does not end well."""

from __future__ import annotations

import asyncio
import gzip
import logging
from typing import Any

import aiohttp
import pytest
from tests.support.engine import Engine, within
from tests.support.mutants import proves, replaced
from tests.web.support_web import Served, write_app

from luaflow_web.exchange import HttpExchange

RES = "local res = http.response()\n"


def handlers(**bodies: str) -> tuple[dict[str, str], dict[str, str]]:
    """Handlers by name, each on GET /<name>."""
    return {n: RES + body for n, body in bodies.items()}, {f"GET /{n}": n for n in bodies}


async def test_status_headers_and_body(engine: Engine) -> None:
    """A plain answer; without a word it is 200 and empty."""
    app = write_app(
        engine.folder,
        *handlers(
            made='res:set_status(http.STATUS.CREATED) res:set_header("X-Id", 7) '
            'res:set_content_type("text/html") res:write("<b>") res:write(1.5)',
            empty="",
            gone="res:set_status(204) res:write('never')",
            text="res:write('caf\\195\\169')",
        ),
    )
    async with Served(engine, app) as http:
        async with http.client.get("/made") as made:
            assert (made.status, made.headers["X-Id"], made.content_type) == (201, "7", "text/html")
            assert await made.text() == "<b>1.5"
            assert made.content_length == 6
        assert await http.text("GET", "/empty") == (200, "")
        assert await http.text("GET", "/gone") == (204, "")
        async with http.client.get("/text") as text:
            assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert await text.text() == "caf\u00e9"


async def test_the_forms_that_chain(engine: Engine) -> None:
    """status, header, content_type, json and send give the response back."""
    code = 'http.response():status(418):header("X-A", "b"):content_type("text/x"):send("tea")'
    app = write_app(engine.folder, *handlers(tea=f"return {code}"))
    async with Served(engine, app) as http, http.client.get("/tea") as tea:
        assert (tea.status, tea.headers["X-A"], tea.content_type) == (418, "b", "text/x")
        assert await tea.text() == "tea"


@pytest.mark.parametrize(
    "what",
    [
        "res:set_status(99)",
        "res:set_status('200')",
        "res:set_header('a b', 'x')",
        "res:set_header('X-A', 'x\\r\\nSet-Cookie: y')",
        "res:set_header('Content-Length', '5')",
        "res:set_header('X-A', {})",
        "res:set_header('X-A', '\\255')",
        "res:set_content_type(nil)",
        "res:set_transfer('gzip')",
        "res:write({})",
        "res:write_json({print})",
        "res:write_event('x')",
        "res:write_event({name = 'a\\nb', data = 1})",
    ],
)
async def test_what_is_refused(engine: Engine, what: str) -> None:
    """What cannot be sent is Invalid; the response is as it was."""
    app = write_app(
        engine.folder, *handlers(h=f"local err = {what}\nres:write_json({{err:kind()}})")
    )
    async with Served(engine, app) as http:
        assert await http.json("GET", "/h") == (200, ["Invalid"])


@proves(replaced(HttpExchange, "_head", lambda *_: None))
async def test_the_head_cannot_change_once_the_body_has_begun(engine: Engine) -> None:
    """Status, headers and transfer after the first write: Invalid, each of them."""
    code = """
    local function kind(e) return e and e:kind() or "none" end
    res:write("[")
    local a, b = res:set_status(500), res:set_header("X-A", "b")
    local c = res:set_transfer("chunked")
    local d = pcall(function() res:status(500) end)
    res:write('"' .. kind(a) .. kind(b) .. kind(c) .. tostring(d) .. '"]')
    """
    app = write_app(engine.folder, *handlers(h=code))
    async with Served(engine, app) as http:
        assert await http.json("GET", "/h") == (200, ["InvalidInvalidInvalidfalse"])


async def test_a_response_in_pieces(engine: Engine) -> None:
    """What is flushed is there before the handler ends."""
    code = """
    res:set_transfer(http.TRANSFER.CHUNKED)
    res:write("one ") res:flush()
    time.sleep("1h")
    """
    app = write_app(
        engine.folder, *handlers(h=code), service={"lifecycle": {"stop_timeout": "1ms"}}
    )
    async with Served(engine, app) as http, http.client.get("/h") as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert await within(response.content.readany()) == b"one "


async def test_much_is_sent_before_the_end(engine: Engine) -> None:
    """A handler that writes megabytes does not gather them."""
    code = "for i = 1, 64 do res:write(string.rep('x', 65536)) end"
    app = write_app(engine.folder, *handlers(h=code))
    async with Served(engine, app) as http, http.client.get("/h") as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert len(await response.read()) == 64 * 65536


async def test_events(engine: Engine) -> None:
    """Server-sent events: name, data as JSON or text, several lines, sent at once."""
    code = """
    res:set_transfer(http.TRANSFER.SSE)
    res:write_event({name = "made", data = {id = 1}})
    res:write_event({data = "a\\nb"})
    time.sleep("1h")
    """
    app = write_app(
        engine.folder, *handlers(h=code), service={"lifecycle": {"stop_timeout": "1ms"}}
    )
    async with Served(engine, app) as http, http.client.get("/h") as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["X-Accel-Buffering"] == "no"
        text = b""
        while text.count(b"\n\n") < 2:
            text += await within(response.content.readany())
    assert text == b'event: made\ndata: {"id":1}\n\ndata: a\ndata: b\n\n'


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("error('boom')", "boom"),
        ("return nil, 'no stock'", "no stock"),
        ("return nil, errors.new({message = 'no stock', kind = 'NotFound'})", "no stock"),
        ("res:set_status(201) res:write('half') error('boom')", "boom"),
        ("res:json({print})", "the response cannot be JSON"),
        ("while true do end", "the code ran too long without waiting"),
    ],
)
async def test_a_handler_that_fails(
    engine: Engine, caplog: pytest.LogCaptureFixture, code: str, says: str
) -> None:
    """Status 500 with the message; where it happened is for the log alone."""
    app = write_app(engine.folder, *handlers(h=code))
    with caplog.at_level(logging.ERROR, "luaflow_web"):
        async with Served(engine, app) as http:
            status, answer = await http.json("GET", "/h")
    assert status == 500
    assert list(answer) == ["error"]
    assert says in answer["error"]
    assert ".lua:" not in answer["error"]
    assert "GET /h: app:h failed" in caplog.text


async def test_a_response_that_has_begun_is_cut_off(engine: Engine) -> None:
    """A client must not take for whole what a failing handler left half sent."""
    code = "res:set_transfer('chunked') res:write('half') res:flush() error('boom')"
    app = write_app(engine.folder, *handlers(h=code))
    async with Served(engine, app) as http:
        with pytest.raises(aiohttp.ClientPayloadError):
            await http.text("GET", "/h")


async def test_a_client_that_goes_away_ends_the_handler(engine: Engine) -> None:
    """Its coroutines, its timers: nothing of it goes on."""
    code = "res:write('x') res:flush() print('begun') time.sleep('1h')"
    app = write_app(engine.folder, *handlers(h=code))
    async with Served(engine, app) as http:
        runs = http.server._handlers
        assert runs
        ended = asyncio.Event()
        run = runs.run

        async def watched(*args: Any) -> Any:
            try:
                return await run(*args)
            finally:
                ended.set()

        runs.run = watched  # type: ignore[method-assign, assignment]
        response = await http.client.get("/h")
        assert await within(response.content.readany()) == b"x"
        response.close()
        await within(ended.wait())


async def test_a_write_timeout(engine: Engine) -> None:
    """A handler that does not answer in time is ended, and the client told so."""
    app = write_app(
        engine.folder,
        *handlers(h="time.sleep('1h')"),
        service={"timeouts": {"write": "50ms"}},
    )
    async with Served(engine, app) as http:
        status, answer = await http.json("GET", "/h")
    assert (status, answer) == (504, {"error": "the answer took too long"})


async def test_requests_side_by_side(engine: Engine) -> None:
    """Two calls of one function wait at the same time, each with a response of its own."""
    code = "local n = http.request():query('n') time.sleep('20ms') res:json({n = n})"
    app = write_app(engine.folder, *handlers(h=code))
    async with Served(engine, app) as http:
        found = await asyncio.gather(*(http.lua(f"/h?n={n}") for n in range(20)))
    assert [one["n"] for one in found] == [str(n) for n in range(20)]


async def test_head_gets_the_head_only(engine: Engine) -> None:
    """HEAD is answered by GET, without its body."""
    app = write_app(engine.folder, *handlers(h="res:set_header('X-A', 'b') res:write('body')"))
    async with Served(engine, app) as http, http.client.head("/h") as response:
        assert (response.status, response.headers["X-A"]) == (200, "b")
        assert response.headers["Content-Length"] == "4"
        assert await response.read() == b""


async def test_compression(engine: Engine) -> None:
    """With the middleware, for clients that say they can."""
    app = write_app(
        engine.folder,
        *handlers(h="res:write(string.rep('x', 10000))"),
        router={"middleware": ["compress"]},
    )
    async with Served(engine, app) as http:
        async with (
            aiohttp.ClientSession(http.url, auto_decompress=False) as session,
            session.get("/h", headers={"Accept-Encoding": "gzip"}) as response,
        ):
            data = await response.read()
            assert response.headers["Content-Encoding"] == "gzip"
            assert response.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(data) == b"x" * 10000
        async with http.client.get("/h", headers={"Accept-Encoding": "identity"}) as response:
            assert "Content-Encoding" not in response.headers


async def test_no_more_requests_than_can_be(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much is told to come again, and what is in flight goes on."""
    monkeypatch.setattr("luaflow_web.listening.MOST_IN_FLIGHT", 2)
    code = "res:write('x') res:flush() time.sleep('1h')"
    service = {"lifecycle": {"stop_timeout": "1ms"}}
    app = write_app(engine.folder, *handlers(h=code, other=""), service=service)
    async with Served(engine, app) as http:
        first = [await http.client.get("/h") for _ in range(2)]
        assert http.registry.get_sample_value("luaflow_http_requests_in_flight") == 2
        async with http.client.get("/other") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        for response in first:
            response.close()


async def test_a_client_that_asks_before_it_sends(engine: Engine) -> None:
    """Expect: 100-continue is answered before the body is read."""
    code = "res:write(http.request():body())"
    app = write_app(engine.folder, {"h": RES + code}, {"POST /": "h"})
    async with Served(engine, app) as http:
        assert await http.text("POST", "/", data=b"body", expect100=True) == (200, "body")
