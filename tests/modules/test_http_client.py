"""http_client: requests, what comes back, where they may go."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.modules.support_modules import in_function

from luaflow.errors import WorkflowFailed
from luaflow_worker.modules import egress

MODULES = ("http_client", "json")
BINARY = bytes(range(256)) * 4


async def answer(request: web.Request) -> web.StreamResponse:
    """Tell what arrived, or do what the path says."""
    match request.path:
        case "/binary":
            return web.Response(body=BINARY)
        case "/text":
            return web.Response(text=request.query["text"] * int(request.query["times"]))
        case "/slow":
            await asyncio.sleep(30)
        case "/status":
            return web.Response(status=int(request.query["code"]), text="no")
        case "/cookie":
            response = web.Response(text="")
            response.set_cookie("name", "value")
            return response
        case "/to":
            code = int(request.query.get("code", "302"))
            return web.Response(status=code, headers={"Location": request.query["url"]})
        case "/loop":
            raise web.HTTPFound("/loop")
    told = {
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "headers": {k.lower(): v for k, v in request.headers.items()},
        "body": (await request.read()).decode("latin-1"),
    }
    return web.json_response(told, headers={"x-some-name": "v"})


@pytest.fixture
async def base(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The URL of a server on this machine, which functions may reach."""
    monkeypatch.setenv(egress.VARIABLE, "allow")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def run(folder: Path, base: str, body: str) -> Any:
    """Call a function; ``base`` is the server's URL in Lua."""
    return await in_function(folder, f"local base = ... {body}", base, modules=MODULES)


SEE = "local function see(...) local r, e = ... return json.decode(r.body), r end "


async def test_each_method(tmp_path: Path, base: str) -> None:
    """get post put patch delete head and any other."""
    body = (
        SEE
        + """local out = {}
    for i, m in ipairs({ "get", "post", "put", "patch", "delete" }) do
        out[i] = see(http_client[m](base .. "/x")).method
    end
    out[6] = see(http_client.request("PURGE", base)).method
    local head = http_client.head(base .. "/x")
    out[7], out[8], out[9] = head.status_code, head.body, head.headers["X-Some-Name"]
    return out"""
    )
    assert await run(tmp_path, base, body) == [
        *("GET", "POST", "PUT", "PATCH", "DELETE", "PURGE", 200, "", "v")
    ]


async def test_a_response(tmp_path: Path, base: str) -> None:
    """Fields, and the two lenient methods beside them."""
    body = """local r, err = http_client.get(base .. "/status?code=404")
    local b = http_client.get(base .. "/binary")
    local c = http_client.get(base .. "/cookie")
    local fields = {}
    for name in pairs(r) do fields[#fields + 1] = name end
    return { err == nil, r.status_code, r:status(), r.body, r:body(), type(r.body), r.body_size,
        r.headers["Content-Type"], r.url, b.body, b:body() == b.body, c.cookies.name,
        math.type(r.status_code), table.concat(fields, " "), r.stream == nil }"""
    expected = [True, 404, 404, "no", "no", "string", 2, "text/plain; charset=utf-8"]
    expected += [f"{base}/status?code=404", BINARY, True, "value", "integer"]
    expected += ["body body_size cookies headers status_code url", True]
    assert await run(tmp_path, base, body) == expected


async def test_calling_a_text_stays_an_error(tmp_path: Path, base: str) -> None:
    """Only the body of a response, called as its method, answers."""
    body = """local r = http_client.get(base .. "/status?code=200")
    local function fails(f) local ok, e = pcall(f) return e:match("attempt.*") end
    return { fails(function() return ("x")() end), fails(function() return r.body() end),
        fails(function() return r:url() end) }"""
    text = "attempt to call a string value"
    assert await run(tmp_path, base, body) == [text] * 3


