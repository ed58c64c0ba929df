"""A request's trace goes on: in what the API starts, and in what the code of an endpoint starts."""

from __future__ import annotations

from tests.support.engine import Engine
from tests.support.mutants import proves, replaced
from tests.support.spans import Spans, hex_of, needs_sdk, parent_of, spans, trace_of
from tests.web.support_web import LOCAL, Served, write_app

from luaflow.observe import tracing
from luaflow_web.api import ROOT

__all__ = ["spans"]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "shop=1"}
FLOW = "local function main() return true end"
SPAWNS = """
local http = require('http')
local started, err = process.spawn('app:flow', 'app:worker')
http.response():write_json({started = tostring(started), err = err and tostring(err)})
"""


async def start(http: Served, engine: Engine, headers: dict[str, str]) -> object:
    """Start a run by the API; the trace that its history says it belongs to."""
    async with http.client.post(
        f"{ROOT}/workflows", json={"type": "app:flow"}, headers=headers
    ) as answer:
        assert answer.status == 201
        run = await answer.json()
    handle = engine.client.get_handle(run["workflow_id"], run["run_id"])
    return (await engine.history(handle))[0].body.get("headers")


@proves(replaced(tracing, "read_headers", lambda _: None))
async def test_a_request_without_opentelemetry_here(engine: Engine) -> None:
    """What came is stored as it came; a broken header, or none, is no trace."""
    await engine.deploy({"flow": FLOW})
    async with Served(engine, None, api=LOCAL) as http:
        for headers, expected in ((HEADERS, HEADERS), ({"traceparent": "x"}, None), ({}, None)):
            assert await start(http, engine, headers) == expected


@needs_sdk
async def test_a_request_that_is_traced_here(engine: Engine, spans: Spans) -> None:
    """The start is a span under the caller's."""
    await engine.deploy({"flow": FLOW})
    async with Served(engine, None, api=LOCAL) as http:
        stored = await start(http, engine, HEADERS)
    span = spans.one("StartWorkflow:app:flow")
    assert (trace_of(span), parent_of(span)) == (TRACE, "00f067aa0ba902b7")
    assert stored == {**HEADERS, "traceparent": f"00-{TRACE}-{hex_of(span)}-01"}


@needs_sdk
async def test_what_an_endpoint_starts(engine: Engine, spans: Spans) -> None:
    """Its code says nothing of the trace, and the start is in it."""
    routes, flows = {"POST /begin": "begin"}, {"flow": FLOW}
    app = write_app(engine.folder, {"begin": SPAWNS}, routes, workflows=flows)
    await engine.deploy()
    async with Served(engine, app) as http:
        answer = await http.lua("/begin", "POST", headers=HEADERS)
    assert "err" not in answer
    assert trace_of(spans.one("StartWorkflow:app:flow")) == TRACE
