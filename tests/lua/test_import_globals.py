"""An import is a global of its alias, as a listed module is."""

from __future__ import annotations

import pytest
from tests.lua.support_kernel import Play, source
from tests.support.mutants import kernel_mutant, proves

from luaflow.lua.vm import BundleSource

UNSHARED = kernel_mutant("load", "known == nil or known == target", "true")


def library(name: str, code: str, **imports: BundleSource) -> BundleSource:
    return BundleSource(f"lib:{name}", code, f"{name}.lua", imports=imports)


def test_an_import_is_there_without_require() -> None:
    """The alias names what require gives: in functions, in libraries, loaded once."""
    deep = library("deep", "loads = (loads or 0) + 1 return { one = 1 }")
    near = library("near", "return { two = function() return deep.one + 1 end }", deep=deep)
    code = """return function()
        local same = deep == require("deep")
        return { near.two(), deep.one, same, _G.near == near, loads, absent == nil }
    end"""
    assert Play(source(code, imports={"near": near, "deep": deep})).result == [
        *(2, 1, True, True, 1, True)
    ]


def test_a_global_of_the_code_and_a_module_come_first() -> None:
    """An alias takes no name away."""
    other = library("other", "return 'imported'")
    code = "mine = 'own' return function() return { mine, type(string.rep), type(assert) } end"
    imports = {"mine": other, "string": other, "assert": other}
    assert Play(source(code, imports=imports)).result == ["own", "function", "function"]


@proves(UNSHARED)
async def test_an_alias_of_two_meanings_is_no_global() -> None:
    """Each unit requires what it means."""
    one, two = library("one", "return 1"), library("two", "return 2")
    near = library("near", "return { get = function() return require('x') end }", x=two)
    code = "return function() return { x == nil, require('x'), near.get() } end"
    assert Play(source(code, imports={"near": near, "x": one})).result == [True, 1, 2]


@pytest.mark.parametrize("kind", ["workflow", "function"])
def test_a_cycle_of_globals_is_named(kind: str) -> None:
    """As with require."""
    loop = library("loop", "return again.value")
    loop.imports["again"] = loop  # type: ignore[index]
    play = Play(source("return function() return loop end", imports={"loop": loop}), kind=kind)
    assert "circular import" in play.failure["message"]
