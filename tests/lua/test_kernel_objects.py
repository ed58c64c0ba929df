"""Objects of the kernel keep their state to themselves: no user code reads, forges or shares it."""

from __future__ import annotations

import pytest
from tests.lua.support_kernel import Play, result_of, source
from tests.support.mutants import kernel_mutant, proves

from luaflow.lua.vm import ActivationFault, Engine

# One of every kind, by name, made in a run that waits for nothing.
OBJECTS = """
local time, funcs, logger, payload = require("time"), require("funcs"), require("logger"),
    require("payload")
local inbox = process.inbox()
local message = inbox:receive()
local timer, ticker = time.timer("1h"), time.ticker("1h")
local objects = {
    channel = channel.new(1), case = channel.new():case_receive(), message = message,
    payload = payload.new(1), future = funcs.async("a:b"), executor = funcs.new(),
    error = errors.new("m"), time = time.now(), duration = time.parse_duration("1s"),
    location = time.utc, timer = timer, ticker = ticker, logger = logger,
    spawner = process.with_options({}), inbox = inbox,
}
"""

METHODS = {
    "channel": "receive send close case_receive case_send",
    "message": "topic from payload",
    "payload": "data unmarshal get_format transcode",
    "future": "response channel is_complete is_canceled result error cancel",
    "executor": "with_context with_options with_actor with_scope call async map",
    "error": "message kind retryable details stack",
    "time": "add sub add_date before after equal unix unix_nano is_zero location utc in_local "
    "in_location date clock year month day hour minute second nanosecond weekday year_day "
    "truncate round format_rfc3339 format",
    "duration": "nanoseconds microseconds milliseconds seconds minutes hours",
    "location": "string",
    "timer": "response channel stop reset",
    "ticker": "response channel stop",
    "logger": "debug info warn error with named",
    "spawner": "spawn spawn_monitored spawn_linked spawn_linked_monitored exec with_context "
    "with_options with_name with_message with_actor with_scope",
}
PAIRS = [(kind, name) for kind, names in METHODS.items() for name in names.split()]


def with_objects(body: str) -> Play:
    """The run that makes the objects and then does `body`."""
    play = Play(f"return function()\n{OBJECTS}\n{body}\nend")
    play.message("hello", 1)
    return play


@proves(
    kernel_mutant("base", "if raw_metatable(object) ~= class then", "if false then"),
)
async def test_methods_take_objects_of_their_class_only() -> None:
    """A forged self is refused before anything of it is read, and the words say how to call."""
    listed = ", ".join(f'{{"{kind}", "{name}"}}' for kind, name in PAIRS)
    play = with_objects(f"""
        local touched, wrong = 0, {{}}
        local forged = setmetatable({{}}, {{
            __index = function() touched = touched + 1 end,
            __newindex = function() touched = touched + 1 end,
        }})
        for _, pair in ipairs({{ {listed} }}) do
            local kind, name = pair[1], pair[2]
            local method = objects[kind][name]
            for _, self in ipairs({{ forged, objects.case, 5, "text" }}) do
                local ok, why = pcall(method, self, "a:b", "c")
                if ok or not tostring(why):find("expects a .*; call it with ':'") then
                    wrong[#wrong + 1] = kind .. ":" .. name .. " " .. tostring(why)
                end
            end
        end
        return {{ touched, wrong, select(2, pcall(objects.channel.receive)) }}""")
    touched, wrong, words = play.result
    assert (touched, wrong) == (0, [])
    assert "channel:receive expects a channel; call it with ':'" in words


# Names of fields that objects once had in the open, and others.
FIELDS = (
    "_message _details _retryable _frames _zone _s _n _ns _name _offset _value _format _topic "
    "_values _seq _done _options _options_new _extra _context _channel _send _stopped _period "
    "_capacity _closed _receivers _senders _fields anything"
)


