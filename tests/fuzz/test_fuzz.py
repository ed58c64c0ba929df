"""Hostile inputs, a few of each kind, and all that were too much once."""

from __future__ import annotations

import os
import random

import pytest

from luaflow.errors import LuaflowError
from tests.fuzz.running import Finding, Limits, fuzz_apart, input_of, kept
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

SEED = 20_261


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_is_too_much(name: str) -> None:
    """What was found once, and the first inputs of a seed, are answered or refused."""
    target = TARGETS[name]()
    target.open()
    try:
        found = {path.name: target.once(path.read_bytes()) for path in kept(name)}
        made = {
            number: target.once(input_of(target, SEED, number)) for number in range(target.quick)
        }
    finally:
        target.close()
    assert [(key, words) for key, words in (found | made).items() if words] == []


@pytest.mark.heavy
@pytest.mark.parametrize("name", TARGETS)
def test_a_few_seconds_of_each(name: str) -> None:
    """Longer, with another seed, in a process of its own."""
    findings: list[Finding] = []
    fuzz_apart(TARGETS[name](), SEED + 1, Limits(seconds=3), findings.append)
    assert [(finding.words, finding.data) for finding in findings] == []


class Poor(Target):
    """A target that does all that none may do."""

    name = "poor"
    seconds = 0.1

    def make(self, chance: random.Random) -> bytes:
        """One of five letters."""
        return bytes([chance.choice(b"abcde")])

    def run(self, data: bytes) -> None:
        """Fail in the way of the letter."""
        match data:
            case b"a":
                raise LuaflowError("that is refused")
            case b"b":
                raise KeyError("x")
            case b"c":
                while True:
                    pass
            case b"d":
                os._exit(9)


def test_failures_hangs_and_deaths_are_findings_and_refusals_are_none() -> None:
    """Each is told once with its input; the same seed finds the same."""
    runs = []
    for _ in range(2):
        findings: list[Finding] = []
        report = fuzz_apart(Poor(), 1, Limits(inputs=12), findings.append)
        assert report.inputs == 12
        runs.append({(f.data, f.words.partition(":")[0]) for f in findings})
    assert runs[0] == runs[1]
    assert runs[0] == {(b"b", "KeyError"), (b"c", "hangs"), (b"d", "kills the process")}
