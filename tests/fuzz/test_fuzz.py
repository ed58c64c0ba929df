"""Hostile input is refused with words: no traceback, no hang, whatever it is."""

from __future__ import annotations

import random
import time

import pytest

from luaflow.errors import InvalidArgument
from tests.fuzz.running import Finding, fuzz, kept
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

SEED = 4


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_too_much_once(name: str) -> None:
    """Every input that was a finding is taken now."""
    target = TARGETS[name]()
    target.open()
    try:
        found = {path.name: target.once(path.read_bytes()) for path in kept(name)}
    finally:
        target.close()
    assert not any(found.values()), found


@pytest.mark.parametrize("name", TARGETS)
def test_some_inputs(name: str) -> None:
    """A few hundred inputs of a fixed seed."""
    target = TARGETS[name]()
    report = fuzz(target, SEED, inputs=target.quick)
    assert (report.inputs, report.findings) == (target.quick, [])


@pytest.mark.heavy
@pytest.mark.parametrize("name", TARGETS)
def test_many_inputs(name: str) -> None:
    """Inputs nobody has seen before, for some seconds."""
    report = fuzz(TARGETS[name](), int(time.time()), seconds=5 * TARGETS[name].share)
    assert report.findings == []


class Planted(Target):
    """Refuses, breaks, hangs or says nothing, as its input asks."""

    name = "planted"
    seconds = 0.05

    def make(self, chance: random.Random) -> bytes:
        """One of its ways, mostly the good one."""
        return chance.choice((b"fine", b"fine", b"refuse", b"break", b"hang", b"mute"))

    def run(self, data: bytes) -> None:
        """Do it."""
        match data:
            case b"refuse":
                raise InvalidArgument("no")
            case b"break":
                raise KeyError("x")
            case b"mute":
                raise InvalidArgument(" ")
            case b"hang":
                while True:
                    pass


def test_a_target_that_misbehaves_is_found() -> None:
    """An exception that is none of ours, a hang and a refusal without words, each once."""
    told: list[Finding] = []
    report = fuzz(Planted(), 1, inputs=40, told=told.append)
    assert {f.data for f in report.findings} == {b"break", b"hang", b"mute"}
    assert told == report.findings
    again = fuzz(Planted(), 1, inputs=40)
    assert [f.data for f in again.findings] == [f.data for f in report.findings]
