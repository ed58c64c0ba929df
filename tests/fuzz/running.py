"""Runs targets, keeps the inputs that were too much for them, counts."""

from __future__ import annotations

import hashlib
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.target import Target

FOUND = Path(__file__).parent / "found"
MEMORY_KB = 300_000
"""What a target may add to the memory of the process; more is a finding."""


class Finding(NamedTuple):
    """An input that did what none may do."""

    target: str
    words: str
    data: bytes

    @property
    def file(self) -> str:
        """The name it is kept under."""
        return f"{self.target}-{hashlib.sha256(self.data).hexdigest()[:12]}.bin"


class Report(NamedTuple):
    """How a target did."""

    target: str
    inputs: int
    seconds: float
    findings: list[Finding]

    def __str__(self) -> str:
        """One line."""
        rate = self.inputs / max(self.seconds, 0.001)
        return (
            f"{self.target:12} {self.inputs:8} inputs {rate:9.0f}/s {len(self.findings)} findings"
        )


def fuzz(
    target: Target,
    seed: int,
    *,
    inputs: int | None = None,
    seconds: float | None = None,
    told: Callable[[Finding], None] = lambda _: None,
    most: int = 10,
) -> Report:
    """Feed a target so many inputs, or for so long; stop at ``most`` findings of different words.

    Input number n of a seed is the same always.
    """
    findings: list[Finding] = []
    known: Counter[str] = Counter()
    began, memory, number = time.monotonic(), _memory(), 0
    target.open()
    try:
        while number != inputs and len(findings) < most:
            if seconds is not None and time.monotonic() - began > seconds:
                break
            data = target.make(random.Random(f"{target.name}:{seed}:{number}"))
            number += 1
            words = target.once(data)
            if not words and number % 1000 == 0 and _memory() > memory + MEMORY_KB:
                words, memory = "grows: the process has 300 MB more than before", _memory()
            key = words.split(":")[0] + words[-40:]
            if words and not known[key]:
                findings.append(Finding(target.name, words, data))
                told(findings[-1])
            known[key] += 1
    finally:
        target.close()
    return Report(target.name, number, time.monotonic() - began, findings)


def keep(finding: Finding) -> Path:
    """Store the input of a finding: the tests replay it from now on."""
    FOUND.mkdir(exist_ok=True)
    path = FOUND / finding.file
    path.write_bytes(finding.data)
    return path


def kept(name: str) -> list[Path]:
    """The inputs that were too much for a target once."""
    return sorted(FOUND.glob(f"{name}-*.bin"))


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