async def test_options(tmp_path: Path, base: str) -> None:
    """Headers, query, cookies, auth, body and form."""
    body = (
        SEE
        + r"""local r = see(http_client.post(base .. "/p?a=1", { headers = { ["X-One"] = "1", Two
            = 2 },
        query = { q = "x y", n = 5, list = { "a", "b" } }, cookies = { c = "v" },
        auth = { user = "u", pass = "p" }, body = "\0\xff text", timeout = "5s" }))
    local f = see(http_client.post(base, { form = { name = "a b", n = 1 }, timeout = 5 }))
    local plain = see(http_client.get(base))
    return { r, f, plain }"""
    )
    r, f, plain = await run(tmp_path, base, body)
    assert r["query"] == {"a": "1", "q": "x y", "n": "5", "list": "a"}
    assert (r["headers"]["x-one"], r["headers"]["two"], r["headers"]["cookie"]) == ("1", "2", "c=v")
    assert r["headers"]["authorization"] == f"Basic {base64.b64encode(b'u:p').decode()}"
    assert r["body"] == "\0\xff text"
    assert "content-type" not in r["headers"]
    assert f["body"] in ("name=a+b&n=1", "n=1&name=a+b")
    assert f["headers"]["content-type"] == "application/x-www-form-urlencoded"
    assert plain["headers"]["user-agent"].startswith("luaflow/")


async def test_files(tmp_path: Path, base: str) -> None:
    """A form of several parts."""
    body = (
        SEE
        + """return see(http_client.post(base, { form = { title = "t" }, files = {
        { name = "f", filename = "a.txt", content = "data", content_type = "text/x" } } }))"""
    )
    told = await run(tmp_path, base, body)
    assert told["headers"]["content-type"].startswith("multipart/form-data")
    for part in ('name="title"', 'name="f"; filename="a.txt"', "text/x", "\r\n\r\ndata\r\n"):
        assert part in told["body"]


async def test_bad_options_are_invalid(tmp_path: Path, base: str) -> None:
    """Refused before anything is sent."""
    body = r"""local function kind(...) local v, e = http_client.request(...) return v == nil and
        e:kind() end
    return { kind("GET", ""), kind("GET", "ftp://x/"), kind("GET", "no url"), kind("GET", "http://"),
        kind("", base), kind("GE T", base), kind("GET", base, 5), kind("GET", base, { timeout = -1
            }),
        kind("GET", base, { timeout = "soon" }), kind("GET", base, { headers = 5 }),
        kind("GET", base, { headers = { a = "x\r\nb: c" } }), kind("GET", base, { auth = {} }),
        kind("POST", base, { files = { {} } }), kind("GET", base, { max_response_body = -5 }),
        kind("GET", base, { overlay_network = "x" }), kind("POST", base, { body = 5 }),
        kind("GET", base, { tls = { cert = "x" } }), kind("GET", base, { tls = { ca = "x" } }),
        kind("GET", "http://[::1"), kind("GET", base, { query = { a = { b = 1 } } }) }"""
    assert await run(tmp_path, base, body) == ["Invalid"] * 20


async def test_failures_of_the_network(tmp_path: Path, base: str) -> None:
    """Internal, and worth another try; too much data is not."""
    body = """local function told(...)
        local v, e = http_client.get(...)
        return { v == nil, e:kind(), e:retryable() }
    end
    return { told("http://127.0.0.1:1/"), told("http://name.invalid/"),
        told(base .. "/slow", { timeout = 0.05 }), told(base .. "/loop"),
        told(base .. "/binary", { max_response_body = 100 }) }"""
    again = [True, "Internal", True]
    expected = [again] * 4 + [[True, "Internal", False]]
    assert await run(tmp_path, base, body) == expected


