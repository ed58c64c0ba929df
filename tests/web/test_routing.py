"""Which endpoint answers, and what middlewares do on the way."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.engine import Engine
from tests.web.support_web import Served, write_app

from luaflow_web.routing import Routes

ME = """\
local req = http.request()
http.response():json({route = "%s", id = req:param("id")})
"""


@pytest.fixture
def routes() -> Routes[str]:
    """Routes that could all answer the same paths."""
    found: Routes[str] = Routes()
    for method, path in (
        *(
            ("GET", "/a/{id}"),
            ("POST", "/a/new"),
            ("GET", "/a/{id}/x"),
            ("GET", "/a/new/{rest...}"),
        ),
        *(("GET", "/{all...}"), ("PUT", "/a/{key}")),
    ):
        found.add(method, path, f"{method} {path}")
    return found


@pytest.mark.parametrize(
    ("method", "path", "answer", "params"),
    [
        ("GET", "/a/7", "GET /a/{id}", {"id": "7"}),
        ("PUT", "/a/7", "PUT /a/{key}", {"key": "7"}),
        ("POST", "/a/new", "POST /a/new", {}),
        ("GET", "/a/new", "GET /a/new/{rest...}", {}),
        ("GET", "/a/new/x", "GET /a/new/{rest...}", {}),
        ("GET", "/a/7/x", "GET /a/{id}/x", {"id": "7"}),
        ("GET", "/a/7/", "GET /a/{id}", {"id": "7"}),
        ("GET", "/a/%2e%2e", "GET /a/{id}", {"id": ".."}),
        ("HEAD", "/a/7", "GET /a/{id}", {"id": "7"}),
        ("GET", "/", "GET /{all...}", {}),
        ("GET", "/a//x", "GET /{all...}", {}),
    ],
)
def test_the_closest_route_answers(
    routes: Routes[str], method: str, path: str, answer: str, params: dict[str, str]
) -> None:
    """A text before a parameter before the rest, looked at for each method alone."""
    found = routes.find(path)
    assert found
    assert found.of(method) == (answer, params)


def test_methods_that_nothing_answers(routes: Routes[str]) -> None:
    """The path is known: all its methods are told."""
    found = routes.find("/a/new")
    assert found
    assert found.of("DELETE") is None
    assert found.allow == "GET, HEAD, OPTIONS, POST, PUT"


async def served(engine: Engine, **router: Any) -> Served:
    app = write_app(
        engine.folder,
        {"show": ME % "show", "make": ME % "make", "trace": ME % "trace"},
        {"GET /items/{id}": "show", "POST /items": "make", "TRACE /items": "trace"},
        router={"prefix": "/api", **router},
    )
    return Served(engine, app)


async def test_nothing_and_not_so(engine: Engine) -> None:
    """404 for a path nobody answers, 405 with Allow for another method, OPTIONS says which."""
    async with await served(engine) as http:
        assert await http.lua("/api/items/7") == {"route": "show", "id": "7"}
        assert await http.json("GET", "/items/7") == (404, {"error": "nothing answers /items/7"})
        async with http.client.delete("/api/items/7") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
            assert "answers GET, HEAD, OPTIONS, not DELETE" in (await response.json())["error"]
        async with http.client.options("/api/items") as response:
            assert (response.status, response.headers["Allow"]) == (204, "OPTIONS, POST, TRACE")
        assert await http.lua("/api/items", "TRACE") == {"route": "trace"}


PREFLIGHT = {
    "Origin": "https://shop.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "X-Token",
}


async def test_cors_open_to_all(engine: Engine) -> None:
    """Without options: any origin, without credentials, for a day."""
    async with await served(engine, middleware=["cors"]) as http:
        async with http.client.options("/api/items", headers=PREFLIGHT) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
            assert response.headers["Access-Control-Allow-Headers"] == "X-Token"
            assert response.headers["Access-Control-Max-Age"] == "86400"
        async with http.client.get("/api/items/7", headers=PREFLIGHT) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in response.headers
        async with http.client.delete("/api/items/7", headers=PREFLIGHT) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (405, "*")


async def test_cors_for_some(engine: Engine) -> None:
    """Named origins with credentials: each is told alone, others nothing."""
    options = {
        "cors.allow.origins": ["https://shop.example"],
        "cors.allow.methods": "GET",
        "cors.allow.headers": "X-A, X-B",
        "cors.allow.credentials": True,
        "cors.max.age": 60,
    }
    async with await served(engine, middleware=["cors"], options=options) as http:
        async with http.client.options("/api/items", headers=PREFLIGHT) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://shop.example"
            assert response.headers["Access-Control-Allow-Credentials"] == "true"
            assert response.headers["Access-Control-Allow-Methods"] == "GET"
            assert response.headers["Access-Control-Allow-Headers"] == "X-A, X-B"
            assert response.headers["Access-Control-Max-Age"] == "60"
            assert response.headers["Vary"] == "Origin"
        for path, method in (("/api/items", "OPTIONS"), ("/api/items/7", "GET")):
            other = PREFLIGHT | {"Origin": "https://evil.example"}
            async with http.client.request(method, path, headers=other) as response:
                assert not [name for name in response.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    ("headers", "remote"),
    [
        ({"X-Forwarded-For": "203.0.113.7, 10.0.0.1"}, "203.0.113.7"),
        ({"X-Real-IP": "2001:db8::1", "X-Forwarded-For": "203.0.113.7"}, "2001:db8::1"),
        ({"X-Forwarded-For": "nobody"}, "127.0.0.1:"),
        ({}, "127.0.0.1:"),
    ],
)
async def test_real_ip(engine: Engine, headers: dict[str, str], remote: str) -> None:
    """Who asks, as the proxy in front says; what is no address is not believed."""
    code = "http.response():json({who = http.request():remote_addr()})"
    app = write_app(
        engine.folder, {"who": code}, {"GET /": "who"}, router={"middleware": ["real_ip"]}
    )
    async with Served(engine, app) as http:
        assert (await http.lua("/", headers=headers))["who"].startswith(remote)


async def test_an_address_is_not_believed_without_real_ip(engine: Engine) -> None:
    """The header of a client says nothing where no router asks for it."""
    code = "http.response():json({who = http.request():remote_addr()})"
    app = write_app(engine.folder, {"who": code}, {"GET /": "who"})
    async with Served(engine, app) as http:
        found = await http.lua("/", headers={"X-Real-IP": "203.0.113.7"})
        assert found["who"].startswith("127.0.0.1:")


async def test_metrics(engine: Engine) -> None:
    """Requests by route and status, with their time; other routers are not measured."""
    async with await served(engine, middleware=["metrics"]) as http:
        await http.lua("/api/items/7")
        await http.lua("/api/items/8")
        labels = {"route": "GET /api/items/{id}"}
        value = http.registry.get_sample_value
        assert value("luaflow_http_requests_total", labels | {"code": "200"}) == 2
        assert value("luaflow_http_request_seconds_count", labels) == 2
