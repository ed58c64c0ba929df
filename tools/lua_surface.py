"""What the prelude really offers to Lua code, asked of a running engine's kernel."""

from __future__ import annotations

from typing import Any, NamedTuple

from lupa import lua54

from luaflow.lua import vm

_LIST = b"""
local K = ...
local N = K.native
local out, n = {}, 0
local function members(kind, name, t)
  for key, value in N.next, t do
    local mt = N.type(value) == "table" and kind == "module" and N.debug.getmetatable(value)
    if mt and N.type(mt.__index) == "table" and not K.plain_of[mt] then
      members(kind, name .. "." .. key, mt.__index)
    elseif N.type(key) == "string" then
      local text = N.type(value) == "function" and "function" or N.tostring(value)
      out[n + 1], out[n + 2], out[n + 3], out[n + 4] = kind, name, key, text
      n = n + 4
    end
  end
end
for name, module in N.next, K.modules do
  local mt = N.debug.getmetatable(module)
  local known = mt and N.type(mt.__index) == "table" and mt.__index
  if known then members(K.plain_of[mt] and "logger" or "module", name, known) end
end
for name, module in N.next, K.libs.modules do
  members("module", name, N.debug.getmetatable(module).__index)
end
for class in N.next, K.plain_of do members("class", class.__name, class.__index) end
members("globals", "globals", K.libs.base)
return N.table.unpack(out, 1, n)
"""


class Member(NamedTuple):
    """A member of a module or class: ``value`` is 'function', or the text of a constant."""

    kind: str
    owner: str
    name: str
    value: str


def surface(kind: str = "function") -> list[Member]:
    """Every member that code of this kind can reach, in order."""
    runtime: Any = lua54.LuaRuntime(
        encoding=None, unpack_returned_tuples=True, register_eval=False, max_memory=0
    )
    kernel = runtime.table()
    for name, code in vm.prelude():
        runtime.execute(code, kernel, name=b"=luaflow/" + name)
    configure = b"local K = ...; return K.configure"
    runtime.execute(configure, kernel)(kind.encode(), b"app:any", 1.0, 1 << 26, 1 << 28)
    flat = [part.decode(errors="replace") for part in runtime.execute(_LIST, kernel)]
    return sorted(Member(*flat[i : i + 4]) for i in range(0, len(flat), 4))