async def test_redirects(tmp_path: Path, base: str) -> None:
    """303 and its like become GET, 307 repeats; secrets do not follow to another host."""
    other = base.replace("127.0.0.1", "localhost")
    body = (
        SEE
        + f"""local other = "{other}"
    local function to(code, where, options)
        options.query = {{ code = code, url = where }}
        local told, r = see(http_client.post(base .. "/to", options))
        return {{ told.method, told.body, told.path, r.url, told.headers.authorization or "none",
            told.headers["x-keep"] or "none" }}
    end
    local function secret() return {{ body = "b", headers = {{ ["X-Keep"] = "k" }}, auth = {{ user
        = "u" }} }} end
    return {{ to(303, "/next", secret()), to(307, "/next", secret()), to(302, other .. "/away",
        secret()) }}"""
    )
    basic = f"Basic {base64.b64encode(b'u:').decode()}"
    assert await run(tmp_path, base, body) == [
        ["GET", "", "/next", f"{base}/next", basic, "k"],
        ["POST", "b", "/next", f"{base}/next", basic, "k"],
        ["GET", "", "/away", f"{other}/away", "none", "k"],
    ]


async def test_batches(tmp_path: Path, base: str) -> None:
    """Side by side; each place has its response or its error."""
    body = """local all, none = http_client.request_batch({ { "GET", base .. "/1" }, { "POST",
        base, { body = "x" } } })
    local some, errs = http_client.request_batch({ { "GET", base .. "/1" }, { "GET",
        "http://127.0.0.1:1" } })
    local function kind(list) local v, e = http_client.request_batch(list) return v == nil and
        e:kind() end
    return { json.decode(all[1].body).path, json.decode(all[2]:body()).body, none == nil,
        some[1]:status(), some[2] == nil, errs[1] == nil, errs[2]:kind(), errs[2]:retryable(),
        kind(5), kind({ 5 }), kind({ { "GET" } }), kind({ { "GET", base, { stream = true } } }),
        #http_client.request_batch({}) }"""
    expected = ["/1", "x", True, 200, True, True, "Internal", True]
    assert await run(tmp_path, base, body) == [*expected, *["Invalid"] * 4, 0]


async def test_streams(tmp_path: Path, base: str) -> None:
    """Read in pieces; nothing more at the end; closed once or with the call."""
    body = """local r = http_client.get(base .. "/binary", { stream = true })
    local first, rest = r.stream:read(100), {}
    while true do
        local chunk, err = r.stream:read(300)
        if not chunk then break end
        rest[#rest + 1] = chunk
    end
    local a, b = r.stream:close(), r.stream:close()
    local open = http_client.get(base .. "/binary", { stream = true })
    return { #first, first .. table.concat(rest), r.body == nil, r.body_size, a, b,
        select(2, r.stream:read()):kind(), select(2, open.stream:read(-1)):kind() }"""
    expected = [100, BINARY, True, -1, True, True, "Internal", "Invalid"]
    assert await run(tmp_path, base, body) == expected


async def test_scanning_a_stream(tmp_path: Path, base: str) -> None:
    """Lines, words, bytes and characters; the end is no error; a stream of the net is only read."""
    body = r"""local function open(text, times)
        local query = { text = text, times = times or 1 }
        return http_client.get(base .. "/text", { query = query, stream = true }).stream
    end
    local function all(split, text)
        local scanner, out = open(text):scanner(split), {}
        while scanner:scan() do out[#out + 1] = scanner:text() end
        out[#out + 1] = scanner:err() == nil and scanner:text() == "" and "end"
        return out
    end
    local long = open("a", 70000)
    local scanner = long:scanner()
    local more, err = scanner:scan()
    local stat = long:stat()
    return { all("lines", "a\r\nb\n\nc"), all("words", "  one two\n three "), all("bytes", "xy"),
        all("runes", "aé€"), all("lines", ""), more, err:kind(), scanner:err() ~= nil,
        select(2, long:scanner("odd")):kind(), select(2, long:seek("set", 0)):kind(),
        select(2, long:write("x")):kind(), stat.size, stat.position > 65536, stat.seekable }"""
    got = await run(tmp_path, base, body)
    assert got[:5] == [
        ["a", "b", "", "c", "end"],
        ["one", "two", "three", "end"],
        ["x", "y", "end"],
        ["a", "é", "€", "end"],
        ["end"],
    ]
    internal = "Internal"
    assert got[5:] == [False, internal, True, "Invalid", internal, internal, -1, True, False]


