"""Counting what Lua executes: a hook in every coroutine of every runtime that is made meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from luaflow.lua import vm

EVERY = 10
"""Instructions between two looks."""
# The kernel's own hooks are taken away: a coroutine has room for one. What it spends is not limited
# meanwhile, and its hooks are not counted.
_COUNTED = f"""
local sethook, create, yield = debug.sethook, coroutine.create, coroutine.yield
local looks = 0
local function look() looks = looks + 1 end
sethook(look, "", {EVERY})
debug.sethook = function() end
coroutine.create = function(f)
  local co = create(f)
  sethook(co, look, "", {EVERY})
  return co
end
return function() return looks end
"""


class Instructions:
    """How many instructions all counted runtimes have executed."""

    def __init__(self) -> None:
        self._runtimes: list[Any] = []

    def so_far(self) -> int:
        """Instructions since the runtimes were made."""
        return sum(int(looks()) for looks in self._runtimes) * EVERY

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count in the runtimes that are made meanwhile."""
        lua: Any = vm.__dict__["_lupa"]
        real = lua.LuaRuntime

        def make(**how: Any) -> Any:
            runtime = real(**how)
            self._runtimes.append(runtime.execute(_COUNTED))
            return runtime

        with patch.object(lua, "LuaRuntime", make):
            yield
