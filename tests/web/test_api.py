"""The HTTP API: what it answers, and how it says no."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
import pytest
from tests.support.engine import Engine, until, within
from tests.support.mutants import proves, replaced
from tests.web.support_web import LOCAL, Served

from luaflow.client.handle import Handle
from luaflow_web.api import ROOT, Api
from luaflow_web.openapi import document

FLOW = """
local function main(a)
  local ch = process.listen("go")
  local by = ch:receive()
  return {a = a, by = by}
end
"""
FAILS = "local function main() return nil, errors.new({message = 'no', kind = 'Conflict'}) end"
RUNS = f"{ROOT}/workflows"


async def api(engine: Engine, *, worker: bool = True) -> Served:
    """The API of a namespace with two types, and a worker."""
    await engine.deploy({"flow": "process = require('process')" + FLOW, "fails": FAILS})
    if worker:
        await engine.worker()
    return Served(engine, None, api=LOCAL)


async def test_the_life_of_a_workflow(engine: Engine) -> None:
    """Started, described, listed, signalled, awaited, read."""
    async with await api(engine) as http:
        body = {"type": "app:flow", "workflow_id": "w/1", "args": [7], "memo": {"m": 1}}
        async with http.client.post(RUNS, json=body) as response:
            assert response.status == 201
            started = await response.json()
            assert response.headers["Location"] == f"{RUNS}/w%2F1"
        assert started["workflow_id"] == "w/1"
        assert started["pid"] == "{app:client@app:worker|w/1}"
        where = f"{RUNS}/w%2F1"
        status, described = await http.json("GET", where)
        assert (status, described["status"], described["memo"]) == (200, "running", {"m": 1})
        _, listed = await http.json("GET", RUNS, params={"query": "status = 'running'"})
        assert [run["run_id"] for run in listed["workflows"]] == [started["run_id"]]
        assert await http.json("GET", f"{where}/result?wait=0") == (202, {"status": "running"})
        waiting = asyncio.create_task(http.json("GET", f"{where}/result"))
        told = {"name": "go", "input": "me"}
        assert (await http.json("POST", f"{where}/signal", json=told))[0] == 200
        result = {"a": 7, "by": "me"}
        assert await within(waiting) == (200, {"status": "completed", "result": result})
        _, history = await http.json("GET", f"{where}/history?limit=2")
        assert [event["id"] for event in history["events"]] == [1, 2]
        assert history["next"] == 2
        _, rest = await http.json("GET", f"{where}/history?after=2")
        assert rest["events"][-1]["type"] == "WorkflowExecutionCompleted"
        assert (rest["events"][0]["id"], rest["next"]) == (3, None)


async def test_a_workflow_that_fails_is_an_answer(engine: Engine) -> None:
    """Its status and failure, with 200: the question was answered."""
    async with await api(engine) as http:
        await http.json("POST", RUNS, json={"type": "app:fails", "workflow_id": "w"})
        status, answer = await http.json("GET", f"{RUNS}/w/result")
    assert status == 200
    assert answer["status"] == "failed"
    assert (answer["error"]["kind"], answer["error"]["message"]) == ("Conflict", "no")


async def test_cancel_and_terminate(engine: Engine) -> None:
    """A request to cancel is in the history; a terminated run says why."""
    async with await api(engine) as http:
        await http.json("POST", RUNS, json={"type": "app:flow", "workflow_id": "w"})
        assert (await http.json("POST", f"{RUNS}/w/cancel", json={"reason": "late"}))[0] == 200
        await until(engine, await _handle(engine, "w"), "WorkflowExecutionCancelRequested")
        assert (await http.json("POST", f"{RUNS}/w/terminate", data=b""))[0] == 200
        _, answer = await http.json("GET", f"{RUNS}/w/result")
        assert (answer["status"], answer["error"]["kind"]) == ("terminated", "Canceled")
        status, answer = await http.json("POST", f"{RUNS}/w/terminate")
        assert (status, answer["error"]["kind"]) == (409, "Refused")


async def _handle(engine: Engine, workflow_id: str) -> Handle:
    run = await engine.client.get_handle(workflow_id).describe()
    return engine.client.get_handle(workflow_id, run["run_id"])


async def events(response: Any, count: int) -> list[tuple[int, str, dict[str, Any]]]:
    """The next server-sent events: id, type, data."""
    found: list[tuple[int, str, dict[str, Any]]] = []
    while len(found) < count:
        text = (await within(response.content.readuntil(b"\n\n"))).decode()
        match = re.fullmatch(r"id: (\d+)\nevent: (\w+)\ndata: (.*)\n\n", text)
        if match:
            found.append((int(match[1]), match[2], orjson.loads(match[3])))
    return found


async def test_a_history_is_followed(engine: Engine) -> None:
    """Events come as they happen; who comes back goes on after the last one it has."""
    follow = {"Accept": "text/event-stream"}
    async with await api(engine) as http:
        await http.json("POST", RUNS, json={"type": "app:flow", "workflow_id": "w"})
        async with http.client.get(f"{RUNS}/w/history", headers=follow) as response:
            assert response.content_type == "text/event-stream"
            (first,) = await events(response, 1)
            assert first[:2] == (1, "WorkflowExecutionStarted")
            assert first[2]["workflow_id"] == "w"
        again = follow | {"Last-Event-ID": "1"}
        async with http.client.get(f"{RUNS}/w/history", headers=again) as response:
            await http.json("POST", f"{RUNS}/w/signal", json={"name": "go"})
            last = 1
            while True:
                ((last, type_, _),) = await events(response, 1)
                if type_ == "WorkflowExecutionCompleted":
                    break
            assert await within(response.content.read()) == b""
        done = follow | {"Last-Event-ID": str(last)}
        assert (await http.text("GET", f"{RUNS}/w/history", headers=done))[0] == 204


async def test_only_so_many_follow(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a connection, so there is a limit; who leaves makes room."""
    monkeypatch.setattr("luaflow_web.api.FOLLOWERS", 1)
    headers = {"Accept": "text/event-stream"}
    async with await api(engine) as http:
        await http.json("POST", RUNS, json={"type": "app:flow", "workflow_id": "w"})
        async with http.client.get(f"{RUNS}/w/history", headers=headers) as response:
            await events(response, 1)
            status, answer = await http.json("GET", f"{RUNS}/w/history", headers=headers)
            assert (status, answer["error"]["kind"]) == (503, "Unavailable")
            await http.json("POST", f"{RUNS}/w/signal", json={"name": "go"})
            await within(response.content.read())
        async with http.client.get(f"{RUNS}/w/history", headers=headers) as response:
            assert len(await events(response, 3)) == 3