async def test_texts_in_urls(tmp_path: Path) -> None:
    """As queries write them."""
    body = r"""local h = http_client
    return { h.encode_uri("hello world&x=é"), h.decode_uri("hello+world%26x%3D%C3%A9"),
        h.decode_uri(h.encode_uri("\0\xff+%")) == "\0\xff+%", select(2, h.decode_uri("%zz")):kind(),
        select(2, h.decode_uri("50%")):kind(), select(2, h.encode_uri(5)):kind() }"""
    expected = ["hello+world%26x%3D%C3%A9", "hello world&x=é", True, *["Invalid"] * 3]
    assert await in_function(tmp_path, body, modules=MODULES) == expected


async def test_sockets(tmp_path: Path, base: str) -> None:
    """A socket of this machine, where private addresses are allowed."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    path = tmp_path / "s.sock"
    await web.UnixSite(runner, str(path)).start()
    body = f"""return json.decode(http_client.get("http://any/x", {{ unix_socket = "{path}"
        }}).body).path"""
    assert await run(tmp_path, base, body) == "/x"
    await runner.cleanup()


ALWAYS = ("169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "224.0.0.1", "0.0.0.0", "240.0.0.1")
WRAPPED = ("[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]")
PRIVATE = ("127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "[::1]", "[fd00::1]", "localhost")


@pytest.mark.parametrize("host", [*ALWAYS, *WRAPPED, *PRIVATE])
async def test_where_requests_may_not_go(
    tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses of the inside, in every spelling; those of clouds even where private ones may."""
    body = f"""local v, e = http_client.get("http://{host}:1/") return {{ v == nil, e:kind(),
        e:retryable() }}"""
    monkeypatch.delenv(egress.VARIABLE, raising=False)
    denied = [True, "PermissionDenied", False]
    assert await in_function(tmp_path, body, modules=MODULES) == denied
    if host in (*ALWAYS, *WRAPPED):
        monkeypatch.setenv(egress.VARIABLE, "allow")
        assert await in_function(tmp_path, body, modules=MODULES) == denied


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001"])
async def test_other_spellings_of_addresses(
    tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked up is checked as the address it turns out to be."""
    monkeypatch.delenv(egress.VARIABLE, raising=False)
    body = f"""return select(2, http_client.get("http://{host}:1/")):kind()"""
    kind = await in_function(tmp_path, body, modules=MODULES)
    assert kind in ("PermissionDenied", "Invalid")


async def test_a_redirect_is_checked_again(tmp_path: Path, base: str) -> None:
    """An answer cannot lead where the code may not go."""
    body = """return select(2, http_client.get(base .. "/to", { query = { url =
        "http://169.254.169.254/" } })):kind()
        .. select(2, http_client.get(base .. "/to", { query = { url = "file:///etc/passwd" }
            })):kind()"""
    assert await run(tmp_path, base, body) == "PermissionDeniedInvalid"


async def test_a_socket_is_private_too(tmp_path: Path) -> None:
    """Behind it may be the container runtime."""
    body = """return select(2, http_client.get("http://x/", { unix_socket = "/run/x.sock"
        })):kind()"""
    assert await in_function(tmp_path, body, modules=MODULES) == "PermissionDenied"


async def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address that was checked; one bad address refuses the name."""
    found = [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.5", 80))]

    async def resolve(*_args: Any, **_how: Any) -> list[Any]:
        return found

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(WorkflowFailed, match=r"private IP 10\.0\.0\.5"):
        await egress.look_up("rebind.example", 80, 0)
    found.pop()
    (only,) = await egress.look_up("rebind.example", 80, 0)
    assert (only["host"], only["hostname"]) == ("93.184.216.34", "rebind.example")


async def test_other_errors_of_a_call_are_not_swallowed(tmp_path: Path, base: str) -> None:
    """A call that raises fails; its open streams end with it."""
    body = """http_client.get(base .. "/binary", { stream = true }) error("no")"""
    with pytest.raises(WorkflowFailed, match="no"):
        await run(tmp_path, base, body)
