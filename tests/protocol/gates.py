"""Python activities that a test holds: each call says that it began and waits to be let through."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

began: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
open_: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
calls: list[str] = []
stamps: list[float] = []
inside: list[str] = []


def reset() -> None:
    """Forget earlier tests: an event belongs to the loop it was used in."""
    began.clear()
    open_.clear()
    calls.clear()
    stamps.clear()
    inside.clear()


async def gate(name: str) -> str:
    """Say that it began, wait to be let through."""
    calls.append(name)
    began[name].set()
    await open_[name].wait()
    return name


async def flaky(name: str) -> int:
    """Fail twice, then say how often it was called."""
    calls.append(name)
    if calls.count(name) < 3:
        raise ValueError(f"{name} is not ready")
    return calls.count(name)


async def note(name: str) -> int:
    """Count the calls of this name."""
    calls.append(name)
    return calls.count(name)


async def alone(name: str) -> int:
    """Say how many are in here at once, and stay a moment for others to come in."""
    inside.append(name)
    there = len(inside)
    await asyncio.sleep(0.005)
    inside.remove(name)
    return there


def stamp(name: str) -> str:
    """Note when it ran."""
    stamps.append(time.monotonic())
    return name
