"""json and payload: encode, decode, schemas, transcoding."""

from __future__ import annotations

from typing import Any

from tests.modules.support_modules import in_both_contexts, play

MODULES = ("json", "payload", "time")

CASES: dict[str, tuple[str, Any]] = {
    "plain values": (
        """return { json.encode(nil), json.encode(true), json.encode(42), json.encode(1.5),
            json.encode('a"b'), json.encode({}), json.encode({ 1, 'b' }), json.encode({ a =
                1 }) }""",
        ["null", "true", "42", "1.5", '"a\\"b"', "[]", '[1,"b"]', '{"a":1}'],
    ),
    "numbers JSON cannot say are null": (
        "return json.encode({ 0/0, math.huge, -math.huge })",
        "[null,null,null]",
    ),
    "an object that was empty stays one": (
        "return { json.encode(json.decode('{}')), json.encode(json.decode('[]')) }",
        ["{}", "[]"],
    ),
    "what cannot be written is Internal": (
        """local loop = {} loop.x = loop
        local deep = {} for _ = 1, 128 do deep = { deep } end
        local out = {}
        for i, v in ipairs({ loop, { 1, a = 2 }, { [1] = 1, [3] = 3 }, { print }, deep }) do
            local text, err = json.encode(v)
            out[i] = text == nil and err:kind()
        end return out""",
        ["Internal"] * 5,
    ),
    "128 levels are fine": (
        "local deep = {} for _ = 1, 127 do deep = { deep } end return #json.encode(deep)",
        256,
    ),
    "decoding": (
        """local v = json.decode('{"a":[1,2.0,null,"é"],"b":{"c":true},"n":null}')
        return { v.a[1], v.a[2], v.a[3] == nil, v.a[4], v.b.c, v.n == nil, json.decode('3') }""",
        [1, 2.0, True, "é", True, True, 3],
    ),
    "what cannot be read": (
        """local function kind(...) return select(2, json.decode(...)):kind() end
        return { kind(''), kind(nil), kind(5), kind('not json'), kind('{'), kind('1 2'),
            kind('[1,]') }""",
        ["Invalid", "Invalid", "Invalid", "Internal", "Internal", "Internal", "Internal"],
    ),
    "a schema holds": (
        """local schema = { type = "object", required = { "name" },
            properties = { name = { type = "string", minLength = 1 }, age = { type = "integer" } } }
        return { json.validate(schema, { name = "a", age = 3 }),
            json.validate('{"type":"number","minimum":0}', 42), json.validate('true', 1),
            json.validate_string(schema, '{"name":"x"}'), json.validate({}, 5) }""",
        [True, True, True, True, True],
    ),
    "a schema is broken": (
        """local ok, err = json.validate({ type = "object", properties = { a = { b = 1,
            type = "string" } } }, { a = 5 })
        local no, bad = json.validate_string('{"type":"number"}', '"x"')
        return { ok, err:kind(), err:message(), err:retryable(), no, bad:kind() }""",
        [
            False,
            "Invalid",
            "validation failed at '/a': 5 is not of type 'string'",
            False,
            False,
            "Invalid",
        ],
    ),
    "an empty table is an object, or a list": (
        """local object, list = { type = "object", minProperties = 1 }, { type = "array" }
        local open = { type = "object", properties = { a = {} }, patternProperties = {},
            additionalProperties = {}, allOf = { {} }, required = {} }
        return { json.validate({ type = "object" }, {}), json.validate(list, {}),
            json.validate({ properties = { a = { type = "object" } } }, { a = {} }),
            json.validate({ type = "object", patternProperties = { a = { type = "string" } } }, {}),
            json.validate(open, { a = 1, b = 2 }), json.validate(open, {}),
            (json.validate({ type = "string" }, {})), (json.validate(object, {})),
            (json.validate({ type = "object", required = { "a" } }, {})),
            (json.validate_string({ type = "object" }, "[]")),
            json.validate_string({ type = "object" }, "{}") }""",
        [True] * 6 + [False] * 4 + [True],
    ),
    "formats are checked": (
        "return (json.validate({ type = 'string', format = 'email' }, 'nobody'))",
        False,
    ),
    "what is no schema or no data": (
        """local function kind(f, ...) local ok, e = f(...) return { ok, e:kind() } end
        return { kind(json.validate, { type = "nothing" }, 1), kind(json.validate, "[1]", 1),
            kind(json.validate, "{", 1), kind(json.validate, 5, 1), kind(json.validate, {}, print),
            kind(json.validate_string, {}, ""), kind(json.validate_string, {}, "{"),
            kind(json.validate, { ["$ref"] = "#/nowhere" }, 1),
            kind(json.validate, { ["$ref"] = "http://127.0.0.1:1/s.json" }, 1),
            kind(json.validate, { ["$ref"] = "#" }, 1),
            kind(json.validate, { properties = { 1 } }, 1) }""",
        [[False, "Invalid"]] * 11,
    ),
    "sizes are bounded": (
        """local ok, err = json.validate({}, ('x'):rep(1048577))
        local no, bad = json.validate(('{'):rep(262145), 1)
        return { ok, err:message(), no, bad:message() }""",
        [
            False,
            "json: the data has 1048579 bytes, the limit is 1048576",
            False,
            "json: the schema has 262145 bytes, the limit is 262144",
        ],
    ),
    "formats of payloads": (
        """return { payload.JSON, payload.format.YAML, payload.format.STRING, payload.BYTES,
            payload.format.MSGPACK, payload.LUA, payload.GOLANG, payload.format.ERROR }""",
        [
            "json/plain",
            "yaml/plain",
            "text/plain",
            "application/octet-stream",
            "application/msgpack",
            "lua/any",
            "golang/any",
            "golang/error",
        ],
    ),
    "a payload": (
        """local p = payload.new({ a = 1 })
        local data, err = p:data()
        local e = payload.new(errors.new("no"))
        return { tostring(p), p:get_format(), data.a, err == nil, p:unmarshal().a,
            payload.new(nil):data() == nil, e:get_format(), e:data():message() }""",
        ["payload{format=lua/any}", "lua/any", 1, True, 1, True, "golang/error", "no"],
    ),
    "transcoding": (
        """local p = payload.new({ a = { 1, 2 } })
        local j, y = p:transcode(payload.JSON), p:transcode(payload.YAML)
        return { j:get_format(), j:data().a[2], j:transcode(payload.STRING):data(), y:get_format(),
            y:data().a[1], y:transcode(payload.STRING):data(),
            payload.new('{"b":3}'):transcode(payload.STRING):transcode(payload.JSON):data().b,
            payload.new('b: 3'):transcode(payload.BYTES):transcode(payload.YAML):data().b,
            payload.new('x'):transcode(payload.BYTES):get_format() }""",
        [
            "json/plain",
            2,
            '{"a":[1,2]}',
            "yaml/plain",
            1,
            "a:\n    - 1\n    - 2\n",
            3,
            3,
            "application/octet-stream",
        ],
    ),
    "transcoding that cannot be is Internal": (
        """local out = {}
        for i, format in ipairs({ payload.ERROR, "nothing", 5, true }) do
            local p, err = payload.new({}):transcode(format)
            out[i] = p == nil and err:kind()
        end
        out[5] = select(2, payload.new({ print }):transcode(payload.JSON)):kind()
        out[6] = select(2, payload.new({ print }):transcode(payload.STRING)):kind()
        return out""",
        ["Internal"] * 6,
    ),
}


test_in_workflows, test_in_functions = in_both_contexts(CASES, MODULES)


def test_the_verdict_of_a_library_is_recorded() -> None:
    """A later release of it may judge otherwise: replay takes what it said."""
    body = "return { json.validate({ type = 'number' }, 1), json.encode({ 1 }) }"
    told = play(body, modules=MODULES)
    assert [(c.op, c.name, c.data) for c in told.commands] == [
        ("marker", b"json.validate", b"true")
    ]
    other = play(body, modules=MODULES, services={"marker": lambda *_: (False,)})
    assert other.result == [False, "[1]"]
    inside = "return workflow.side_effect(function() return (json.validate({}, 1)) end)"
    quiet = play(inside, modules=(*MODULES, "workflow"))
    assert [(c.op, c.name) for c in quiet.commands] == [("marker", b"side_effect")]
