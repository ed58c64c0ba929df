"""The contract of every background service."""

from __future__ import annotations

import asyncio

import pytest

from luaflow.service import Service


class Probe(Service):
    """A service whose rounds do what the test says, and tell that they ran."""

    first_pause = 0.001
    grace = 0.05

    def __init__(self) -> None:
        super().__init__("probe")
        self.rounds = 0
        self.opened = 0
        self.closed = 0
        self.fail = 0
        self.ran = asyncio.Event()
        self.healed = asyncio.Event()

    async def open(self) -> None:
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1

    async def round(self) -> None:
        self.rounds += 1
        self.ran.set()
        if self.rounds <= self.fail:
            raise OSError("no route")
        if self.fail and self.rounds > self.fail + 1:
            self.healed.set()
            await self.idle()
        elif not self.fail:
            await self.idle()


def names() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


async def test_start_and_stop() -> None:
    """The task has the service's name while it runs, and nothing is left after stop()."""
    probe = Probe()
    assert not probe.healthy
    await probe.start()
    await probe.ran.wait()
    assert "luaflow-probe" in names()
    assert probe.healthy
    await probe.stop()
    assert "luaflow-probe" not in names()
    assert not probe.healthy
    assert (probe.opened, probe.closed) == (1, 1)


async def test_start_and_stop_are_safe_twice_and_out_of_order() -> None:
    """stop() before start(), start() twice, stop() twice at once, start() again."""
    probe = Probe()
    await probe.stop()
    await probe.start()
    await probe.start()
    await asyncio.gather(probe.stop(), probe.stop())
    assert (probe.opened, probe.closed) == (1, 1)
    async with probe:
        assert probe.healthy
    assert (probe.opened, probe.closed) == (2, 2)


async def test_stop_during_start_wins() -> None:
    """stop() while open() waits stops the service once it is up."""
    gate = asyncio.Event()

    class Slow(Probe):
        async def open(self) -> None:
            await gate.wait()
            self.opened += 1

    probe = Slow()
    start = asyncio.create_task(probe.start())
    stop = asyncio.create_task(probe.stop())
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(start, stop)
    assert not probe.healthy
    assert (probe.opened, probe.closed) == (1, 1)


async def test_open_that_fails_fails_start() -> None:
    """What open() raises start() raises, and nothing runs."""

    class Closed(Probe):
        async def open(self) -> None:
            raise OSError("no door")

    probe = Closed()
    with pytest.raises(OSError, match="no door"):
        await probe.start()
    await probe.stop()
    assert (probe.rounds, probe.closed) == (0, 0)


async def test_crash_is_logged_seen_and_healed(caplog: pytest.LogCaptureFixture) -> None:
    """Rounds that raise make the service unhealthy; the first good one heals it."""
    probe = Probe()
    probe.fail = 3
    async with probe:
        await probe.ran.wait()
        await asyncio.sleep(0)
        assert not probe.healthy
        assert isinstance(probe.last_error, OSError)
        await probe.healed.wait()
        assert probe.healthy
        assert probe.last_error is None
    assert "probe crashed (3 in a row)" in caplog.text
    assert "no route" in caplog.text


async def test_pause_after_a_crash_ends_with_stop() -> None:
    """stop() does not wait for the next try of a service that crashes."""

    class Patient(Probe):
        first_pause = longest_pause = 3600.0

    probe = Patient()
    probe.fail = 10
    async with probe:
        await probe.ran.wait()
    assert probe.rounds == 1


async def test_wake_ends_idle() -> None:
    """wake() starts the next round, and is not lost when it comes before idle()."""
    probe = Probe()
    async with probe:
        await probe.ran.wait()
        probe.ran.clear()
        probe.wake()
        await probe.ran.wait()
    assert probe.rounds == 2
    probe.wake()
    await asyncio.wait_for(probe.idle(), 5)


async def test_idle_ends_by_itself() -> None:
    """idle(seconds) returns after that time."""
    await Probe().idle(0.001)


async def test_busy_round_is_cancelled_after_its_grace() -> None:
    """A round that does not end by itself is cancelled, and stop() waits for that."""
    cancelled = False

    class Busy(Probe):
        async def round(self) -> None:
            nonlocal cancelled
            self.ran.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled = True
                raise

    probe = Busy()
    async with probe:
        await probe.ran.wait()
    assert cancelled


async def test_stop_cuts_a_read_short() -> None:
    """unless_stopped() gives the result, or None when stop() came first."""
    probe = Probe()
    assert await probe.unless_stopped(asyncio.sleep(0, "read")) == "read"

    got: list[str | None] = []

    class Reader(Probe):
        grace = 60.0

        async def round(self) -> None:
            self.ran.set()
            got.append(await self.unless_stopped(asyncio.sleep(3600, "late")))

    reader = Reader()
    async with reader:
        await reader.ran.wait()
    assert got == [None]


async def test_read_that_fails_is_the_crash_of_the_round() -> None:
    """unless_stopped() passes an exception on."""

    async def broken() -> None:
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        await Probe().unless_stopped(broken())


async def test_service_cannot_wait_for_its_own_end() -> None:
    """stop() from inside a round would wait for ever: it says so instead."""

    class Selfish(Probe):
        async def round(self) -> None:
            try:
                await self.stop()
            finally:
                self.ran.set()

    probe = Selfish()
    async with probe:
        await probe.ran.wait()
        await asyncio.sleep(0)
        assert "cannot wait for its own end" in str(probe.last_error)
