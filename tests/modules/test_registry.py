"""registry: the entries of an app, found by their fields and their metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.modules.support_modules import in_function

MODULES = ("registry",)
ENTRIES: list[dict[str, Any]] = [
    {"name": "one", "kind": "registry.entry", "meta": {"type": "test", "tags": ["a", "b"], "n": 1}}
    | {"value": "${env:X|y}", "list": [1, 2]},
    {
        "name": "two",
        "kind": "registry.entry",
        "meta": {"type": "testing", "on": True, "a": {"b": "c"}},
    },
    {"name": "three", "kind": "process.host", "meta": {"type": "other"}},
]

CASES: dict[str, tuple[str, Any]] = {
    "get": (
        """local e = registry.get("app:one")
        return { e.id, e.kind, e.meta.type, e.meta.tags[2], e.data.value, e.data.list[2] }""",
        ["app:one", "registry.entry", "test", "b", "${env:X|y}", 2],
    ),
    "get refuses": (
        """local function kind(...) local v, e = registry.get(...) return v == nil and e:kind() end
        return { kind("app:nope"), kind(""), kind(nil), kind(5) }""",
        ["NotFound", "Invalid", "Invalid", "Invalid"],
    ),
    "find by fields": (
        """local function ids(filter)
            local out = {}
            for i, e in ipairs(registry.find(filter)) do out[i] = e.id:match(":(.*)$") end
            return table.concat(out, " ")
        end
        return { ids({ [".kind"] = "registry.entry" }), ids({ [".name"] = "two" }),
            ids({ [".ns"] = "app", [".kind"] = "process.host" }), ids({ [".ns"] = "nope" }),
            ids({}), ids(nil) }""",
        ["one two", "two", "three", "", "f one three two", "f one three two"],
    ),
    "find by metadata": (
        """local function ids(filter)
            local out = {}
            for i, e in ipairs(registry.find(filter)) do out[i] = e.id:match(":(.*)$") end
            return table.concat(out, " ")
        end
        return { ids({ ["meta.type"] = "test" }), ids({ ["~meta.type"] = "^test(ing)?$" }),
            ids({ ["*meta.type"] = "the" }), ids({ ["^meta.type"] = "test" }),
            ids({ ["$meta.type"] = "ing" }), ids({ ["meta.tags"] = "b" }), ids({ ["*meta.tags"] =
                "b" }),
            ids({ ["meta.on"] = true }), ids({ ["meta.n"] = 1 }), ids({ ["meta.on"] = 1 }),
            ids({ ["meta.a.b"] = "c" }), ids({ ["^.name"] = "t" }),
            ids({ ["meta.type"] = "test", [".kind"] = "process.host" }),
            ids({ type = "ignored", [".name"] = "one" }) }""",
        [
            "one",
            "one two",
            "three",
            "one two",
            "two",
            "one",
            "one",
            "two",
            "one",
            "",
            "two",
            "three two",
            "",
            "one",
        ],
    ),
    "find refuses": (
        """local function kind(...) local v, e = registry.find(...) return v == nil and e:kind() end
        return { kind(5), kind({ ["~meta.type"] = "(" }), kind({ ["~meta.type"] = ("x"):rep(501) }),
            kind({ x = print }) }""",
        ["Invalid"] * 4,
    ),
    "ids": (
        """local a, b = registry.parse_id("app.lib:assert"), registry.parse_id("bare")
        return { a.ns, a.name, b.ns, b.name, select(2, registry.parse_id(5)):kind() }""",
        ["app.lib", "assert", "", "bare", "Invalid"],
    ),
    "snapshots": (
        """local s = registry.snapshot()
        return { #s:entries(), s:get("app:one").id, #s:find({ [".name"] = "two" }),
            #s:namespace("app"),
            s:version():id(), #registry.snapshot_at(1):entries(),
            select(2, registry.snapshot_at(2)):kind(), select(2, registry.snapshot_at("x")):kind()
                }""",
        [4, "app:one", 1, 4, 1, 4, "NotFound", "Invalid"],
    ),
    "versions and history": (
        """local v, h = registry.current_version(), registry.history()
        return { v:id(), v:string(), tostring(v), v:previous() == nil, v:next() == nil,
            #registry.versions(), #h:versions(), h:get_version(1):id(), #h:snapshot_at(v):entries(),
            select(2, h:get_version(7)):kind(), v == registry.current_version() }""",
        [1, "v1", "v1", True, True, 1, 1, 1, 4, "NotFound", True],
    ),
    "nothing changes": (
        """local c = registry.snapshot():changes()
        local empty = select(2, c:apply()):kind()
        c:create({ id = "app:new", kind = "x" }):update({ id = "app:one", kind = "x" })
        c:delete("app:two") c:delete({ ns = "app", name = "three" })
        local kinds = {}
        for i, op in ipairs(c:ops()) do kinds[i] = op.kind .. " " .. op.entry.id end
        local _, err = c:apply()
        return { empty, kinds, err:kind(), err:retryable(), select(2,
            registry.apply_version(1)):kind(),
            select(2, registry.apply_version(9)):kind(), select(2, registry.get("app:new")):kind(),
            pcall(c.create, c, {}) }""",
        [
            "Invalid",
            [
                "entry.create app:new",
                "entry.update app:one",
                "entry.delete app:two",
                "entry.delete app:three",
            ],
            *("Unavailable", False, "Unavailable", "NotFound", "NotFound", False),
            "f.lua:1: registry changes: an entry needs an id",
        ],
    ),
    "differences": (
        """local ops = registry.build_delta(
            { { id = "a:1", kind = "k" }, { id = "a:2", kind = "k" }, { id = "a:3", kind = "k" } },
            { { id = "a:2", kind = "k" }, { id = "a:3", kind = "new" }, { id = "a:4", kind = "k" }
                })
        local out = {}
        for i, op in ipairs(ops) do out[i] = op.kind .. " " .. op.entry.id end
        return { out, select(2, registry.build_delta(5, {})):kind(),
            select(2, registry.build_delta({}, { {} })):kind() }""",
        [["entry.update a:3", "entry.create a:4", "entry.delete a:1"], "Invalid", "Invalid"],
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_registry(tmp_path: Path, name: str) -> None:
    """Everything there is."""
    body, expected = CASES[name]
    got = await in_function(tmp_path, body, modules=MODULES, entries=ENTRIES)
    if name == "nothing changes":
        got[-1] = got[-1].replace("f.lua:11", "f.lua:1")
    assert got == expected


async def test_files_that_data_refers_to_are_read(tmp_path: Path) -> None:
    """Anywhere in it; a file that is not there leaves what is written, and code its `source`."""
    (tmp_path / "text.txt").write_text("in a file\n")
    entry: dict[str, Any] = {"name": "doc", "kind": "registry.entry", "text": "file://text.txt"}
    entry["parts"] = [{"one": "file://text.txt"}, "file://nope.txt", "file:text"]
    body = """local d = registry.get("app:doc").data
    return { d.text, d.parts[1].one, d.parts[2], d.parts[3], registry.get("app:f").data.source,
        registry.find({ [".name"] = "doc" })[1].data.text }"""
    assert await in_function(tmp_path, body, modules=MODULES, entries=[entry]) == [
        "in a file\n",
        "in a file\n",
        "file://nope.txt",
        "file:text",
        "file://f.lua",
        "in a file\n",
    ]
