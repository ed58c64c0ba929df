"""What a handler may ask of its request, over a real connection."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from tests.support.engine import Engine, within
from tests.support.mutants import proves, replaced
from tests.web.support_web import Served, write_app

from luaflow.lua import BundleSource, LoadError
from luaflow.lua import Engine as LuaEngine
from luaflow_web.exchange import HttpExchange, accepted


async def ask(engine: Engine, body: str, method: str = "GET", path: str = "/", **how: Any) -> Any:
    """What a handler with this body answers; its routes are /, /items/{id} and /files/{rest...}."""
    routes = {f"{method} {path}": "h" for path in ("/", "/items/{id}", "/files/{kind}/{rest...}")}
    app = write_app(
        engine.folder, {"h": f"local req, res = http.request(), http.response()\n{body}"}, routes
    )
    async with Served(engine, app) as http:
        return await http.lua(path, method, **how)


FACTS = """\
res:write_json({
  method = req:method(), path = req:path(), q = req:query("q"), none = req:query("none") == nil,
  all = req:query_params(), header = req:header("X-Two"), id = req:param("id"),
  host = req:host(), type = req:content_type(), length = req:content_length(),
  has_body = req:has_body(), remote = req:remote_addr(), params = req:params(),
  is = req:is_content_type("Application/JSON"), isnt = req:is_content_type("text/plain"),
})
"""


async def test_the_facts_of_a_request(engine: Engine) -> None:
    """Method, path, query, headers, parameters, type, length: as they were sent."""
    headers = [("X-Two", "a"), ("X-Two", "b"), ("Content-Type", "application/json; charset=utf-8")]
    found = await ask(
        engine,
        FACTS,
        "POST",
        "/items/a%2Fb?q=1&q=2&tag=%C3%A9&$lf=x",
        headers=headers,
        data=b"{}",
    )
    assert found.pop("remote").startswith("127.0.0.1:")
    assert found.pop("host").startswith("127.0.0.1:")
    assert found == {
        "method": "POST",
        "path": "/items/a/b",
        "q": "1",
        "none": True,
        "all": {"q": "1,2", "tag": "\u00e9", "$lf": "x"},
        "header": "a, b",
        "id": "a/b",
        "params": {"id": "a/b"},
        "type": "application/json; charset=utf-8",
        "length": 2,
        "has_body": True,
        "is": True,
        "isnt": False,
    }


async def test_what_takes_the_rest_of_a_path_is_no_parameter(engine: Engine) -> None:
    """`{rest...}` matches any number of parts, and is not exposed."""
    body = "res:write_json({path = req:path(), kind = req:param('kind'), rest = req:param('rest')})"
    found = await ask(engine, body, path="/files/img/a/b/c.png")
    assert found == {"path": "/files/img/a/b/c.png", "kind": "img"}


@pytest.mark.parametrize(
    ("accept", "wanted", "answer"),
    [
        ("application/json", "application/json", True),
        ("text/html, application/json;q=0.5", "Application/JSON", True),
        ("text/*", "text/html", True),
        ("*/*", "image/png", True),
        ("text/html", "application/json", False),
        ("text/html, application/json;q=0", "application/json", False),
    ],
)
def test_what_a_client_accepts(accept: str, wanted: str, answer: bool) -> None:
    """Types, wildcards and exclusions of an Accept header."""
    kind = wanted.lower().partition("/")[0] + "/*"
    assert bool({wanted.lower(), kind, "*/*"} & set(accepted(accept))) is answer


async def test_accepts(engine: Engine) -> None:
    """The handler sees the same; what is no type is refused."""
    body = """
    local bad, err = req:accepts(7)
    res:write_json({
      json = req:accepts("application/json"), html = req:accepts("text/html"),
      bad = bad == nil and err:kind(),
    })"""
    found = await ask(engine, body, headers={"Accept": "text/*, image/png"})
    assert found == {"json": False, "html": True, "bad": "Invalid"}


BODY = """\
local first, err = req:body()
local again = req:body()
res:write_json({first = first, again = again == first, kind = err and err:kind(),
  text = err and err:message()})