@pytest.mark.parametrize("kind", METHODS)
def test_objects_show_nothing_and_take_nothing(kind: str) -> None:
    """No field can be read, listed, assigned or set raw, whatever its name."""
    play = with_objects(f"""
        local o, open = objects.{kind}, {{}}
        for name in ("{FIELDS}"):gmatch("%S+") do
            if o[name] ~= nil or pcall(function() o[name] = 1 end) then open[#open + 1] = name end
        end
        for i, attempt in ipairs({{
            function() o[1] = 1 end, function() rawset(o, "x", 1) end,
            function() rawget(o, "x") end, function() pairs(o) end, function() next(o) end,
            function() setmetatable(o, {{}}) end, function() table.insert(o, 1) end,
            function() table.concat(o) end, function() table.unpack(o) end,
            function() table.move(o, 1, 1, 1, {{}}) end, function() table.sort(o) end,
        }}) do
            if pcall(attempt) then open[#open + 1] = i end
        end
        return {{ open, getmetatable(o), #o }}""")
    assert play.result == [[], False, 0]


def test_an_object_behind_another_table_stays_closed() -> None:
    """A table that inherits from an object is no object."""
    assert result_of("""
        local ch = channel.new(1)
        local heir = setmetatable({}, {__index = ch})
        local ok, why = pcall(heir.send, heir, 1)
        return { ok, why:match("channel:send expects a channel") }""") == [
        False,
        "channel:send expects a channel",
    ]


MODULES = (
    "string table math coroutine errors channel process process.event process.registry os time "
    "funcs workflow json uuid ctx payload"
)


@proves(
    kernel_mutant(
        "order", "return listed(seen, n, keys, m), t, nil", "return listed(seen, n, keys, m), seen"
    )
)
async def test_a_loop_over_a_module_hands_out_no_shared_table() -> None:
    """pairs shows the members; what it returns is the module itself, read-only as ever."""
    engine = Engine(
        source("""return function(name)
        local at = _G
        for part in name:gmatch("[^.]+") do at = at[part] end
        local iterate, state = pairs(at)
        local count = 0
        for _ in iterate, state do count = count + 1 end
        local ok = pcall(function() state.evil = "POISONED" end)
        ok = ok or pcall(rawset, state, "evil", "POISONED")
        return { rawequal(state, at), count > 0, ok, at.evil }
    end""")
    )
    for name in MODULES.split():
        assert Play("", name, engine=engine).result == [True, True, False], name


def test_next_on_a_module_leaves_no_key_behind() -> None:
    """A key that is not there is no place to go on from, and is never put in."""
    engine = Engine(
        source("""return function(look)
        if look then return { string.zz, ("x").zz } end
        return { pcall(next, string, "zz") }
    end""")
    )
    assert Play("", False, engine=engine).result[0] is False
    assert Play("", True, engine=engine).result == []


def test_the_process_module_has_nothing_that_the_kernel_calls() -> None:
    """Only what the contract names."""
    names = result_of("local t = {} for k in pairs(process) do t[#t + 1] = k end return t")
    internal = {"child_started", "child_closed", "run_child", "check_destination", "members"}
    assert not internal & set(names)
    assert {"send", "spawn", "exec", "upgrade", "registry"} <= set(names)


def test_shared_objects_are_the_same_for_every_run() -> None:
    """time.utc and the logger are shared by all runs: no run can change them."""
    engine = Engine(
        source("""local time, logger = require("time"), require("logger")
    return function(spoil)
        if spoil then
            for _, o in ipairs({ time.utc, time.localtz, logger }) do
                for name, value in pairs({ _offset = 3600, _name = "EVIL", _fields = {} }) do
                    pcall(function() o[name] = value end)
                    pcall(rawset, o, name, value)
                end
            end
        end
        return { time.utc:string(), tostring(time.unix(0, 0)) }
    end""")
    )
    clean = ["UTC", "1970-01-01 00:00:00 +0000 UTC"]
    assert Play("", True, engine=engine).result == clean
    assert Play("", False, engine=engine).result == clean


STOLEN = """return function(role)
    if role == "other" then return process.inbox():receive():topic() end
    local inbox = process.inbox()
    pcall(function() getmetatable(inbox).__index.receive = function() return "POISONED" end end)
    local a, b, c = channel.new(), channel.new(), nil
    coroutine.spawn(function() a:receive() end)
    coroutine.spawn(function() channel.select({ a:case_receive(), b:case_receive() }) end)
    coroutine.spawn(function() a:receive() end)
    b:send(1)
    for _, name in ipairs({ "_receivers", "_senders", "_values", "receivers", "values" }) do
        c = c or a[name]
    end
    return c == nil
end"""


