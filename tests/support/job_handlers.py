"""Python activities of the tests of plain jobs: they say when they run."""

from __future__ import annotations

import asyncio

from luaflow import activity


class Begun:
    """The number of each attempt that has begun, for the test that listens."""

    numbers: asyncio.Queue[int]

    @classmethod
    def listen(cls) -> asyncio.Queue[int]:
        """Give a test a queue of its own."""
        cls.numbers = asyncio.Queue()
        return cls.numbers


async def hang_once() -> int:
    """Never end in the first attempt; say which one it is in the others."""
    Begun.numbers.put_nowait(activity.info().attempt)
    if activity.info().attempt == 1:
        await asyncio.sleep(3600)
    return activity.info().attempt
