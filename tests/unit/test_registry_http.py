"""HTTP entries of an app: what is read, and what is said of mistakes, by file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.apps import write_app

from luaflow.registry import RegistryErrors, check_app, load_app
from luaflow.registry.app import App
from luaflow.registry.http import (
    Address,
    HttpEndpointEntry,
    HttpRouterEntry,
    HttpServiceEntry,
    parse_address,
    parse_path,
)

GOOD = """\
namespace: app
entries:
  - name: gateway
    kind: http.service
    addr: ":8080"
    timeouts: {read: 5s, write: 30s, idle: 60s}
    host: {buffer_size: 1024, worker_count: 4}
    lifecycle: {auto_start: true, stop_timeout: 3s}
  - name: api
    kind: http.router
    meta: {server: gateway}
    prefix: /api/
    middleware: [cors, real_ip]
    options: {cors.allow.origins: "*"}
  - name: show
    kind: function.lua
    source: "return function() end"
  - name: show.endpoint
    kind: http.endpoint
    meta: {router: app:api}
    method: get
    path: /orders/{id}
    func: show
"""
MORE = GOOD.count("\n")


def load(folder: Path, text: str) -> App:
    return load_app(write_app(folder, {"src/app.yaml": text}))


def errors(folder: Path, text: str) -> list[str]:
    with pytest.raises(RegistryErrors) as caught:
        load(folder, text)
    return [str(error).replace(f"{folder}/src/", "") for error in caught.value.errors]


def test_entries_are_typed(tmp_path: Path) -> None:
    """Addresses, durations and references are read; nothing is said of a good app."""
    app = load(tmp_path, GOOD)
    service, router = app.entries["app:gateway"], app.entries["app:api"]
    assert isinstance(service, HttpServiceEntry)
    assert service.address == Address("", 8080)
    timeouts = (service.read_timeout_ms, service.write_timeout_ms, service.idle_timeout_ms)
    assert timeouts == (5000, 30_000, 60_000)
    assert (service.lifecycle.auto_start, service.lifecycle.stop_timeout_ms) == (True, 3000)
    assert isinstance(router, HttpRouterEntry)
    assert (router.server, router.prefix) == ("app:gateway", "/api")
    assert router.middleware == ("cors", "real_ip")
    assert router.options == {"cors.allow.origins": "*"}
    endpoint = app.entries["app:show.endpoint"]
    assert isinstance(endpoint, HttpEndpointEntry)
    assert (endpoint.method, endpoint.route) == ("GET", "/orders/{id}")
    assert (endpoint.func, endpoint.router) == ("app:show", "app:api")
    assert not check_app(app)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('addr: ":8080"', "", 4, "addr is required \u2013 add addr"),
        ('addr: ":8080"', "addr: 8080", 5, "addr must be an address to listen on, got 8080"),
        ('addr: ":8080"', 'addr: ":99999"', 5, "got :99999"),
        ('addr: ":8080"', "addr: http://x:80/", 5, "got http://x:80/"),
        ("read: 5s", "read: soon", 6, "timeouts.read"),
        ("prefix: /api/", "prefix: api", 12, "prefix api must begin with /"),
        ("server: gateway", "server: gatewai", 11, "did you mean app:gateway?"),
        ("server: gateway", "server: show", 11, "server app:show of app:api does not exist"),
        ("{server: gateway}", "{}", 11, "meta.server is required \u2013 add meta: {server:"),
        ("router: app:api", "router: app:apy", 20, "did you mean app:api?"),
        ("{router: app:api}", "{}", 20, "meta.router is required"),
        ("method: get", "method: FETCH", 21, "method must be one of GET, POST"),
        ("method: get", "", 19, "method is required"),
        ("path: /orders/{id}", "path: orders", 22, "path orders must begin with /"),
        ("path: /orders/{id}", "path: /a/{b}c", 22, "a whole part must be {name}"),
        ("path: /orders/{id}", "path: /a//b", 22, "two slashes in a row"),
        ("path: /orders/{id}", "path: /{a...}/b", 22, "it takes all the rest"),
        ("path: /orders/{id}", "path: /{a}/{a}", 22, "the parameter a twice"),
        ("path: /orders/{id}", "path: /a b", 22, "no path of a request is written so"),
        ("func: show", "func: sho", 23, "did you mean app:show?"),
        ("func: show", "func: api", 23, "func app:api of app:show.endpoint does not exist"),
        ("func: show", "", 19, "func is required"),
    ],
)
def test_mistakes_have_a_line_and_a_remedy(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    """Each mistake is an error at its line, and the only one."""
    assert old in GOOD
    (error,) = errors(tmp_path, GOOD.replace(old, new))
    # a key that is missing is told at the entry, or at the key around it
    assert error.startswith(f"app.yaml:{line}: ") or (not new and error.startswith("app.yaml:")), (
        error
    )
    assert says in error


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            "  - {name: two, kind: http.service, addr: ':8080'}\n",
            ":8080 is that of app:gateway, too",
        ),
        (
            (
                "  - name: two\n    kind: http.endpoint\n    meta: {router: api}\n"
                "    method: GET\n    path: /orders/{number}/\n    func: show\n"
            ),
            "GET /api/orders/{number}/ is answered by app:show.endpoint, too",
        ),
        (
            (
                "  - {name: wf, kind: workflow.lua, source: 'return function() end'}\n"
                "  - name: two\n    kind: http.endpoint\n    meta: {router: api}\n"
                "    method: POST\n    path: /x\n    func: wf\n"
            ),
            "is a workflow \u2013 start it with process.spawn",
        ),
        (
            (
                "  - {name: py, kind: function.python, handler: 'a.b:c'}\n"
                "  - name: two\n    kind: http.endpoint\n    meta: {router: api}\n"
                "    method: POST\n    path: /x\n    func: py\n"
            ),
            "is a function.python \u2013 let a function.lua answer",
        ),
        (
            "  - {name: two, kind: http.service, addr: ':1', tls: {mode: auto}}\n",
            "tls.mode auto is not supported",
        ),
        (
            "  - {name: two, kind: http.service, addr: ':1', tls: {mode: manual, cert: a}}\n",
            "tls.mode manual needs cert and key",
        ),
        (
            (
                "  - name: two\n    kind: http.service\n    addr: ':1'\n"
                "    tls: {mode: manual, cert: a, key: b, client_auth: require}\n"
            ),
            "tls.client_auth needs to know who signs",
        ),
    ],
)
def test_entries_that_do_not_go_together(tmp_path: Path, more: str, says: str) -> None:
    """Two for one address, two for one request, handlers that cannot answer."""
    (error,) = errors(tmp_path, GOOD + more)
    assert says in error
    assert int(error.split(":")[1]) > MORE


@pytest.mark.parametrize(
    ("middleware", "says"),
    [
        ("[ratelimit]", "middleware: ratelimit does nothing in this release"),
        (
            "[corse]",
            "middleware: corse is not a known middleware and left out \u2013 did you mean cors?",
        ),
    ],
)
def test_middleware_that_does_nothing_is_a_warning(
    tmp_path: Path, middleware: str, says: str
) -> None:
    """Known but silent, or misspelt: the app loads, and says so."""
    app = load(tmp_path, GOOD.replace("[cors, real_ip]", middleware))
    (warning,) = check_app(app)
    assert says in str(warning)
    assert warning.line == 13


def test_static_files_are_still_ignored(tmp_path: Path) -> None:
    """`http.static` is kept, and a warning."""
    app = load(tmp_path, GOOD + "  - {name: files, kind: http.static}\n")
    (warning,) = app.warnings
    assert "http.static has no meaning for luaflow" in str(warning)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8080", ("", 8080)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:80", ("::1", 80)),
        ("8080", None),
        ("::1:80", None),
        ("a b:80", None),
        (":65536", None),
        ("x:", None),
    ],
)
def test_addresses(text: str, address: tuple[str, int] | None) -> None:
    """Host and port, or not an address; it is written back as it was."""
    found = parse_address(text)
    assert found == address
    assert found is None or str(found) == text


def test_paths() -> None:
    """Texts, parameters, the rest; a slash at the end says nothing."""

    def kinds(path: str) -> list[Any]:
        return [tuple(one) for one in parse_path(path)]

    assert kinds("/") == []
    assert kinds("/a/") == kinds("/a") == [("a", False, False)]
    assert kinds("/{id}/{rest...}") == [("id", True, False), ("rest", True, True)]