def test_no_queue_task_or_entry_is_within_reach() -> None:
    """Neither waiters nor what waits in a mailbox; another run of the engine is not hurt."""
    engine = Engine(source(STOLEN))
    other = Play("", "other", engine=engine)
    assert Play("", "thief", engine=engine).result is True
    other.message("hello")
    assert other.result == "hello"


def test_a_wait_that_failed_in_a_callback_leaves_nothing_to_perform() -> None:
    """A coroutine inside a callback cannot wait either; what main returns is a result, not a call.

    The request of the kernel stayed behind there, and the function returned was called by it.
    """
    play = Play("""local funcs = require("funcs")
    return function()
        local words
        ("x"):gsub(".", function()
            local co = coroutine.create(function() return funcs.call("a:b") end)
            local _, why = coroutine.resume(co)
            words = why
        end)
        print(words)
        return function() while true do end end
    end""")
    assert "a function cannot leave the code" in play.failure["message"]
    assert "funcs.call cannot wait inside a callback of the library" in play.logs[0][1]
    assert play.commands == []


@pytest.mark.parametrize(
    "wait",
    [
        'time.sleep("1s")',
        "channel.new():receive()",
        "channel.select({})",
        "coroutine.spawn(function() end)",
        'require("uuid").v4()',
        'require("workflow").await(function() return false end)',
        'process.spawn("a:b", "w")',
        'require("workflow").continue_as_new(1)',
    ],
)
def test_nothing_waits_below_a_callback(wait: str) -> None:
    """However deep the coroutines are, a C function in the way is seen before anything changes."""
    play = Play(f"""local time = require("time")
    return function()
        local out
        table.sort({{ 2, 1 }}, function(a, b) return a < b end);
        ("x"):gsub(".", function()
            local inner = coroutine.wrap(function() {wait} end)
            out = {{ pcall(coroutine.wrap(function() inner() end)) }}
        end)
        return {{ out[1], out[2]:match("cannot wait inside a callback of the library") }}
    end""")
    assert play.result == [False, "cannot wait inside a callback of the library"]
    assert play.commands == []


EMIT = "= op, seq, name, data, extra"
ANSWER = "return status, run.ahead_last - run.ahead_first + 1, text, more, commands, values,"
SMUGGLED: dict[str, tuple[str, str, str]] = {
    "the operation of a command": ("scheduler", EMIT, EMIT.replace("op", "{}", 1)),
    "its number": ("scheduler", EMIT, EMIT.replace("seq", "1.5")),
    "its name": ("scheduler", EMIT, EMIT.replace("name", "N.pcall")),
    "its data": ("scheduler", EMIT, EMIT.replace("data", "{}")),
    "its options": ("scheduler", EMIT, EMIT.replace("extra", "{}")),
    "the result": ("door", ANSWER, ANSWER.replace("text", "{}")),
    "the unread": ("door", ANSWER, ANSWER.replace("more", "{}")),
    "the messages ahead": ("door", ANSWER, ANSWER.replace("+ 1", "+ 1.0")),
    "the status": ("door", ANSWER, ANSWER.replace("status", "{}", 1)),
    "a line of the log": ("modules/logger", "= level, message, text", "= level, {}, text"),
    "a service": ("scheduler", '{n = select("#", ...), name, ...}', "{n = 1, {}, {}}"),
}


@pytest.mark.parametrize("what", SMUGGLED)
def test_python_takes_no_lua_object(what: str) -> None:
    """Even from a kernel that is broken: bytes, whole numbers and booleans, or the engine ends."""
    code = """local funcs, uuid = require("funcs"), require("uuid")
    return function() print("x") funcs.async("a:b") uuid.v4() return 1 end"""
    with kernel_mutant(*SMUGGLED[what])():
        engine = Engine(source(code))
        with pytest.raises(ActivationFault, match="no plain value") as fault:
            Play("", engine=engine)
    assert fault.value.reason == "kernel"
    assert engine.broken
