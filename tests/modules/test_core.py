"""errors, ctx, uuid, logger and channels: what the contract says of their edges."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from tests.modules.support_modules import (
    in_both_contexts,
    in_function,
    no_world,
    play,
    write_function,
)

from luaflow.domain import values
from luaflow_worker.node import Node

MODULES = ("uuid", "ctx", "logger", "errors", "channel")
DNS = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

CASES: dict[str, tuple[str, Any]] = {
    "errors: all kinds": (
        """local e = errors
        return { e.NOT_FOUND, e.ALREADY_EXISTS, e.INVALID, e.PERMISSION_DENIED, e.UNAVAILABLE,
            e.INTERNAL, e.CANCELED, e.CONFLICT, e.TIMEOUT, e.RATE_LIMITED, e.UNKNOWN }""",
        [
            "NotFound",
            "AlreadyExists",
            "Invalid",
            "PermissionDenied",
            "Unavailable",
            "Internal",
            "Canceled",
            "Conflict",
            "Timeout",
            "RateLimited",
            "",
        ],
    ),
    "errors: details and retryable": (
        """local e = errors.new({ message = "m", details = { a = { 1 } }, retryable = true })
        local bare = errors.new({ message = "m", details = {} })
        return { e:details().a[1], e:retryable(), bare:details() == nil, bare:retryable() == nil,
            bare:kind(), errors.new({ message = "m", kind = "Mine" }):kind() }""",
        [1, True, True, True, "", "Mine"],
    ),
    "errors: equal only to themselves": (
        """local a, b = errors.new("m"), errors.new("m")
        local ok, caught = pcall(error, a)
        return { a == b, a == a, caught == a, rawequal(caught, a), type(a.kind) }""",
        [False, True, True, True, "function"],
    ),
    "errors: wrapping": (
        """local inner = errors.new({ message = "m", kind = "Conflict", retryable = false,
            details = { a = 1 } })
        local w = errors.wrap(inner, "while saving")
        local t = errors.wrap("plain", "context")
        return { w:message(), w:kind(), w:retryable(), w:details().a, tostring(w), w == inner,
            t:message(), t:kind(), tostring(t), "x: " .. w, w .. "!", errors.is(w, "Conflict") }""",
        [
            "m",
            "Conflict",
            False,
            1,
            "while saving: m",
            False,
            "plain",
            "",
            "context: plain",
            "x: while saving: m",
            "while saving: m!",
            True,
        ],
    ),
    "errors: call stack": (
        """local function make() local e = errors.new("m") return e end
        local e = make()
        local stack = errors.call_stack(e)
        local f = stack.frames[1]
        return { type(stack.thread), f.source:match("%.lua$"), math.type(f.line), type(f.name),
            #stack.frames >= 2, errors.call_stack("x") == nil, errors.call_stack(nil) == nil,
            type(e:stack()), e:stack() ~= "" }""",
        ["string", ".lua", "integer", "string", True, True, True, "string", True],
    ),
    "errors: arguments": (
        """return { pcall(errors.new), pcall(errors.new, { kind = "x" }), errors.is(nil, "x"),
            errors.is({ kind = "x" }, "x"), errors.wrap(nil, "x") == nil }""",
        [False, False, False, False, True],
    ),
    "uuid: inspecting": (
        f"""local dns = "{DNS}"
        return {{ uuid.version(dns), uuid.variant(dns), uuid.parse(dns).node,
            uuid.parse(dns).version,
            uuid.parse(dns).timestamp, uuid.format(dns), uuid.format(dns, "simple"),
            uuid.format(dns, "urn"), uuid.validate(dns), uuid.validate("x"), uuid.validate(nil),
            uuid.validate(5), uuid.format("urn:uuid:" .. dns), uuid.format(dns:upper()) }}""",
        [
            1,
            "RFC4122",
            "00c04fd430c8",
            1,
            886630433,
            DNS,
            DNS.replace("-", ""),
            f"urn:uuid:{DNS}",
            True,
            False,
            False,
            False,
            DNS,
            DNS,
        ],
    ),
    "uuid: variants": (
        """local function v(c) return uuid.variant("00000000-0000-0000-" .. c ..
            "000-000000000000") end
        return { v("0"), v("7"), v("8"), v("b"), v("c"), v("d"), v("e"), v("f") }""",
        ["Reserved"] * 2 + ["RFC4122"] * 2 + ["Microsoft"] * 2 + ["Future"] * 2,
    ),
    "uuid: refusals": (
        """local function kind(f, ...) local v, e = f(...) return v == nil and e:kind() end
        return { kind(uuid.version, "x"), kind(uuid.variant, 5), kind(uuid.parse, nil),
            kind(uuid.format, "x"), kind(uuid.format, "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                "odd"),
            kind(uuid.v3, "x", "y"), kind(uuid.v5, 5, "y"), kind(uuid.v5, nil, "y"),
            kind(uuid.v3, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", 5) }""",
        ["Invalid"] * 9,
    ),
    "uuid: names": (
        f"""return {{ uuid.v3("{DNS}", "python.org"), uuid.v5("{DNS}", "python.org") }}""",
        ["6fa459ea-ee8a-3ca4-894e-db77e160355e", "886313e1-3b8a-5372-9b90-0c9aee199e5d"],
    ),
    "ctx: nothing there": (
        """local v, e = ctx.get("none")
        local w, bad = ctx.get("")
        local n = 0
        for _ in pairs(ctx.all()) do n = n + 1 end
        return { v == nil, e:kind(), e:message(), w == nil, bad:kind(), n,
            select(2, ctx.get(5)):kind() }""",
        [True, "NotFound", "key not found: none", True, "Invalid", 0, "Invalid"],
    ),
    "channel: buffers, closing, nil": (
        """local ch = channel.new(2)
        ch:send(nil) ch:send("b")
        ch:close() ch:close()
        local a, ok1 = ch:receive() local b, ok2 = ch:receive() local c, ok3 = ch:receive()
        local sent, why = pcall(ch.send, ch, 1)
        local r = channel.select({ ch:case_receive() })
        return { a == nil, ok1, b, ok2, c == nil, ok3, sent, why:match("send on closed channel"),
            r.ok,
            r.value == nil, r.channel == ch, channel.new(-5) ~= nil }""",
        [
            True,
            True,
            "b",
            True,
            True,
            False,
            False,
            "send on closed channel",
            False,
            True,
            True,
            True,
        ],
    ),
    "channel: select takes the first that is ready": (
        """local a, b = channel.new(1), channel.new(1)
        a:send(1) b:send(2)
        local r = channel.select({ b:case_receive(), a:case_receive() })
        local s = channel.select({ b:case_receive(), default = true })
        local t = channel.select({ b:case_send(5), a:case_receive() }, true)
        local none = channel.select({}, true)
        return { r.value, s.default, s.ok, t.ok, t.channel == b, b:receive(), none.default }""",
        [2, True, True, True, True, 5, True],
    ),
}


test_in_workflows, test_in_functions = in_both_contexts(CASES, MODULES)


async def test_fresh_uuids(tmp_path: Path) -> None:
    """Of the version asked for, each another one; the time in v1 and v7 is the clock's."""
    body = """local out = {}
    for i, v in ipairs({ "v1", "v4", "v7" }) do
        local a, b = uuid[v](), uuid[v]()
        out[i] = { uuid.version(a), uuid.variant(a), a ~= b, uuid.parse(a).timestamp or 0 }
    end
    return out"""
    one, four, seven = await in_function(tmp_path, body, modules=MODULES)
    assert (one[:3], four) == ([1, "RFC4122", True], [4, "RFC4122", True, 0])
    assert seven[:3] == [7, "RFC4122", True]
    assert abs(one[3] - seven[3]) <= 1


def test_workflows_record_fresh_uuids() -> None:
    """One marker each."""
    told = play("uuid.v1() uuid.v4() uuid.v7() uuid.v5(...)", DNS, modules=MODULES)
    assert [c.name for c in told.commands] == [b"uuid1", b"uuid", b"uuid7"]


def test_context_of_a_workflow() -> None:
    """Copies of plain values; what a runtime put there for itself stays hidden."""
    body = """local all = ctx.all()
    all.user = "changed"
    ctx.get("map").a = 2
    local names = {}
    for name in pairs(ctx.all()) do names[#names + 1] = name end
    return { ctx.get("user"), ctx.get("map").a, names, select(2,
        ctx.get("temporal.signal.from")):kind() }"""
    given = {"user": "u", "map": {"a": 1}, "temporal.signal.from": "{x@y|z}"}
    assert play(body, modules=MODULES, ctx=given).result == ["u", 1, ["map", "user"], "NotFound"]


async def test_context_of_a_function(tmp_path: Path) -> None:
    """That of its caller; functions it calls get it with what is added."""
    inner = """if select("#", ...) > 0 then return ctx.all() end
    return { ctx.all(), funcs.new():with_context({ more = 1 }):call("app:f", "again") }"""
    app = write_function(tmp_path, inner, ("ctx", "funcs"))
    node = Node(app, no_world)
    outcome = await node.run("app:f", [], context={"user": "u", "temporal.signal.from": "{x@y|z}"})
    await node.close()
    assert values.loads(outcome.result) == [{"user": "u"}, {"user": "u", "more": 1}]


async def test_logs_of_a_function(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Levels, fields, names, children; an empty name raises."""
    body = """local child = logger:with({ a = 1 }):named("one"):named("two")
    child:debug("d") child:info("i", { b = 2, a = 3 }) child:warn("w") child:error("e", { err =
        errors.new("m") })
    logger:info("plain") print("x", 1, nil, true)
    return { pcall(logger.named, logger, ""), type(logger) }"""
    with caplog.at_level(logging.DEBUG, logger="luaflow.lua"):
        got = await in_function(tmp_path, body, modules=MODULES)
    assert (got[0], got[-1]) == (False, "userdata")
    lines = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert lines == [
        ("DEBUG", "d"),
        ("INFO", "i"),
        ("WARNING", "w"),
        ("ERROR", "e"),
        ("INFO", "plain"),
        ("INFO", "x 1 nil true"),
    ]
    fields = [getattr(r, "fields", "") for r in caplog.records]
    assert '"logger":"one.two"' in fields[1]
    assert re.search(r'"a":3.*"b":2', fields[1])
    assert '"location":"f.lua:' in fields[4]
