"""Objects whose keys came before are written without sorting: the same text as the first time."""

from __future__ import annotations

import orjson
import pytest
from tests.lua.test_kernel_shapes import answer
from tests.support.mutants import kernel_mutant, proves

from luaflow.domain import values
from luaflow.lua import BundleSource, Engine

# Makes a table of keys put in in this order, then some taken out again, and writes it three times:
# the first time its keys are new, from the third on they are known.
MAKE = """
local function main(order, gone, meta)
  local t = {}
  for i, key in ipairs(order) do t[key] = i end
  for _, key in ipairs(gone) do t[key] = nil end
  if meta then setmetatable(t, { __index = { never = 1 } }) end
  return { t, t, t, t }
end
return { main = main }
"""

ORDERS: list[tuple[list[object], list[object]]] = [
    (["b", "a", "c"], []),
    (["c", "b", "a"], []),
    (["a", "b", "c", "d"], ["d"]),
    (["a", "b"], []),
    (["a", "b", "c", "d"], []),
    (["z", "a", "b", "c"], ["z", "b"]),
    (["a"], []),
    ([7, "a", "b", "c"], []),
    ([1, "a", "b", "c"], []),
    ([True, "b", "a"], []),
    (["$lf", "a"], []),
    (["a\nb", 'q"', "\\", "é", "b"], []),
    ([1, 2, 3], []),
    ([1, 2, 3, "a"], ["a"]),
    ([1, 2, 3], [2]),
    ([f"k{i:02}" for i in range(16)], []),
    ([f"k{i:02}" for i in range(17)], []),
    (["k" * 64, "a"], []),
    (["k" * 65, "a"], []),
]


def expected(order: list[object], gone: list[object]) -> object:
    """What Python writes for the same table."""
    table = {key: i for i, key in enumerate(order, 1) if not _among(key, gone)}
    if table and list(table) == list(range(1, len(table) + 1)) and True not in order:
        return list(table.values())
    return table


def _among(key: object, keys: list[object]) -> bool:
    return any(key == one and type(key) is type(one) for one in keys)


@proves(kernel_mutant("objects", "  sort(sorted)\n", ""))
async def test_a_known_object_is_written_like_a_new_one() -> None:
    """Whatever the order in which its keys came to it, and whatever is nearly the same."""
    engine = Engine(BundleSource("app:f", MAKE), kind="function")
    for _ in range(3):
        for order, gone in ORDERS:
            for meta in (False, True):
                text = values.dumps(expected(order, gone))
                fed = [orjson.Fragment(values.dumps(one)) for one in (order, gone, meta)]
                assert answer(engine, fed) == b"[%s]" % b",".join([text] * 4), (order, gone, meta)


def test_an_object_that_grows_is_written_as_it_is() -> None:
    """The keys of one are the beginning of another's."""
    code = """return { main = function()
      local t, all = {}, {}
      for round = 1, 3 do
        t = {}
        for i = 1, 20 do t["k" .. i] = i all[#all + 1] = require("json").encode(t) end
      end
      return all
    end }"""
    engine = Engine(BundleSource("app:f", code, modules=("json",)), kind="function")
    texts = orjson.loads(answer(engine, []) or b"")
    for i, text in enumerate(texts):
        keys = sorted(f"k{n}" for n in range(1, i % 20 + 2))
        assert text == orjson.dumps({key: int(key[1:]) for key in keys}).decode()


def test_more_objects_than_are_kept() -> None:
    """All is forgotten then, and learned again."""
    code = """return { main = function(from)
      local all = {}
      for i = from, from + 999 do
        local t = { ["a" .. i % 97] = 1, ["b" .. i % 89] = 2, ["c" .. i % 83] = 3 }
        all[#all + 1] = require("json").encode(t)
      end
      return all
    end }"""
    engine = Engine(BundleSource("app:f", code, modules=("json",)), kind="function")
    for start in range(0, 8000, 1000):
        for i, text in enumerate(orjson.loads(answer(engine, [start]) or b""), start):
            assert text == f'{{"a{i % 97}":1,"b{i % 89}":2,"c{i % 83}":3}}'


@proves(kernel_mutant("codec", "= as_boundary, depth, 0", "= as_boundary, depth, count"))
@pytest.mark.parametrize("bad", ["print", "{ x = { y = print } }", "{ 1, 2, print }"])
async def test_what_is_refused_leaves_nothing_behind(bad: str) -> None:
    """The next text is whole."""
    code = f"""local json = require("json")
    return {{ main = function()
      local text, err = json.encode({{ a = 1, b = {{ 2, {bad} }} }})
      return {{ text == nil, json.encode({{ a = 1, b = {{ 2 }} }}) }}
    end }}"""
    engine = Engine(BundleSource("app:f", code, modules=("json",)), kind="function")
    for _ in range(3):
        assert answer(engine, []) == rb'[true,"{\"a\":1,\"b\":[2]}"]'