async def test_a_stop_ends_what_is_followed(engine: Engine) -> None:
    """Neither a history nor a result that is waited for holds up the end of the process."""
    async with await api(engine) as http:
        await http.json("POST", RUNS, json={"type": "app:flow", "workflow_id": "w"})
        headers = {"Accept": "text/event-stream"}
        response = await http.client.get(f"{RUNS}/w/history", headers=headers)
        waiting = asyncio.create_task(http.json("GET", f"{RUNS}/w/result"))
        await events(response, 1)
        await asyncio.wait_for(http.server.stop(), 4)
        assert (await within(waiting))[0] == 202
        await within(response.content.read())
        response.close()


@pytest.mark.parametrize(
    ("method", "path", "how", "status", "kind", "says"),
    [
        ("POST", "", {"json": {"type": "app:nope"}}, 404, "NotFound", "app:nope"),
        ("POST", "", {"json": {}}, 400, "Invalid", "type must be text"),
        ("POST", "", {"data": b"{"}, 400, "Invalid", "not JSON"),
        ("POST", "", {"data": b"[1]"}, 400, "Invalid", "must be a JSON object"),
        ("POST", "", {"json": {"type": "x", "typo": 1}}, 400, "Invalid", "'typo'"),
        ("POST", "", {"json": {"type": "app:flow", "args": 1}}, 400, "Invalid", "args must be"),
        (
            *("POST", "", {"json": {"type": "app:flow", "args": [], "input": 1}}),
            *(400, "Invalid", "not both"),
        ),
        ("POST", "", {"json": {"type": "x", "options": []}}, 400, "Invalid", "options must be"),
        ("GET", "?limit=0", {}, 400, "Invalid", "limit must be a number from 1 to 1000"),
        ("GET", "?limit=x", {}, 400, "Invalid", "limit must be"),
        ("GET", "?query=status%20%3D", {}, 400, "Invalid", ""),
        ("GET", "?page=x", {}, 400, "Invalid", ""),
        ("GET", "/nobody", {}, 404, "NotFound", "nobody"),
        ("GET", "/nobody/result?wait=0", {}, 404, "NotFound", "nobody"),
        ("GET", "/nobody/result?wait=nan", {}, 400, "Invalid", "wait must be"),
        ("GET", "/nobody/history", {}, 404, "NotFound", "nobody"),
        (
            *("GET", "/nobody/history", {"headers": {"Accept": "text/event-stream"}}),
            *(404, "NotFound", "nobody"),
        ),
        ("POST", "/nobody/signal", {"json": {"name": "go"}}, 404, "NotFound", "nobody"),
        ("POST", "/nobody/signal", {"json": {}}, 400, "Invalid", "name must be text"),
        ("POST", "/nobody/cancel", {}, 404, "NotFound", "nobody"),
        ("GET", "/a%7Bb", {}, 400, "Invalid", ""),
        ("DELETE", "", {}, 405, "Invalid", "answers GET, HEAD, OPTIONS, POST, not DELETE"),
        ("GET", "/a/b/c", {}, 404, "NotFound", "openapi.json"),
    ],
)
async def test_errors(
    engine: Engine, method: str, path: str, how: dict[str, Any], status: int, kind: str, says: str
) -> None:
    """Each is one object with kind and message, and the status that fits."""
    async with await api(engine, worker=False) as http:
        found, answer = await http.json(method, RUNS + path, **how)
    assert (found, answer["error"]["kind"]) == (status, kind), answer
    assert says in answer["error"]["message"]


