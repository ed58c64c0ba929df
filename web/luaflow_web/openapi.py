"""The HTTP API as OpenAPI 3.1; a test holds it against the routes."""

from __future__ import annotations

from typing import Any, Final

import luaflow
from luaflow.domain.events import STATUSES

_TEXT: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}
_OBJECT: Final = {"type": "object"}
_ANY: Final[dict[str, Any]] = {}

_RUN: Final[list[dict[str, Any]]] = [
    {"name": "id", "in": "path", "required": True, "schema": _TEXT, "description": "Workflow id."},
    {
        "name": "run_id",
        "in": "query",
        "schema": _TEXT,
        "description": "One run of it; without, the one it has at the moment.",
    },
]
_PASSED: Final = {
    "args": {"type": "array", "items": _ANY, "description": "What is passed, in order."},
    "input": {"description": "The same for one value; give one of the two."},
}
_NAME: Final = {"name": {"type": "string", "minLength": 1}}
_REQUEST_ID: Final = {
    "request_id": {"type": "string", "description": "Requests of the same id are one request."}
}


def document() -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "luaflow",
            "version": luaflow.__version__,
            "description": "Workflows over HTTP. Values are those of the reference.",
        },
        "servers": [{"url": "/api/v1"}],
        "paths": {
            "/workflows": {"post": _start(), "get": _list()},
            "/workflows/{id}": {
                "get": _operation("What a run is and what it waits for.", _RUN, _ref("Workflow"))
            },
            "/workflows/{id}/result": {"get": _result()},
            "/workflows/{id}/history": {"get": _history()},
            "/workflows/{id}/signal": {
                "post": _told("Send a signal.", {**_NAME, **_PASSED, **_REQUEST_ID}, ["name"])
            },
            "/workflows/{id}/query": {"post": _asked("Ask the code of a run.")},
            "/workflows/{id}/update": {"post": _asked("Change a run and wait for its answer.")},
            "/workflows/{id}/cancel": {
                "post": _told("Ask a run to end.", {"reason": _TEXT, **_REQUEST_ID})
            },
            "/workflows/{id}/terminate": {"post": _told("End a run at once.", {"reason": _TEXT})},
        },
        "components": {"schemas": _schemas()},
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _operation(
    summary: str, parameters: list[dict[str, Any]], schema: dict[str, Any], status: str = "200"
) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": parameters,
        "responses": {status: _json(schema, "Done."), "default": _json(_ref("Error"), "An error.")},
    }


def _told(
    summary: str, properties: dict[str, Any], required: list[str] | None = None
) -> dict[str, Any]:
    found = _operation(summary, _RUN, _ref("Run"))
    return found | {"requestBody": _body(properties, required or [])}


def _asked(summary: str) -> dict[str, Any]:
    answer = {"type": "object", "properties": {"result": _ANY}}
    found = _operation(summary, _RUN, answer)
    found["responses"]["501"] = _json(_ref("Error"), "This release cannot do it.")
    return found | {"requestBody": _body({**_NAME, **_PASSED}, ["name"])}


def _body(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def _query(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": text}


def _start() -> dict[str, Any]:
    properties = {
        "type": {"type": "string", "description": "A workflow type, or the id of its entry."},
        **_PASSED,
        "workflow_id": {"type": "string", "description": "Made up where there is none."},
        "task_queue": _TEXT,
        "options": {"type": "object", "description": "Start options, as Lua code gives them."},
        "memo": _OBJECT,
        "search_attributes": _OBJECT,
        **_REQUEST_ID,
    }
    found = _operation("Start a workflow.", [], _ref("Started"), "201")
    text = "The workflow id ran already, and the policies say to use that run."
    found["responses"]["200"] = _json(_ref("Started"), text)
    return found | {"requestBody": _body(properties, ["type"])}


def _list() -> dict[str, Any]:
    page = {
        "type": "object",
        "properties": {
            "workflows": {"type": "array", "items": _ref("Workflow")},
            "next_page": {"type": ["string", "null"]},
            "damaged": {
                "type": "array",
                "items": {"type": "object"},
                "description": "Where runs cannot be read: workflow_id, run_id, message of each.",
            },
        },
    }
    parameters = [
        _query("query", _TEXT, "Which ones, such as: status = 'running'."),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "20 without."),
        _query("page", _TEXT, "The next_page of the page before."),
    ]
    return _operation("List runs, the newest first.", parameters, page)


def _result() -> dict[str, Any]:
    wait = _query("wait", {"type": "number", "minimum": 0, "maximum": 300}, "Seconds; 30 without.")
    found = _operation("Wait for the end of a run.", [*_RUN, wait], _ref("Result"))
    text = "It runs still: ask again."
    found["responses"]["202"] = _json(_ref("Result"), text)
    return found


def _history() -> dict[str, Any]:
    page = {
        "type": "object",
        "properties": {
            "events": {"type": "array", "items": _ref("Event")},
            "next": {"type": ["integer", "null"], "description": "The after of the next page."},
        },
    }
    parameters = [
        *_RUN,
        _query("after", _INTEGER, "Only events of a higher id."),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 5000}, "500 without."),
        {"name": "Last-Event-ID", "in": "header", "schema": _INTEGER, "description": "As after."},
    ]
    text = "The events of a run; as they come for a client that accepts text/event-stream."
    found = _operation(text, parameters, page)
    found["responses"]["200"]["content"]["text/event-stream"] = {"schema": _TEXT}
    found["responses"]["204"] = {"description": "The run is closed and its last event was sent."}
    return found


def _schemas() -> dict[str, Any]:
    failure = {
        "kind": _TEXT,
        "message": _TEXT,
        "retryable": {"type": ["boolean", "null"]},
        "details": {"type": ["object", "null"]},
    }
    workflow: dict[str, Any] = {
        **dict.fromkeys(("workflow_id", "run_id", "pid", "type", "task_queue", "bundle"), _TEXT),
        "status": {"enum": list(STATUSES)},
        "start_time": {"type": "string", "format": "date-time"},
        "close_time": {"type": ["string", "null"], "format": "date-time"},
        **dict.fromkeys(("history_length", "history_size", "attempt"), _INTEGER),
        "parent": {"type": ["object", "null"]},
        **dict.fromkeys(("memo", "search_attributes", "health"), _OBJECT),
        **{key: {"type": "array", "items": _OBJECT} for key in ("pending_activities", "locks")},
    }
    run = {"workflow_id": _TEXT, "run_id": {"type": ["string", "null"]}}
    return {
        "Error": {
            "type": "object",
            "properties": {"error": {"type": "object", "properties": failure}},
        },
        "Event": {
            "type": "object",
            "properties": {"id": _INTEGER, "ts": _INTEGER, "type": _TEXT},
            "description": "With the fields of its type; see the reference of events.",
        },
        "Result": {
            "type": "object",
            "properties": {
                "status": {"enum": list(STATUSES)},
                "result": _ANY,
                "error": {"type": "object", "properties": failure},
            },
        },
        "Run": {"type": "object", "properties": run},
        "Started": {"type": "object", "properties": {**run, "pid": _TEXT}},
        "Workflow": {"type": "object", "properties": workflow},
    }
