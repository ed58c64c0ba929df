"""Typed sources as an app has them: loaded, bundled, checked and run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.lua.support_kernel import Play, source
from tests.support.apps import HEAD, WORKFLOW, write_app

from luaflow.registry import RegistryErrors, bundle_entry, check_app, load_app
from luaflow.registry.lua_scan import scan
from luaflow.registry.typed import erase

TYPED = """\
local time = require("time")
export type Order = { id: string, lines: {Line}, note: string? }
type Line = { sku: string, count: integer }

local function total(order: Order, each: (Line) -> number): number
  local sum: number = 0
  for _: integer, line: Line in ipairs(order.lines) do
    sum = sum + each(line as Line)
  end
  return sum
end

local M = {}
function M:name<T>(order: Order, suffix: string?): string
  return (order.id :: any) .. (suffix or "")
end

local function main(order: Order): ({ [string]: any }?, error?)
  local sum = total(order, function(line: Line): number return line.count * 2 end)
  local text = string(sum) .. string(nil)
  return { sum = sum, text = text, name = M:name(order!, "!"), whole = integer("42"),
    number = number("1.5"), yes = boolean(0), no = boolean(nil as any) }
end
return { main = main }
"""
INLINE = """\
  - name: add
    kind: function.lua
    source: |
      return function(a: number, b: number): number
        return a + b
      end
"""


def test_a_typed_workflow_runs() -> None:
    """The registry's text is plain Lua; casts work in a workflow, and give the same each time."""
    order = {"id": "o1", "lines": [{"sku": "a", "count": 1}, {"sku": "b", "count": 2}]}
    left = erase(TYPED).text
    results = {Play(source(left), order).last.result for _ in range(2)}
    (result,) = results
    assert result is not None
    for piece in (b'"sum":6', b'"text":"6nil"', b'"name":"o1!"', b'"whole":42', b'"yes":true'):
        assert piece in result


def test_bundles_hold_plain_lua(tmp_path: Path) -> None:
    """Workers need to know nothing of types, and the text has every line where it was."""
    yaml = HEAD + WORKFLOW + INLINE
    app = load_app(write_app(tmp_path, {"app.yaml": yaml, "wf.lua": TYPED}), {})
    text = bundle_entry(app, "app:wf").main.text
    assert text.count("\n") == TYPED.count("\n")
    assert text.split("\n")[6].startswith("  for _         , line       in ipairs(order.lines) do")
    assert not scan(text).assigned
    assert bundle_entry(app, "app:add").main.text.startswith("return function(a        , b ")
    again = load_app(tmp_path, {})
    assert bundle_entry(again, "app:wf").name == bundle_entry(app, "app:wf").name
    assert check_app(app) == []


def test_plain_sources_make_the_same_bundle(tmp_path: Path) -> None:
    """A source without types keeps its bytes, and so its bundle keeps its name."""
    lua = "local function main(a)\n  return a -- as: T\nend\nreturn { main = main }\n"
    app = load_app(write_app(tmp_path, {"app.yaml": HEAD + WORKFLOW, "wf.lua": lua}), {})
    assert bundle_entry(app, "app:wf").main.text == lua


def test_errors_at_run_time_name_the_line() -> None:
    """A type of several lines leaves as many behind."""
    lua = "type T = {\n  a: string,\n}\nreturn function(x: T): nil\n  error('no' as string)\nend"
    failure = Play(source(erase(lua).text)).failure
    assert failure["message"] == "flow.lua:5: no"


def test_syntax_errors_are_listed_with_all_others(tmp_path: Path) -> None:
    """File, line and column, in order of place, of Lua in files and of Lua in YAML."""
    inline = (
        "  - name: fn\n    kind: function.lua\n    source: |\n      local x = 1\n      x += 2\n"
    )
    broken = "local function main(a: string)\n  if a then continue end\nend\nreturn {main = main}\n"
    yaml = HEAD.replace("    address: localhost:6379\n", "") + WORKFLOW + inline
    write_app(tmp_path, {"app.yaml": yaml, "wf.lua": broken})
    with pytest.raises(RegistryErrors) as caught:
        load_app(tmp_path, {})
    errors = [(Path(e.file).name, e.line, e.column, e.what) for e in caught.value.errors]
    assert errors == [
        ("app.yaml", 3, None, "address is required"),
        ("app.yaml", 18, 9, "Lua has no '+='"),
        ("wf.lua", 2, 13, "Lua has no 'continue'"),
    ]
    line = str(caught.value.errors[2])
    assert line.startswith(f"{tmp_path / 'wf.lua'}:2:13: Lua has no 'continue' \u2013 write goto")


def test_a_type_used_as_a_value_is_warned_of(tmp_path: Path) -> None:
    """Types are gone when the code runs: calling one to validate cannot work."""
    lua = "type P = {x: number}\nreturn function(v) return P(v) end\n"
    app = load_app(write_app(tmp_path, {"app.yaml": HEAD + WORKFLOW, "wf.lua": lua}), {})
    (warning,) = app.warnings
    assert (Path(warning.file).name, warning.line) == ("wf.lua", 2)
    assert "the type P is used as a value" in warning.message
