"""Modules of other runtimes: the app loads, and each call says what to do instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.lua.support_kernel import source
from tests.modules.support_modules import in_function, in_workflow

from luaflow.lua.files import ABSENT, LATER
from luaflow.lua.vm import Engine, LoadError
from luaflow.registry.modules import FORBIDDEN, KNOWN, PROVIDED, WORKFLOW

CALL = """local value, err = {0}.anything("x", 1)
return {{ value == nil, err:kind(), err:retryable(), err:message(), pcall(function() {0}.x = 1
    end) }}"""


@pytest.mark.parametrize("name", sorted(ABSENT))
async def test_in_functions(tmp_path: Path, name: str) -> None:
    """Unavailable, and no other try helps."""
    got = await in_function(tmp_path, CALL.format(name), modules=(name,))
    assert got[:3] == [True, "Unavailable", False]
    assert got[3].startswith(f"{name}.anything is not provided by luaflow: ")
    assert (got[4], got[5]) == (False, f"f.lua:2: module {name} is read-only")


@pytest.mark.parametrize("name", sorted(ABSENT & WORKFLOW))
def test_in_workflows(name: str) -> None:
    """The deterministic ones of them load there, too."""
    assert in_workflow(CALL.format(name), modules=(name,))[:3] == [True, "Unavailable", False]


@pytest.mark.parametrize("name", sorted((ABSENT | LATER.keys()) & FORBIDDEN))
def test_what_workflows_must_not_use_does_not_load_there(name: str) -> None:
    """Whether luaflow has it or not."""
    with pytest.raises(LoadError, match=f"module '{name}' is not available in workflows"):
        Engine(source("return print", modules=(name,)))


def test_the_lists_agree() -> None:
    """Every module that is known is provided, absent, or of the core."""
    assert PROVIDED.isdisjoint(ABSENT)
    assert ABSENT < KNOWN
    assert LATER.keys() - ABSENT < PROVIDED


def test_what_is_not_listed_says_so() -> None:
    """Also where its file is not loaded."""
    engine = Engine(source('local h = require("hash") return print', modules=("json",)))
    with pytest.raises(
        LoadError, match="module 'hash' not found: it is not listed, add it to `modules`"
    ):
        engine.check()
