"""The sandbox half of the prelude in a bare runtime, with a step small enough to read."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from lupa.lua54 import LuaRuntime

PRELUDE = Path(__file__).resolve().parents[2] / "shared/luaflow/lua/prelude"
FILES = (
    "native budget guard stable order patterns matcher strings packing tables maths libs".split()  # noqa: SIM905
)
MIB = 1024 * 1024

STEP = b"""
local K = ...
local N, G = K.native, K.guard
local status = N.coroutine.status
local envs = {}

local function show(v)
  if N.type(v) == "table" or N.type(v) == "function" then return N.type(v) end
  return K.stable.tostring(v)
end

local function drive(co, out)
  local waits = 0
  local function next_step(ok, ...)
    if not ok then
      local err = (...)
      return "error", N.type(err) == "string" and K.libs.explained(err) or err
    end
    if status(co) == "dead" then
      for i = 1, N.select("#", ...) do out[#out + 1] = show((N.select(i, ...))) end
      return "done"
    end
    waits = waits + 1
    return next_step(G.resume(co, "answer", waits, ...))
  end
  return next_step(G.resume(co))
end

-- One activation of `source` in the environment named `run`: status, detail, lines...
return function(source, run, cpu, memory)
  local env = envs[run]
  if not env then
    env = K.libs.environment(run)
    envs[run] = env
    function env.wait(...) return K.system_yield(...) end
  end
  local out = {}
  function env.print(...)
    local words = {...}
    for i = 1, N.select("#", ...) do words[i] = K.stable.tostring(words[i]) end
    out[#out + 1] = N.table.concat(words, " ")
  end
  local chunk, why = N.compile(source, "@test.lua", env)
  if not chunk then return "load", why end
  local co = G.create(chunk)
  G.begin(cpu, memory, env)
  local state, err = drive(co, out)
  local reason = G.finish(err)
  if reason then return "fault", reason end
  if state == "error" then return "error", show(err), N.table.unpack(out) end
  return state, "", N.table.unpack(out)
end
"""


class Outcome(NamedTuple):
    """How an activation ended (done, error, fault, load), why, what it printed, CPU seconds."""

    status: str
    detail: str
    lines: list[str]
    seconds: float = 0.0


def deny(*_: Any) -> Any:
    """Refuse every attribute of every Python object."""
    raise AttributeError


class Sandbox:
    """A fresh runtime with the sandbox loaded."""

    def __init__(self) -> None:
        """Load the prelude's files in order, as vm.py does."""
        self.runtime = LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_filter=deny,
            max_memory=0,
        )
        self.shared = self.runtime.table()
        for name in FILES:
            source = (PRELUDE / f"{name}.lua").read_bytes()
            self.runtime.compile(source, name=b"=luaflow/" + name.encode(), mode=b"t")(self.shared)
        self.shared[b"native"][b"set_max_memory"] = self.runtime.set_max_memory
        self.shared[b"native"][b"thread_time"] = time.thread_time
        self.step = self.runtime.compile(STEP, name=b"=step", mode=b"t")(self.shared)

    def run(
        self, source: str | bytes, run: str = "run-1", cpu: float = 1.0, memory: int = 64 * MIB
    ) -> Outcome:
        """Run one activation; a name seen before continues with that run's globals."""
        code = source.encode() if isinstance(source, str) else source
        before = time.thread_time()
        answer = self.step(code, run.encode(), cpu, memory)
        seconds = time.thread_time() - before
        status, detail, *lines = (part.decode(errors="replace") for part in answer)
        return Outcome(status, detail, lines, seconds)


def hostile(source: str, cpu: float = 0.3, memory: int = 64 * MIB, timeout: float = 20) -> Outcome:
    """Run a program in a process of its own, then an ordinary one in the same runtime.

    Raises AssertionError if the process dies or hangs, or the second program does not work.
    """
    request = json.dumps({"source": source, "cpu": cpu, "memory": memory})
    done = subprocess.run(
        [sys.executable, "-m", "tests.lua.support_sandbox"],
        input=request,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=PRELUDE.parents[3],
    )
    assert done.returncode == 0, f"the process died: {done.returncode} {done.stderr[-500:]}"
    answer = json.loads(done.stdout)
    assert answer["after"][:3] == ["done", "", ["6", "abc", "1 2 3"]]
    return Outcome(*answer["outcome"])


AFTER = """
local list = {3, 1, 2}
table.sort(list)
return 1 + 2 + 3, ("%s%s"):format("ab", "c"), table.concat(list, " ")
"""


def main() -> None:
    """Serve one `hostile` request."""
    request = json.loads(sys.stdin.read())
    sandbox = Sandbox()
    outcome = sandbox.run(request["source"], cpu=request["cpu"], memory=request["memory"])
    json.dump({"outcome": outcome, "after": sandbox.run(AFTER, "run-2")}, sys.stdout)


if __name__ == "__main__":
    main()
