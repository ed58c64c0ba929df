"""Where messages, watches and ends go to: what is no text is Invalid, an unknown text NotFound."""

from __future__ import annotations

import pytest
from tests.lua.support_kernel import Play
from tests.support.mutants import kernel_mutant, proves

VERBS = "cancel terminate monitor unmonitor link unlink".split()  # noqa: SIM905
CODE = """return function()
    local out = {}
    for i, verb in ipairs({ %s }) do
        local given, err = process[verb](%s)
        out[i] = given == nil and err:kind() .. ": " .. err:message()
    end
    return out
end"""


def said(argument: str) -> list[str]:
    names = ", ".join(f"'{verb}'" for verb in VERBS)
    return list(Play(CODE % (names, argument), kind="function").result)


@proves(kernel_mutant("modules/process", 'if type(dest) ~= "string" then', "if false then"))
async def test_a_destination_that_is_no_text_is_invalid() -> None:
    """It was forgotten, or is something else: nobody is looked for."""
    words = "Invalid: a destination is a text, a PID or a registered name, not "
    assert said("") == [words + "nil"] * len(VERBS)
    assert said("{}") == [words + "table"] * len(VERBS)


@pytest.mark.parametrize("name", ["", "{broken", "{no bar}"])
def test_a_text_that_cannot_be_anybody_is_not_found(name: str) -> None:
    """Without asking."""
    words = f"NotFound: could not resolve '{name}' as PID or registered name"
    assert said(f"'{name}'") == [words] * len(VERBS)
