"""version, attrs, await, side_effect, continue_as_new, entry lookup, require, logs, ctx, uuid."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import orjson
import pytest
from tests.lua.support_kernel import Play, result_of, source

from luaflow.lua.vm import BundleSource, Engine, LoadError

WF = 'local workflow, time, funcs = require("workflow"), require("time"), require("funcs")\n'


def test_version_is_asked_once_for_each_change() -> None:
    """Repeated calls give the same answer without a command."""
    play = Play(
        WF
        + """return function()
        return { workflow.version("a", 1, 3), (workflow.version("a", 1, 3)),
            (workflow.version("b", 1, 2)) }
    end"""
    )
    assert play.result == [3, 3, 2]
    assert [(c.op, c.seq, c.name, c.data) for c in play.commands] == [
        ("version", 1, b"a", b"3"),
        ("version", 2, b"b", b"2"),
    ]


def test_a_version_that_history_does_not_have_takes_no_number() -> None:
    """Ruling 5: an old run goes the old way and its commands keep their numbers."""
    play = Play(
        WF
        + 'return function() local v = workflow.version("a", 1, 2) funcs.call("a:b") return v end',
        services={"version": lambda *_: (1, False)},
    )
    assert [(c.op, c.seq) for c in play.commands] == [("activity", 1)]
    play.resolve(1)
    assert play.result == 1


@pytest.mark.parametrize("args", ['"", 1, 2', '"a", 2, 1', "nil, 1, 2", '"a", "x", 2'])
def test_bad_versions_are_invalid(args: str) -> None:
    """As values, not raises."""
    code = WF + "return function() local v, e = workflow.version(" + args + ") return e:kind() end"
    assert Play(code).result == "Invalid"


@pytest.mark.parametrize(
    "args",
    [
        "nil",
        "{}",
        "{ search = 1 }",
        "{ search = { a = {} } }",
        "{ search = { a = { 1, 'x' } } }",
        "{ search = { a = print } }",
        "{ memo = { f = print } }",
        "{ search = { 1 } }",
    ],
)
def test_bad_attributes_are_invalid(args: str) -> None:
    """Nothing is recorded."""
    play = Play(WF + f"return function() local v, e = workflow.attrs({args}) return e:kind() end")
    assert play.result == "Invalid"
    assert play.commands == []


def test_await_looks_again_whenever_something_happened() -> None:
    """Local state changed by another coroutine ends the wait."""
    play = Play(
        WF
        + """return function()
        local n = 0
        coroutine.spawn(function()
            local inbox = process.inbox()
            while true do inbox:receive() n = n + 1 end
        end)
        local ok = workflow.await(function() return n == 2 end)
        local timed = workflow.await(function() return n == 99 end, "1m")
        local soon = workflow.await(function() return n == 3 end, "1m")
        return { ok, timed, soon, n }
    end"""
    )
    play.message("a")
    play.message("b")
    assert play.ops() == ["timer"]
    play.resolve(1)
    play.message("c")
    assert play.result == [True, False, True, 3]
    assert play.ops() == ["timer", "timer", "cancel_timer"]


def test_two_awaits_wake_each_other() -> None:
    """What one coroutine does after its wait lets the other look again."""
    assert result_of("""
        local workflow = require("workflow")
        local a, b = false, false
        coroutine.spawn(function() workflow.await(function() return a end) b = true end)
        coroutine.spawn(function() a = true end)
        workflow.await(function() return b end)
        return { a, b }""") == [True, True]


def test_an_await_that_nothing_can_end_is_a_deadlock() -> None:
    """No timeout, no other coroutine, nothing pending."""
    play = Play(WF + "return function() workflow.await(function() return false end) end")
    assert "waits in await" in play.failure["message"]


def test_side_effect_runs_once_and_is_recorded() -> None:
    """The value crosses the boundary even live, so replay sees the same."""
    play = Play(
        WF
        + """return function()
        local n = 0
        local v = workflow.side_effect(function() n = n + 1 return { n = n, t = {} } end)
        return { v, n }
    end"""
    )
    assert play.result == [{"n": 1, "t": []}, 1]
    assert play.commands[0][:4] == ("marker", 1, b"side_effect", b'{"n":1,"t":[]}')
    again = Play(
        WF
        + """return function()
            local n = 0
            return { workflow.side_effect(function() n = n + 1 return 0 end), n }
        end""",
        services={"side_effect_lookup": lambda seq: (True, {"from": f"history {seq}"})},
    )
    assert again.result == [{"from": "history 1"}, 0]
    assert again.commands[0].op == "marker"


def test_a_failing_side_effect_is_recorded_as_its_error() -> None:
    """It comes back as nil, err, now and on replay."""
    code = (
        WF
        + """return function()
        local v, err = workflow.side_effect(function() error("dice") end)
        return { v == nil, err:message() }
    end"""
    )
    play = Play(code)
    assert play.result == [True, "flow.lua:3: dice"]
    recorded = orjson.loads(play.commands[0].data or b"")
    replayed = Play(code, services={"side_effect_lookup": lambda _: (True, recorded)})
    assert replayed.result == play.result


def test_a_side_effect_leaves_the_run_as_replay_will_find_it() -> None:
    """Its random numbers and serial numbers are its own: replay does not run it."""
    code = (
        WF
        + """return function()
        workflow.side_effect(function() return math.random() .. tostring({}) .. tostring({}) end)
        return { math.random(), tostring({}) }
    end"""
    )
    live = Play(code)
    replayed = Play(code, services={"side_effect_lookup": lambda _: (True, "recorded")})
    assert live.result == replayed.result


def test_commands_inside_a_side_effect_are_refused() -> None:
    """It may compute, not wait."""
    play = Play(
        WF
        + """return function()
        local v, err = workflow.side_effect(function() funcs.call("a:b") end)
        return err:message()
    end"""
    )
    assert "funcs.call is not allowed inside workflow.side_effect" in play.result
    assert play.ops() == ["marker"]


def test_continue_as_new_ends_the_run_and_names_the_unread() -> None:
    """Nothing after it runs; taken messages are not carried over."""
    play = Play(
        WF
        + """return function(n)
        local orders = process.listen("orders")
        orders:receive()
        coroutine.spawn(function() workflow.continue_as_new(n + 1, "x") error("never") end)
        return "never"
    end""",
        1,
    )
    first, second = play.row("orders", 1), play.row("orders", 2)
    play.ahead(first, second)
    out = play.step(b"message")
    assert out.status == "continued"
    assert out.commands[0][:4] == ("continue_as_new", 1, None, b'[2,"x"]')
    assert orjson.loads(out.commands[0].extra or b"") == {"unread": [second[1]]}
    assert play.step(b"message").status == "ended"


def test_upgrade_names_the_next_type() -> None:
    """process.upgrade(id, ...) continues as another workflow."""
    play = Play('return function() process.upgrade("app:next", 1) end')
    assert play.last.status == "continued"
    assert play.commands[0][:4] == ("continue_as_new", 1, b"app:next", b"[1]")


@pytest.mark.parametrize(
    "end_run", ["workflow.continue_as_new(1)", 'process.upgrade("app:next", 1)']
)
def test_a_run_cannot_end_inside_a_callback(end_run: str) -> None:
    """It would go on behind its end, and give commands there: refused before anything is given."""
    play = Play(
        WF
        + f"""return function()
        local ok, why
        ("x"):gsub(".", function() ok, why = pcall(function() {end_run} end) end)
        process.send(process.pid(), "t", 1)
        return {{ ok, why:match("continue_as_new cannot wait inside a callback") }}
    end"""
    )
    assert play.ops() == ["signal"]
    assert play.result == [False, "continue_as_new cannot wait inside a callback"]


def test_the_registry_of_names_is_refused_with_a_remedy() -> None:
    """Names are for processes; the constants are there for code that mentions them."""
    play = Play("""return function()
        local r, out = process.registry, {}
        for i, name in ipairs({ "register", "lookup", "unregister" }) do
            local v, err = r[name]("boss", process.pid())
            out[i] = { tostring(v), err:kind(), err:retryable(),
                err:message():match("process.registry." .. name) ~= nil,
                err:message():match("workflow.id") }
        end
        return { out, r.LOCAL, r.EVENTUAL, r.CONSISTENT, r.STRONG }
    end""")
    refused = ["Invalid", False, True, "workflow.id"]
    assert play.result == [
        [["nil", *refused], ["nil", *refused], ["false", *refused]],
        0,
        1,
        2,
        3,
    ]
    assert play.commands == []


CASTS = {
    "string(5)": "5",
    "string(1.5)": "1.5",
    "string(nil)": "nil",
    'string("x"):upper()': "X",
    'string(errors.new("m"))': "m",
    'number("7")': 7,
    "number(2.5)": 2.5,
    'integer("8")': 8,
    "integer(3.0)": 3,
    "math.type(integer(3.0))": "integer",
    "boolean(0)": True,
    "boolean(nil)": False,
    "string.upper('a')": "A",
}


@pytest.mark.parametrize("cast", CASTS)
def test_casts_of_typed_sources_are_callable(cast: str) -> None:
    """Contract section 0, rule 1."""
    assert result_of(f"return {cast}") == CASTS[cast]


@pytest.mark.parametrize(
    ("cast", "words"),
    [
        ("number('x')", "flow.lua:1: cannot cast this text to number"),
        ("number(nil)", "flow.lua:1: cannot cast a nil value to number"),
        ("integer(1.5)", "flow.lua:1: cannot cast a number value to integer"),
        ("integer({})", "flow.lua:1: cannot cast a table value to integer"),
    ],
)
def test_a_cast_to_what_a_value_is_not_raises(cast: str, words: str) -> None:
    """Where the code says it."""
    assert Play(f"return function() local v = {cast} end").failure["message"] == words


# -- entry lookup and return protocol --------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "method"),
    [
        ("return function() return 'it' end", "anything"),
        ("return { main = function() return 'it' end }", "main"),
        ("local M = {} function M.run() return 'it' end return M", "run"),
    ],
)
def test_the_entry_is_a_function_or_the_method_of_a_table(code: str, method: str) -> None:
    """Contract rule 2."""
    assert Play(BundleSource("a:b", code, "x.lua", method)).result == "it"


@pytest.mark.parametrize("code", ["return {}", "return { main = 1 }", "local x = 1", "return 5"])
def test_a_missing_method_is_not_found(code: str) -> None:
    """A failed run; `check` says it before that."""
    failure = Play(code).failure
    assert (failure["kind"], failure["retryable"]) == ("NotFound", False)
    assert failure["message"] == 'method "main" not found in module'
    with pytest.raises(LoadError, match='method "main" not found in module'):
        Engine(source(code)).check()


def test_check_passes_good_code_and_leaves_no_trace() -> None:
    """The top level runs in a run of its own."""
    engine = Engine(source("n = (n or 0) + 1 return { main = function() return n end }"))
    engine.check()
    assert Play("", engine=engine).result == 1


PROTOCOL: dict[str, tuple[str, Any]] = {
    "the first value is the result": ("return 1, nil, 3", 1),
    "nothing is null": ("return", None),
    "a second value that is no error is ignored": ("return 1, 42", 1),
    "a second table is ignored": ("return 1, {}", 1),
}


@pytest.mark.parametrize("name", PROTOCOL)
def test_the_return_protocol_when_it_went_well(name: str) -> None:
    """Contract rule 3."""
    code, expected = PROTOCOL[name]
    assert result_of(code) == expected


def test_the_return_protocol_when_it_failed() -> None:
    """An error object fails with its parts, a text as Internal and not retryable."""
    failure = Play("""return function()
        return "ignored", errors.new({ message = "m", kind = "Conflict", retryable = true,
            details = { n = 1 } })
    end""").failure
    assert {k: failure[k] for k in ("kind", "message", "retryable", "details")} == {
        "kind": "Conflict",
        "message": "m",
        "retryable": True,
        "details": {"n": 1},
    }
    failure = Play('return function() return nil, "broken" end').failure
    assert (failure["kind"], failure["message"], failure["retryable"]) == (
        "Internal",
        "broken",
        False,
    )


def test_a_result_that_cannot_be_written_fails_the_run() -> None:
    """Saying which entry and why."""
    failure = Play("return function() return { f = print } end").failure
    assert failure["kind"] == "Invalid"
    assert failure["message"].startswith("the result of app:flow: at .f: a function cannot leave")


# -- require ---------------------------------------------------------------------------------------


def test_syntax_errors_are_load_errors_with_their_line() -> None:
    """Plain messages, not those of the wrapper."""
    with pytest.raises(LoadError, match=r"flow\.lua:2: 'end' expected near <eof>"):
        Engine(source("return {\nmain = function() "))
    with pytest.raises(LoadError, match=r"flow\.lua:1: .*near 'end'"):
        Engine(source("end) return (function()"))


def test_forbidden_modules_are_load_errors_that_say_what_to_use() -> None:
    """The list of the entry is seen before anything runs."""
    with pytest.raises(
        LoadError, match="module 'http_client' is not available in workflows: do it"
    ):
        Engine(source("return {}", modules=("http_client",)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nope", "flow.lua:1: module 'nope' not found"),
        ("time", "module 'time' not found: it is not listed, add it to `modules` of app:flow"),
        ("sql", "module 'sql' is not available in workflows: do it in an activity"),
    ],
)
def test_require_says_why_it_cannot(name: str, words: str) -> None:
    """Unknown, not listed, forbidden."""
    failure = Play(source(f'local m = require("{name}") return m', modules=())).failure
    assert words in failure["message"]


@pytest.mark.parametrize(
    "name", ["process", "channel", "errors", "os", "payload", "string", "table"]
)
def test_core_modules_need_no_listing(name: str) -> None:
    """They are globals and can be required."""
    code = f'return function() return require("{name}") == {name} end'
    assert Play(source(code, modules=())).result is True


def test_listed_modules_are_globals_too() -> None:
    """Ruling 13."""
    assert (
        Play(source("return function() return json.encode({1}) end", modules=("json",))).result
        == "[1]"
    )
    code = "return function() return json == nil end"
    assert Play(source(code, modules=())).result is True


def test_imports_are_loaded_once_in_a_run_and_may_import_themselves() -> None:
    """Each library has its own list of modules; state is shared inside a run only."""
    deep = BundleSource("lib:deep", "count = (count or 0) + 1 return { n = count }", "deep.lua")
    mid = BundleSource(
        "lib:mid",
        'local j = require("json") return { deep = require("d"), enc = j.encode }',
        "mid.lua",
        modules=("json",),
        imports={"d": deep},
    )
    code = """local m, d = require("mid"), require("deep")
        return function() return { m.deep == d, d.n, m.enc({}), require("mid") == m } end"""
    engine = Engine(source(code, modules=(), imports={"mid": mid, "deep": deep}))
    assert Play("", engine=engine).result == [True, 1, "[]", True]
    assert Play("", engine=engine).result == [True, 1, "[]", True]


def test_a_library_that_failed_says_so_every_time() -> None:
    """Its own error, not one about a circle; and it may be tried again."""
    code = """return function()
        local _, first = pcall(require, "lib")
        local _, second = pcall(require, "lib")
        ready = true
        return { first, second, require("lib") }
    end"""
    lib = source("if not ready then error('not yet') end return 'loaded'", name="lib.lua")
    play = Play(source(code, imports={"lib": lib}))
    assert play.result == ["lib.lua:1: not yet", "lib.lua:1: not yet", "loaded"]


def test_a_circle_of_libraries_is_still_one() -> None:
    """Only what is being loaded right now counts."""
    one = BundleSource("lib:one", 'return require("two")', "one.lua")
    two = BundleSource("lib:two", 'return require("one")', "two.lua", imports={"one": one})
    one.imports["two"] = two  # type: ignore[index]
    failure = Play(source('return require("one")', imports={"one": one})).failure
    assert "require('one'): circular import of lib:one" in failure["message"]


# -- logs, ctx, uuid -------------------------------------------------------------------------------


def test_print_and_logger_reach_the_host_but_not_in_replay() -> None:
    """One space between the words; muted while history is replayed."""
    code = """local logger = require("logger")
        return function()
            print("a", 1, nil, true)
            logger:with({ k = 1 }):named("sub"):warn("careful", { z = {} })
        end"""
    assert Play(code).logs == [("info", "a 1 nil true"), ("warn", "careful")]
    assert Play(code, replaying=True).logs == []


def test_log_fields_tell_pid_and_place() -> None:
    """The host gets them as JSON."""
    seen: list[bytes] = []
    play = Play("return function()\n  print('x') end", start=False)
    play.run.log = lambda _level, _text, fields: seen.append(fields)
    play.step(b"start", [], {})
    assert orjson.loads(seen[0]) == {"location": "flow.lua:2", "pid": "{client@app:worker|w1}"}


def test_ctx_gives_copies_of_the_start_values() -> None:
    """Read only; absent keys are NotFound."""
    play = Play(
        """local ctx = require("ctx")
        return function()
            local t = ctx.get("t")
            t.changed = true
            local v, err = ctx.get("none")
            local w, bad = ctx.get("")
            return { ctx.get("user"), ctx.get("t").changed == nil, err:kind(), err:message(),
                bad:kind(), ctx.all() }
        end""",
        ctx={"user": "u1", "t": {"n": 1}},
    )
    assert play.result == [
        "u1",
        True,
        "NotFound",
        "key not found: none",
        "Invalid",
        {"user": "u1", "t": {"n": 1}},
    ]


def test_random_uuids_come_from_the_host_and_are_recorded() -> None:
    """Named ones are computed and leave no trace."""
    play = Play("""local uuid = require("uuid")
        return function()
            local dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
            local bad, err = uuid.v5("x", "y")
            return { uuid.v4(), uuid.v7(), uuid.v5(dns, "python.org"), err:kind(),
                uuid.validate(dns), uuid.validate(7), uuid.version(dns), uuid.variant(dns),
                uuid.format(dns, "simple"), uuid.parse(dns).timestamp }
        end""")
    assert play.result == [
        "<uuid>",
        "<uuid7>",
        "886313e1-3b8a-5372-9b90-0c9aee199e5d",
        "Invalid",
        True,
        False,
        1,
        "RFC4122",
        "6ba7b8109dad11d180b400c04fd430c8",
        886630433,
    ]
    assert [(c.op, c.name, c.data) for c in play.commands] == [
        ("marker", b"uuid", b'"<uuid>"'),
        ("marker", b"uuid7", b'"<uuid7>"'),
    ]


def test_a_named_uuid_takes_any_bytes() -> None:
    """As RFC 9562 has it: the digest of the namespace and the name, whatever the name is."""
    play = Play("""local uuid = require("uuid")
        return function()
            local dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
            return { uuid.v5(dns, "\\xff"), (uuid.v3(dns, "\\xff")), (uuid.v3(dns, "python.org")),
                (uuid.v5(dns, "\\u{e9}")) }
        end""")
    dns = uuid.NAMESPACE_DNS
    raw = [digest(dns.bytes + b"\xff").digest()[:16] for digest in (hashlib.sha1, hashlib.md5)]
    assert play.result == [
        str(uuid.UUID(bytes=raw[0], version=5)),
        str(uuid.UUID(bytes=raw[1], version=3)),
        str(uuid.uuid3(dns, "python.org")),
        str(uuid.uuid5(dns, "é")),
    ]
