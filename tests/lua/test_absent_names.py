"""Names of other Lua that are not here: they read as nil, and calling one says what to use."""

from __future__ import annotations

import pytest
from tests.lua.support_kernel import Play

GLOBALS = "load loadstring loadfile dofile collectgarbage rawlen io debug utf8 package".split()  # noqa: SIM905
OF_OS = "execute exit remove rename tmpname getenv setlocale".split()  # noqa: SIM905


def test_what_is_absent_reads_as_nil() -> None:
    """Code may look whether a library is there."""
    names = "".join(f"{name} = _G.{name} == nil and {name} == nil, " for name in GLOBALS)
    fields = "".join(f"{name} = os.{name} == nil, " for name in OF_OS)
    play = Play("return function() return { " + names + fields + "dump = ('x').dump == nil } end")
    assert play.result == dict.fromkeys([*GLOBALS, *OF_OS, "dump"], True)


SAID = {
    "io.open('x')": "flow.lua:1: io is not available in workflows: use an activity",
    "load('return 1')": "flow.lua:1: load is not available in workflows: "
    "put the code in a library entry and require it",
    "os.getenv('HOME')": "flow.lua:1: os.getenv is not available in workflows: "
    "pass it as an argument",
    "local own = {} own.remove()": "flow.lua:1: attempt to call a nil value (field 'remove')",
    "local t = {} t.other()": "flow.lua:1: attempt to call a nil value (field 'other')",
    "nothing()": "flow.lua:1: attempt to call a nil value (global 'nothing')",
}


@pytest.mark.parametrize(("program", "message"), SAID.items())
def test_who_uses_it_is_told_what_to_use_instead(program: str, message: str) -> None:
    """The message has the remedy, where the code catches it as well as where it ends the run."""
    caught = Play(f"return function() return select(2, pcall(function() {program} end)) end")
    assert caught.result == message
    assert Play(f"return function() {program} end").failure["message"] == message
