"""The page of the HTTP API, from its OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luaflow_web.openapi import document

INTRO = """\
`luaflow serve` and `luaflow dev` answer these requests below `/api/v1` on `--port` (8233 without),
and only to this machine unless `--host` says otherwise. The description for programs, OpenAPI 3.1,
is at `/api/v1/openapi.json`. Bodies are JSON objects; values in them are those of
[values](values.md). Answers are JSON, too.

An error is `{"error": {"kind", "message"}}` with one of these statuses:

| status | kind | when |
|---|---|---|
| 400 | `Invalid` | the request cannot be understood |
| 403 | `PermissionDenied` | a page of another site asks, or a name that is not this machine's |
| 404 | `NotFound` | there is no such workflow, type or path |
| 405 | `Invalid` | the path is there, and does not answer this method |
| 409 | `AlreadyExists`, `Refused` | the id is taken; the state or a limit says no |
| 413 | `Invalid` | the body has more than 8 MiB |
| 422 | the failure's | the code of the workflow said no, to a query or an update |
| 501 | `Unimplemented` | this release cannot do it |
| 503 | `Unavailable`, `Unknown` | Redis is away; nobody knows whether it was done: ask again |"""


def lines() -> Iterator[str]:
    """The page below its title."""
    described = document()
    yield INTRO
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield from ("", f"## {method.upper()} {path}", "", operation["summary"])
            yield from _parameters(operation)
            yield from _body(operation)
            yield from ("", *_answers(operation, described))


def _parameters(operation: dict[str, Any]) -> Iterator[str]:
    found = operation["parameters"]
    if found:
        yield ""
    for one in found:
        yield f"- `{one['name']}` ({one['in']}): {one['description']}"


def _body(operation: dict[str, Any]) -> Iterator[str]:
    if "requestBody" not in operation:
        return
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    required = schema.get("required", [])
    words = [f"`{name}`" + ("" if name in required else "?") for name in schema["properties"]]
    yield from ("", f"Body: {', '.join(words)} (`?`: may be absent).")


def _answers(operation: dict[str, Any], described: dict[str, Any]) -> Iterator[str]:
    for status, answer in operation["responses"].items():
        if status == "default":
            continue
        content = answer.get("content", {}).get("application/json")
        shape = f": {_shape(content['schema'], described)}" if content else ""
        yield f"- **{status}** {answer['description'].rstrip('.')}{shape}"


def _shape(schema: dict[str, Any], described: dict[str, Any]) -> str:
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return f"`{{{', '.join(schema['properties'])}}}`"
