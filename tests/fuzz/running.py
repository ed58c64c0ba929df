"""Runs targets, keeps the inputs that were too much for them, counts."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.target import Target

FOUND = Path(__file__).parent / "found"
MEMORY_KB = 300_000
"""What a target may add to the memory of the process; more is a finding."""
SILENT = 60.0
"""Seconds on one input after which the process that runs it is ended."""
MOST = 10
"""Findings of different words after which a target is left alone."""


class Finding(NamedTuple):
    """An input that did what none may do."""

    target: str
    words: str
    data: bytes

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return FOUND / self.target / f"{hashlib.sha256(self.data).hexdigest()[:12]}.bin"

    def keep(self) -> Path:
        """Store the input: the tests replay it from now on."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(self.data)
        return self.file


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
            f"{self.target:12} {self.inputs:8} inputs {rate:8.0f}/s {len(self.findings):3} findings"
        )


class Limits(NamedTuple):
    """When a target has had enough: so many inputs, or so many seconds."""

    inputs: int | None = None
    seconds: float | None = None


def input_of(target: Target, seed: int, number: int) -> bytes:
    """Input ``number`` of a seed: the same one always."""
    return target.make(random.Random(f"{target.name}:{seed}:{number}"))


def fuzz(
    target: Target, seed: int, limits: Limits, told: Callable[[Finding], None], counter: Any
) -> None:
    """Feed a target in this process; ``counter.value`` is the number of the next input."""
    known: set[str] = set()
    began, memory = time.monotonic(), _memory()
    target.open()
    try:
        while counter.value != limits.inputs and len(known) < MOST:
            if limits.seconds is not None and time.monotonic() - began > limits.seconds:
                break
            data = input_of(target, seed, counter.value)
            words = target.once(data)
            counter.value += 1
            if not words and counter.value % 500 == 0 and _memory() > memory + MEMORY_KB:
                words, memory = "grows: the process has 300 MB more than before", _memory()
            key = words.partition(":")[0] + words.rpartition("(")[2]
            if words and key not in known:
                known.add(key)
                told(Finding(target.name, words, data))
    finally:
        target.close()


def fuzz_apart(
    target: Target, seed: int, limits: Limits, told: Callable[[Finding], None]
) -> Report:
    """Feed a target in a process of its own: one that dies, or is silent, is a finding too."""
    fork = multiprocessing.get_context("fork")
    counter, found = fork.Value("q", 0, lock=False), fork.SimpleQueue()
    findings: list[Finding] = []
    began = time.monotonic()

    def take() -> None:
        while not found.empty():
            findings.append(found.get())
            told(findings[-1])

    while True:
        child = fork.Process(target=fuzz, args=(target, seed, limits, found.put, counter))
        child.start()
        silent = _watch(child, counter, take)
        take()
        if child.exitcode == 0:
            break
        how = "is silent" if silent else f"kills the process: exit code {child.exitcode}"
        findings.append(Finding(target.name, how, input_of(target, seed, counter.value)))
        told(findings[-1])
        counter.value += 1
        spent = time.monotonic() - began
        if len(findings) >= MOST or (limits.seconds is not None and spent > limits.seconds):
            break
    return Report(target.name, counter.value, time.monotonic() - began, findings)


def _watch(child: Any, counter: Any, take: Callable[[], None]) -> bool:
    """Wait for the end of a child; True when it had to be ended."""
    at, since = counter.value, time.monotonic()
    while child.is_alive():
        child.join(0.2)
        take()
        if counter.value != at:
            at, since = counter.value, time.monotonic()
        elif time.monotonic() - since > SILENT:
            child.kill()
            child.join()
            return True
    return False


def kept(name: str) -> list[Path]:
    """The inputs that were too much for a target once."""
    return sorted((FOUND / name).glob("*.bin"))


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
