"""Objects that modules give are closed: nothing inside can be read, replaced or forged."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.modules.support_modules import in_function, in_workflow

OBJECTS = {
    "a subscription": ("events", "events.subscribe('s')", "close"),
    "a version": ("registry", "registry.current_version()", "id"),
    "a snapshot": ("registry", "registry.snapshot()", "entries"),
    "changes": ("registry", "registry.snapshot():changes()", "ops"),
    "a history": ("registry", "registry.history()", "versions"),
}
ATTACK = """local object = {made}
local function fails(f, ...) return not pcall(f, ...) end
return {{ fails(pairs, object), fails(next, object), fails(rawget, object, 1), fails(rawset,
    object, 1, 2),
    fails(setmetatable, object, {{}}), getmetatable(object), fails(function() object.x = 1 end),
    fails(object.{method}, {{}}), fails(object.{method}, setmetatable({{}}, {{ __index = object
        }})) }}"""
CLOSED = [True, True, True, True, True, False, True, True, True]


@pytest.mark.parametrize("name", OBJECTS)
async def test_objects_are_closed(tmp_path: Path, name: str) -> None:
    """Each way in is refused."""
    module, made, method = OBJECTS[name]
    body = ATTACK.format(made=made, method=method)
    assert await in_function(tmp_path, body, modules=(module,)) == CLOSED


MODULES = ("hash", "base64", "crypto", "yaml", "json", "payload")


@pytest.mark.parametrize("module", MODULES)
def test_modules_cannot_be_changed(module: str) -> None:
    """They are shared by all runs of an engine."""
    body = f"""local function fails(f, ...) return not pcall(f, ...) end
    return {{ fails(function() {module}.new = 1 end), fails(rawset, {module}, "x", 1),
        fails(setmetatable, {module}, {{}}), getmetatable({module}) }}"""
    assert in_workflow(body, modules=(module,)) == [True, True, True, False]


def test_parts_of_modules_cannot_be_changed() -> None:
    """Neither can the tables inside."""
    body = """local function fails(f, ...) return not pcall(f, ...) end
    return { fails(function() crypto.random.bytes = print end), fails(rawset, crypto.jwt, "x", 1),
        fails(function() payload.format.JSON = "x" end) }"""
    assert in_workflow(body, modules=("crypto", "payload")) == [True, True, True]
