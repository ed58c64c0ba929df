"""Texts of a shape that came before are read by a reader of their own: the same values come out."""

from __future__ import annotations

from typing import Any

import orjson
from tests.support.mutants import kernel_mutant, proves

from luaflow.lua import BundleSource, Engine

ECHO = "return { main = function(...) return { ... } end }"
COUNT = "return { main = function(...) return select('#', ...) end }"
SHOW = """
local function show(value)
  if type(value) ~= "table" then return math.type(value) or type(value) end
  local parts = {}
  for key, one in pairs(value) do parts[#parts + 1] = tostring(key) .. ":" .. show(one) end
  return "{" .. table.concat(parts, ",") .. "}"
end
return { main = function(...) return show({ ... }) end }
"""
INFO = {"workflow_id": "w", "run_id": "r", "workflow_type": "t", "task_queue": "q", "pid": "{a|b}"}

ALIKE: list[list[Any]] = [
    [{"name": "ada", "amount": 1.5, "paid": True, "lines": [{"sku": "a", "n": 1}]}],
    [{"name": "", "amount": -2, "paid": False, "lines": [{"sku": "é", "n": 0}]}],
    [{"name": 'quo"te', "amount": 1e300, "paid": True, "lines": [{"sku": "a\\b", "n": 2**62}]}],
    [{"name": "tab\tnew\nline", "amount": 2**63, "paid": True, "lines": [{"sku": "%d", "n": 7}]}],
    [{"name": "[,:{}]", "amount": 3.0, "paid": False, "lines": [{"sku": "\x7f", "n": -0.0}]}],
]
"""One shape, whose values are of all kinds; in the order in which they are fed."""

NEAR: list[list[Any]] = [
    [{"name": None, "amount": 1.5, "paid": True, "lines": [{"sku": "a", "n": 1}]}],
    [{"name": "ada", "amount": "1.5", "paid": True, "lines": [{"sku": "a", "n": 1}]}],
    [{"name": "ada", "amount": 1.5, "paid": None, "lines": [{"sku": "a", "n": 1}]}],
    [{"name": "ada", "amount": 1.5, "paid": True, "lines": []}],
    [{"name": "ada", "amount": 1.5, "paid": True, "lines": {}}],
    [{"name": "ada", "amount": 1.5, "paid": True, "lines": [{"sku": "a", "n": 1}, {"sku": "b"}]}],
    [{"name": "ada", "amount": 1.5, "paid": True, "lines": [{"sku": "a", "n": 1}]}, 2],
    [{"name": {"$lf": "float", "v": "inf"}, "amount": 1.5, "paid": True, "lines": [1]}],
    [{"name": {"$lf": "bytes", "v": "gP8="}, "amount": 1.5, "paid": True, "lines": [1]}],
]
"""What differs from that shape by a little."""


def answer(engine: Engine, args: list[Any]) -> bytes | None:
    """What the function of an engine answers to arguments."""
    run = engine.open(INFO)
    out = run.step(b"start", 1, 1, 0, args, {})
    assert out.status == "done", out
    return out.result


def answers(code: str, texts: list[list[Any]]) -> list[bytes | None]:
    return [answer(Engine(BundleSource("app:f", code), kind="function"), text) for text in texts]


def practised(code: str) -> Engine:
    """An engine that has read many texts of the shape, and of others."""
    engine = Engine(BundleSource("app:f", code), kind="function")
    for text in (*NEAR * 2, *ALIKE[:2] * 30):
        answer(engine, text)
    return engine


@proves(
    kernel_mutant("shapes", '"number(c%d)"', '"c%d"'),
    kernel_mutant("shapes", """'c%d=="true"'""", '"c%d"'),
    kernel_mutant("shapes", "== 91 and size or", "== 91 and 1 or"),
    kernel_mutant("shapes", r"""([^"\\%c]*)"', "(-?""", r"""([^"]*)"', "(-?"""),
)
async def test_a_known_shape_is_read_like_a_new_one() -> None:
    """Values, their types and their number; texts that are nearly of the shape, too."""
    texts = [*ALIKE, *NEAR]
    for code in (ECHO, COUNT, SHOW):
        engine = practised(code)
        assert [answer(engine, text) for text in texts] == answers(code, texts)


def test_runs_share_no_tables() -> None:
    """Each reading makes tables of its own: what one run changes no other one sees."""
    code = "return { main = function(o) o.name, o.lines = 1, 2 return o end }"
    engine = practised(code)
    first = orjson.loads(answer(engine, ALIKE[0]) or b"")
    assert orjson.loads(answer(engine, ALIKE[0]) or b"") == first
