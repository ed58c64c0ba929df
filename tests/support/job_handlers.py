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


class Tokens:
    """The tokens that deferred Python activities gave out, for the test that listens."""

    given: asyncio.Queue[str]
    loop: asyncio.AbstractEventLoop

    @classmethod
    def listen(cls) -> asyncio.Queue[str]:
        """Give a test a queue of its own."""
        cls.given, cls.loop = asyncio.Queue(), asyncio.get_running_loop()
        return cls.given


async def defer_on_the_loop() -> str:
    """Leave completion to whoever takes the token; what is returned is ignored."""
    Tokens.given.put_nowait(activity.defer())
    return "nobody sees this"


def defer_on_a_thread() -> None:
    """The same in a thread."""
    token = activity.defer()
    Tokens.loop.call_soon_threadsafe(Tokens.given.put_nowait, token)


def too_much() -> None:
    """Heartbeat with more than a namespace allows."""
    activity.heartbeat("x" * 5000)


def echo(value: object) -> object:
    """Give back what is given."""
    return value