"""


async def test_a_body_is_there_as_often_as_it_is_asked_for(engine: Engine) -> None:
    """The whole body, also a second time."""
    assert await ask(engine, BODY, "POST", data=b"hello") == {"first": "hello", "again": True}


async def test_a_body_of_any_bytes(engine: Engine) -> None:
    """Bytes that are no text reach the code unchanged."""
    body = "local b = req:body() res:write_json({#b, b:byte(1), b:byte(-1)})"
    assert await ask(engine, body, "POST", data=bytes(range(256)) * 4) == [1024, 0, 255]


async def test_no_body_is_invalid(engine: Engine) -> None:
    """A request without one, and one of length 0."""
    expected = {"again": True, "kind": "Invalid", "text": "the request has no body"}
    assert await ask(engine, BODY) == expected
    assert await ask(engine, BODY, "POST", data=b"") == expected


async def answer_to(http: Served, sent: bytes) -> bytes:
    """The answer, which ends with a JSON object, to a request that is never sent whole."""
    host, port = http.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + sent)
        return bytes(await within(reader.readuntil(b"}")))
    finally:
        writer.close()
        await writer.wait_closed()


async def _unlimited(exchange: HttpExchange, _most: int) -> Any:
    async for chunk in exchange.request.content.iter_any():
        yield chunk


@proves(replaced(HttpExchange, "_limited", _unlimited))
async def test_too_large_a_body_is_invalid(engine: Engine) -> None:
    """Whether its length is told, or only seen when it comes: nobody waits for the rest."""
    body = BODY.replace("req:body()", "http.request({max_body = 4}):body()", 1)
    app = write_app(
        engine.folder,
        {"h": f"local req, res = http.request(), http.response()\n{body}"},
        {"POST /": "h"},
    )
    async with Served(engine, app) as http:
        for sent in (
            b"Content-Length: 5\r\n\r\nhe",
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n",
        ):
            answer = await answer_to(http, sent)
            assert b'"kind":"Invalid"' in answer
            assert b"4 of max_body" in answer
            assert b'"again":true' in answer  # both are nil: what was read is lost


async def test_json(engine: Engine) -> None:
    """A body that is JSON is decoded; one that is not is Invalid."""
    body = "local v, err = req:body_json() res:write_json({v = v, kind = err and err:kind()})"
    assert await ask(engine, body, "POST", json={"a": [1, 2.5, None]}) == {"v": {"a": [1, 2.5]}}
    assert await ask(engine, body, "POST", data=b"{nope") == {"kind": "Invalid"}


async def test_a_body_that_does_not_come(engine: Engine) -> None:
    """After the timeout the code gets an Internal error, and answers."""
    code = """
    local body, err = http.request({timeout = 50}):body()
    http.response():json({kind = err:kind(), retryable = err:retryable(), text = err:message()})"""
    app = write_app(engine.folder, {"h": code}, {"POST /": "h"})
    async with Served(engine, app) as http:
        answer = await answer_to(http, b"Content-Length: 10\r\n\r\nhalf")
    assert b'"kind":"Internal"' in answer
    assert b"within 50 ms" in answer


STREAM = """\
local s, err = req:stream()
if err then return res:json({kind = err:kind()}) end
local sizes, total = {}, 0
while true do
  local piece = s:read(4)
  if not piece then break end
  sizes[#sizes + 1] = #piece
  total = total + #piece
end
s:close()
local late, late_err = s:read()
res:write_json({total = total, most = math.max(table.unpack(sizes)), late = late_err:kind()})
"""


async def test_a_body_in_pieces(engine: Engine) -> None:
    """No piece is larger than asked for, all of them are the body; a closed stream says so."""
    found = await ask(engine, STREAM, "POST", data=b"0123456789")
    assert found == {"total": 10, "most": 4, "late": "Invalid"}
    assert await ask(engine, "req:body()\n" + STREAM, "POST", data=b"x") == {"kind": "Invalid"}


FORM = """\
local form, err = req:parse_multipart()
if err then return res:json({kind = err:kind(), text = err:message()}) end
local file = form.files.photo[1]
local s = file:stream()
local first, rest, last = s:read(3), s:read(0), s:read(100)
res:write_json({
  title = form.values.title, tags = form.values.tag, name = file:name(), size = file:size(),
  type = file:header("Content-Type"), first = first, rest = rest, last = last == nil,
  photos = #form.files.photo,
})
"""


async def test_a_form(engine: Engine) -> None:
    """Values, one or several of a name; files with name, size, type and content."""
    form = aiohttp.FormData()
    form.add_field("title", "a b")
    form.add_field("tag", "x")
    form.add_field("tag", "y")
    form.add_field("photo", b"GIF89a", filename="a.gif", content_type="image/gif")
    form.add_field("photo", b"", filename="b.gif")
    assert await ask(engine, FORM, "POST", data=form) == {
        "title": "a b",
        "tags": ["x", "y"],
        "name": "a.gif",
        "size": 6,
        "type": "image/gif",
        "first": "GIF",
        "rest": "89a",
        "last": True,
        "photos": 2,
    }


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"data": b"x"}, "no multipart form"),
        ({"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "boundary"),
        (
            {
                "data": b"--b\r\nnope",
                "headers": {"Content-Type": "multipart/form-data; boundary=b"},
            },
            "cannot be read",
        ),
    ],
)
async def test_what_is_no_form(engine: Engine, how: dict[str, Any], says: str) -> None:
    """A body of another type, or a broken one, is Invalid."""
    found = await ask(engine, FORM, "POST", **how)
    assert (found["kind"], says in found["text"]) == ("Invalid", True), found


async def test_too_large_a_form(engine: Engine) -> None:
    """Files count, too."""
    form = aiohttp.FormData()
    form.add_field("photo", b"x" * 1000, filename="a")
    code = FORM.replace("req:", "http.request({max_body = 999}):", 1)
    found = await ask(engine, code, "POST", data=form)
    assert (found["kind"], "999 bytes of max_body" in found["text"]) == ("Invalid", True)


def test_workflows_have_no_http() -> None:
    """The module is refused when the code is loaded, with the way to do it."""
    code = BundleSource("app:flow", "return {}", modules=("http",))
    with pytest.raises(LoadError, match=r"start the workflow from there with process\.spawn"):
        LuaEngine(code)


async def test_outside_of_a_handler(engine: Engine) -> None:
    """A function that answers no request gets nil and an Internal error."""
    code = """
    local req, err = http.request()
    local res, err2 = http.response()
    return {req == nil, err:kind(), res == nil, err2:kind()}"""
    write_app(engine.folder, {"h": code}, {})
    found = await engine.client.call("app:h", app=engine.folder)
    assert found == [True, "Internal", True, "Internal"]


@pytest.mark.parametrize(
    "options", ["7", "{timeout = 0}", "{timeout = '5s'}", "{max_body = 1.5}", "{max_body = -1}"]
)
async def test_options_that_are_none(engine: Engine, options: str) -> None:
    """What makes no sense is Invalid, and says what is expected."""
    body = f"local r, err = http.request({options}) res:write_json({{err:kind(), err:message()}})"
    kind, text = await ask(engine, body)
    assert (kind, "http.request expects" in text) == ("Invalid", True)
