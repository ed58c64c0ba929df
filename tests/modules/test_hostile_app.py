"""Functions of a hostile app: files outside of it, lines inside of lines, patterns without end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.modules.support_modules import in_function

from luaflow.domain.failure import Invalid
from luaflow_worker.modules import entries
from luaflow_worker.modules.http_options import read_request


def file_storage(path: str) -> list[dict[str, Any]]:
    """Two variables that are kept in a file."""
    return [
        {"name": "file", "kind": "env.storage.file", "file_path": path, "auto_create": True},
        {"name": "a", "kind": "env.variable", "variable": "A", "storage": "file"},
        {"name": "b", "kind": "env.variable", "variable": "B", "storage": "file"},
    ]


async def env(app: Path, body: str, path: str) -> Any:
    """Run a function beside such a file."""
    return await in_function(app, body, modules=("env",), entries=file_storage(path))


@pytest.mark.parametrize("how", ["..", "absolute", "link"])
async def test_a_file_of_variables_lies_in_the_app(tmp_path: Path, how: str) -> None:
    """Others are neither read nor written, whatever leads to them."""
    app, outside = tmp_path / "app", tmp_path / "outside"
    app.mkdir()
    outside.mkdir()
    (outside / "file").write_text("A=secret\n")
    if how == "link":
        (app / "inside").symlink_to(outside)
    path = {"..": "../outside/file", "absolute": f"{outside}/file", "link": "inside/file"}[how]
    body = """local value, e = env.get("A") local done, f = env.set("A", "x")
        return {value == nil, done == nil, e:kind(), f:kind()}"""
    assert await env(app, body, path) == [True, True, "PermissionDenied", "PermissionDenied"]
    assert (outside / "file").read_text() == "A=secret\n"


@pytest.mark.parametrize("end", ["\\n", "\\r", "\\x0b", "\\x0c", "\\x1c", "\\u{85}", "\\u{2028}"])
async def test_a_value_is_no_second_variable(tmp_path: Path, end: str) -> None:
    """What ends a line for whoever reads the file is refused."""
    body = f"""local done, e = env.set("A", "x{end}B=evil")
        return {{done == nil and e:kind(), (env.get("B")) == nil}}"""
    assert await env(tmp_path, body, "some.env") == ["Invalid", True]


async def test_variables_of_the_process_that_are_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are no UTF-8 do not end the function."""
    monkeypatch.setenv("LF_ODD", "a\udcff")
    storage = [
        {"name": "os", "kind": "env.storage.os"},
        {"name": "v", "kind": "env.variable", "variable": "LF_ODD", "storage": "os"},
    ]
    body = 'return {(env.get("LF_ODD")), env.get_all().LF_ODD}'
    assert await in_function(tmp_path, body, modules=("env",), entries=storage) == ["a\ufffd"] * 2


@pytest.mark.parametrize("pattern", ["(a+)+$", "a{99999999999999999999}", "(("])
async def test_patterns_of_searches(
    tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that never ends, one that Python cannot hold, one that is none: refused in words."""
    monkeypatch.setattr(entries, "SECONDS", 0.2)
    one = {"name": "z", "kind": "env.storage.memory", "meta": {"x": "a" * 40 + "!"}}
    body = f'return select(2, registry.find({{["~meta.x"] = "{pattern}"}})):kind()'
    began = time.thread_time()
    found = await in_function(tmp_path, body, modules=("registry",), entries=[one])
    assert found == "Invalid"
    assert time.thread_time() - began < 2


@pytest.mark.parametrize("name", ["a b", "a:b", "", "\u20ac", "a\r\nb"])
def test_names_of_headers(name: str) -> None:
    """What is no name could end as another header."""
    with pytest.raises(Invalid, match="is not the name of a header"):
        read_request("GET", "http://x/", {"headers": {name: "v"}})


def test_no_request_hides_in_a_body() -> None:
    """How long it is and how it goes is written by who sends it."""
    given = {"headers": {"Content-Length": "0", "transfer-encoding": "chunked", "X-A": "1"}}
    made = read_request("POST", "http://x/", {**given, "body": "GET / HTTP/1.1"})
    assert made.headers == {"X-A": "1"}
