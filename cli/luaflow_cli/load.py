"""What ``luaflow bench`` does to a server, and what it says about the times that took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from luaflow.errors import LuaflowError, Unavailable
from luaflow_cli.progress import progress

if TYPE_CHECKING:
    from luaflow.client import Client

QUEUE: Final = "bench"
WARM_UP: Final = 20
LOOK_SECONDS: Final = 0.1
ORDER: Final = {
    "order_id": "ord-000001",
    "customer": {"id": 4711, "name": "Ada Lovelace"},
    "items": [{"sku": "A-1", "qty": 2}, {"sku": "B-7", "qty": 1}],
    "amount": 129.5,
    "currency": "EUR",
    "note": "leave at the door please, thank you very much",
}
SCENARIOS: Final = {
    "start": "Orders are started as fast as they can be; then all are waited for.",
    "order": "Each client starts an order of three activities, and waits for its result.",
    "timer": "Runs sleep for a second: how late do they wake?",
    "job": "Each client starts a plain job, and waits for its result.",
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much: ``runs`` in all, or for so many ``seconds`` where no number is given."""

    runs: int | None
    seconds: float
    at_once: int


@dataclass(slots=True)
class Found:
    """What a scenario came to: ``ms`` are the times of its steps, ``failed`` those without one."""

    what: str
    ms: list[float] = field(default_factory=list)
    failed: int = 0
    problem: str = ""
    seconds: float = 0.0
    more: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Rates a second, percentiles and a histogram in milliseconds."""
        found: dict[str, Any] = {"done": len(self.ms), "failed": self.failed}
        if self.problem:
            found["problem"] = self.problem
        found["seconds"] = round(self.seconds, 3)
        found["per_second"] = round(len(self.ms) / self.seconds, 1) if self.seconds else 0.0
        found |= {name: round(value, 1) for name, value in self.more.items()}
        if self.ms:
            shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
            found["ms"] = {name: round(percentile(self.ms, at), 2) for name, at in shares.items()}
            found["histogram"] = histogram(self.ms)
        return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of all is below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def histogram(values: Sequence[float]) -> list[tuple[float, int]]:
    """How many values are below each bound, and not below the one before; bounds double."""
    bound, least = 1.0 / 16, min(values)
    while bound <= least:
        bound *= 2
    found, left = list[tuple[float, int]](), sorted(values)
    while left:
        below = sum(value < bound for value in left)
        found.append((bound, below))
        left, bound = left[below:], bound * 2
    return found


async def warm_up(client: Client) -> None:
    """A few orders, so that code is loaded and connections stand."""
    await asyncio.gather(*(client.execute("bench:order", ORDER) for _ in range(WARM_UP)))


async def play(client: Client, scenario: str, size: Size) -> Found:
    """Play one scenario. Raises Unavailable; what fails else is counted."""
    load = Load(client, size)
    return await {
        "start": load.start,
        "order": load.order,
        "timer": load.timer,
        "job": load.job,
    }[scenario]()


class Load:
    """The scenarios, on one client."""

    def __init__(self, client: Client, size: Size) -> None:
        self._client = client
        self._size = size

    async def start(self) -> Found:
        """Starts that nobody waits for, then their ends."""
        found, handles = Found("start"), list[Any]()

        async def one() -> float | None:
            handles.append(await self._client.start("bench:order", ORDER))
            return None

        runs = self._size.runs or 1000
        await self._closed_loop(found, one, runs)
        since = time.perf_counter() - found.seconds
        left = iter(handles)
        await asyncio.gather(*(self._await_all(left) for _ in range(self._size.at_once)))
        found.more["ended_per_second"] = len(handles) / (time.perf_counter() - since)
        return found

    async def order(self) -> Found:
        """Orders, each with its result."""
        found = Found("order")

        async def one() -> float | None:
            await self._client.execute("bench:order", ORDER)
            return None

        await self._closed_loop(found, one, self._size.runs)
        return found

    async def timer(self) -> Found:
        """Runs that sleep, all at once: milliseconds that each woke too late, as it saw itself."""
        found, runs = Found("timer"), self._size.runs or 1000

        async def one() -> float | None:
            return float(await self._client.execute("bench:nap"))

        await self._closed_loop(found, one, runs, at_once=runs)
        return found

    async def job(self) -> Found:
        """Plain jobs, each with its result."""
        found = Found("job")

        async def one() -> float | None:
            await self._client.call("bench:echo", 1, queue=QUEUE)
            return None

        await self._closed_loop(found, one, self._size.runs)
        return found

    async def _await_all(self, handles: Iterator[Any]) -> None:
        for handle in handles:
            await handle.result()

    async def _closed_loop(
        self,
        found: Found,
        one: Callable[[], Awaitable[float | None]],
        runs: int | None,
        at_once: int | None = None,
    ) -> None:
        """Let each client do one after the other, until all are done or the time is over.

        What ``one`` returns is its time (ms); None: as long as it took.
        """
        since, begun = time.perf_counter(), 0
        end = since + self._size.seconds

        async def client() -> None:
            nonlocal begun
            while begun < runs if runs else time.perf_counter() < end:
                begun += 1
                at = time.perf_counter()
                try:
                    ms = await one()
                except Unavailable:
                    raise
                except LuaflowError as error:
                    found.failed += 1
                    found.problem = found.problem or error.message
                else:
                    took = (time.perf_counter() - at) * 1000
                    found.ms.append(took if ms is None else ms)

        total = float(runs or self._size.seconds)
        with progress(found.what, total, "done" if runs else "s") as step:
            clients = min(at_once or self._size.at_once, runs or self._size.at_once)
            work = [asyncio.create_task(client()) for _ in range(clients)]
            try:
                left = set(work)
                while left:
                    over, left = await asyncio.wait(left, timeout=LOOK_SECONDS)
                    for task in over:
                        task.result()
                    done = len(found.ms) + found.failed
                    step(done if runs else time.perf_counter() - since)
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
        found.seconds = time.perf_counter() - since
