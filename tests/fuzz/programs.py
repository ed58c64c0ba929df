"""Lua programs in the real machine: generated, changed, hostile."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import ClassVar

from luaflow.lua.vm import ActivationFault, BundleSource, Engine, LoadError
from tests.fuzz.mutating import mutated
from tests.fuzz.sources import EXAMPLES
from tests.fuzz.target import Target
from tests.lua.support_kernel import INFO, START_MS
from tests.support.lua_writer import write_lua

ATTACKS = (Path(__file__).parents[1] / "lua" / "test_sandbox_attacks.py").read_text()
HOSTILE = tuple(
    text.encode() for text in re.findall(r'"""((?:\n|[^"])*?)"""', ATTACKS) if "end" in text
)
FLOW = b"""
local funcs, workflow, time = require("funcs"), require("workflow"), require("time")
return function(x)
  local ch = workflow.signals and channel.new(1) or nil
  coroutine.spawn(function() time.sleep("1s") end)
  local t = setmetatable({}, {__index = function(t, k) return k .. "x" end, __gc = print})
  local a, err = funcs.call("app:a", {x = x, y = {1, 2, 3}})
  for k, v in pairs({a = 1, b = t}) do print(k, v) end
  local s = ("abc"):rep(10):gsub("b", {b = "%1"}):format(1)
  return {a = a, t = t.z, s = s, e = tostring(err), u = table.unpack({1, 2})}
end
"""
MODULES = (
    *("funcs", "time", "workflow", "json", "uuid", "logger", "ctx", "payload", "crypto", "hash"),
    *("base64", "yaml", "text", "expr", "excerpt", "errors"),
)


class Programs(Target):
    """A program as a workflow: loaded, begun, fed events that fit or do not."""

    name = "programs"
    quick = 40
    share = 20.0
    rate = 90.0
    seconds = 4.0
    WORDS: ClassVar[tuple[bytes, ...]] = (
        *(b"return ", b"local x = ", b"while true do ", b"end ", b"for i = 1, 1e9 do ", b"pcall("),
        *(b"coroutine.wrap(", b"setmetatable({}, ", b"{__gc = ", b"{__close = ", b"{__index = "),
        *(b"error(", b"string.rep('x', ", b"1e8)", b"('x'):rep(1 << 20)", b"table.concat(", b")"),
        *(b"require('workflow').", b"sleep('1s')", b"require('time')", b"load(", b"goto x ::x:: "),
        *(
            b"select('#', ",
            b"select(-1, ",
            b"table.unpack({}, 1, 1e7)",
            b"math.huge",
            b"-nil",
            b"..",
        ),
        *(
            b"local x <close> = ",
            b"coroutine.yield(",
            b"coroutine.close(",
            b"channel.new(",
            b"next(",
        ),
        *(
            b"string.format('%99.99f', ",
            b"string.pack('s', ",
            b"utf8.char(",
            b"tostring(",
            b"#",
            b"{",
        ),
        *(b"rawset(", b"rawlen(", b"_G", b"_ENV", b"\\u{7fffffff}", b"0x7fffffffffffffff", b"//0"),
        *(b"require('workflow').exec(", b"require('funcs').call('app:a', ", b"print(", b"'", b'"'),
    )

    def make(self, chance: random.Random) -> bytes:
        """A program: an example, an attack, or one from the grammar."""
        match chance.randrange(4):
            case 0:
                text = write_lua(chance.randrange(1 << 30), typed=False).text.encode()[:8_000]
                data = b"return function(...)\n" + text + b"\nend"
            case 1:
                data = b"return function(...) " + chance.choice(HOSTILE) + b"\nend"
            case 2:
                data = FLOW
            case _:
                data = chance.choice(EXAMPLES)
        return mutated(chance, (data,), self.WORDS)

    def run(self, data: bytes) -> None:
        """Load it, start it, answer what it asks; then an ordinary one works in a new engine."""
        source = BundleSource("app:flow", data, "flow.lua", "main", MODULES)
        try:
            engine = Engine(source, cpu_seconds=0.05, memory_bytes=16 << 20, total_bytes=32 << 20)
            run = engine.open(INFO)
        except (LoadError, ActivationFault):
            return
        try:
            out = run.step(b"start", START_MS, 1, 100, [1, {"a": "b"}], {})
            for turn in range(5):
                if out.status == "service":
                    out = run.step(b"reply", START_MS, 2, 100, [1, True])
                elif out.status == "wait" and out.commands:
                    seq = out.commands[0].seq
                    op = b"cancel" if turn == 2 else b"resolve"
                    args = () if turn == 2 else (seq, turn != 1, {"a": 1})
                    out = run.step(op, START_MS + turn, 3 + turn, 100, *args)
                else:
                    break
            run.stack()
        except (LoadError, ActivationFault):
            pass
        finally:
            run.close()