async def test_an_id_that_is_taken(engine: Engine) -> None:
    """The run that has it (200), or AlreadyExists (409), as the policy says."""
    async with await api(engine, worker=False) as http:
        body = {"type": "app:flow", "workflow_id": "w"}
        first = await http.json("POST", RUNS, json=body | {"request_id": "r"})
        again = await http.json("POST", RUNS, json=body | {"request_id": "r"})
        assert again[1] == first[1]
        assert await http.json("POST", RUNS, json=body) == (200, first[1])
        fail = {"options": {"workflow.id_conflict_policy": "fail"}}
        status, answer = await http.json("POST", RUNS, json=body | fail)
        assert (status, answer["error"]["kind"]) == (409, "AlreadyExists")
        await http.json("POST", f"{RUNS}/w/terminate")


async def test_too_large_a_body(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused while it comes, with 413."""
    monkeypatch.setattr("luaflow_web.api.BODY_BYTES", 100)
    async with await api(engine, worker=False) as http:
        status, answer = await http.json("POST", RUNS, data=b" " * 101)
    assert (status, "more than 100 bytes" in answer["error"]["message"]) == (413, True)


@pytest.mark.parametrize("verb", ["query", "update"])
async def test_what_handles_cannot_do_yet(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """501 until a handle can; then what it answers."""
    monkeypatch.delattr(Handle, verb, raising=False)
    async with await api(engine, worker=False) as http:
        body = {"name": "total", "args": [1]}
        status, answer = await http.json("POST", f"{RUNS}/w/{verb}", json=body)
        assert (status, answer["error"]["kind"]) == (501, "Unimplemented")

        async def asked(handle: Handle, name: str, *args: Any) -> Any:
            return {"id": handle.workflow_id, "name": name, "args": list(args)}

        monkeypatch.setattr(Handle, verb, asked, raising=False)
        status, answer = await http.json("POST", f"{RUNS}/w/{verb}", json=body)
        assert (status, answer["result"]) == (200, {"id": "w", "name": "total", "args": [1]})


@proves(replaced(Api, "_check_site", lambda *_: None))
async def test_pages_of_other_sites_are_refused(engine: Engine) -> None:
    """A browser is not led to act here: by a foreign Origin, or a name that points to this."""
    async with await api(engine, worker=False) as http:
        body = {"type": "app:flow", "workflow_id": "w"}
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            status, answer = await http.json("POST", RUNS, json=body, headers=headers)
            assert (status, answer["error"]["kind"]) == (403, "PermissionDenied")
        own = {"Origin": http.url}
        assert (await http.json("GET", RUNS, headers=own)) == (
            200,
            {"workflows": [], "next_page": None},
        )


async def test_the_description_is_that_of_the_routes(engine: Engine) -> None:
    """OpenAPI names each path and method that is answered, and no other."""
    async with await api(engine, worker=False) as http:
        _, described = await http.json("GET", f"{ROOT}/openapi.json")
        text = await http.text("GET", "/")
        routes = http.server._api._routes  # type: ignore[union-attr]
    assert described == document()
    assert "/api/v1/openapi.json" in text[1]
    for path, methods in described["paths"].items():
        found = routes.find(ROOT + path.replace("{id}", "w"))
        assert found
        assert {name.lower() for name in found.targets} == set(methods)
    assert len(described["paths"]) == 9
    names = set(re.findall(r"#/components/schemas/(\w+)", orjson.dumps(described).decode()))
    assert names == set(described["components"]["schemas"])
