"""What the sandbox leaves out: nil to whoever asks, and a remedy to whoever uses it."""

from __future__ import annotations

import pytest
from tests.lua.support_sandbox import Sandbox

GLOBALS = "load loadstring loadfile dofile collectgarbage rawlen io debug utf8 package".split()  # noqa: SIM905
MEMBERS = [
    f"os.{name}" for name in ("execute", "exit", "remove", "rename", "tmpname", "getenv")
] + ["string.dump"]


@pytest.mark.parametrize("name", GLOBALS + MEMBERS)
def test_it_reads_as_nil(name: str) -> None:
    """Code may ask for it, by name and in _G."""
    outcome = Sandbox().run(f"return {name} == nil, type({name}), _G.{name} == nil")
    assert (outcome.status, outcome.lines) == ("done", ["true", "nil", "true"])


def test_a_caught_use_has_the_remedy_too() -> None:
    """Pcall gives the same words as a failure of the run."""
    outcome = Sandbox().run("return pcall(function() return os.getenv('X') end)")
    assert outcome.lines == [
        "false",
        "test.lua:1: os.getenv is not available in workflows: pass it as an argument",
    ]


def test_nils_of_the_code_keep_their_message() -> None:
    """A field of the same name that the code lacks itself is no member of ours."""
    outcome = Sandbox().run("local own = {} return pcall(function() own.remove() end)")
    assert outcome.lines == ["false", "test.lua:1: attempt to call a nil value (field 'remove')"]
