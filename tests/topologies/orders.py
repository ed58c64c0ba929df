"""Orders that use all of luaflow, one after the other, while servers come and go.

Each has a child in another partition, an activity, a timer, a lock that all of them want, a signal
(from a client, or from a function in a node of its own), and is asked about meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tests.processes.conftest import Stage
from tests.support.engine import Engine
from tests.support.histories import problems_of, read_histories

from luaflow.errors import HandlerFailed, LuaflowError, NoAnswer, NotFound, Unavailable, Unknown

T = TypeVar("T")

ORDER = """
local n, child = ...
local state = "new"
workflow.on_query("state", function() return state end)
local pay = process.listen("pay")
local packer = process.with_options({["workflow.id"] = child})
local pid, err = packer:spawn("app:packing", "app:worker", n)
if err then return nil, err end
state = "charging"
local charged, err = funcs.call("app:charge", n)
if err then return nil, err end
time.sleep("30ms")
local till, err = workflow.lock("till")
if err then return nil, err end
state = "till"
time.sleep("1ms")
till:release()
state = "waiting"
local paid = pay:receive()
local packed = process.events():receive()
return {charged, paid, packed.result.value}
"""
PACKING = """
local n = ...
time.sleep("10ms")
return n + 1
"""
CHARGE = """
local n = ...
return n * 2
"""
PAY = """
local id, n = ...
local ok, err = process.send("{app:client@app:worker|" .. id .. "}", "pay", n)
if err then return nil, err end
return ok
"""


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again what may be asked twice, for as long as the servers are away."""
    while True:
        try:
            return await ask()
        except (Unknown, Unavailable):
            continue


class Orders:
    """A stream of orders through an engine of two workers, two schedulers and a node."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.stage = Stage(engine)
        self.done: dict[str, Any] = {}
        self.answered = 0
        self._one_more = asyncio.Condition()
        self._stopping = asyncio.Event()

    async def open(self) -> None:
        """Deploy the app and start everything."""
        await self.stage.app(
            {"charge": CHARGE, "pay": PAY}, workflows={"order": ORDER, "packing": PACKING}
        )
        await self.stage.node()
        for _ in range(2):
            await self.engine.worker()
            await self.engine.scheduler()

    @asynccontextmanager
    async def flowing(self, lanes: int = 6) -> AsyncIterator[None]:
        """Let orders flow meanwhile; left, each that began has ended."""
        self._stopping.clear()
        async with asyncio.timeout(240), asyncio.TaskGroup() as group:
            for lane in range(lanes):
                group.create_task(self._lane(f"{len(self.done)}-{lane}"))
            try:
                yield
            finally:
                self._stopping.set()

    async def more(self, count: int) -> None:
        """Wait until so many more orders are done: work goes on."""
        wanted = len(self.done) + count
        async with self._one_more:
            await self._one_more.wait_for(lambda: len(self.done) >= wanted)

    async def _lane(self, name: str) -> None:
        number = 0
        while not self._stopping.is_set():
            await self._order(f"order-{name}-{number}", number)
            number += 1

    async def _order(self, id_: str, n: int) -> None:
        client = self.engine.client
        request = f"r-{id_}"
        how: dict[str, Any] = {"id": id_, "request_id": request}
        handle = await insist(lambda: client.start("app:order", n, f"child-{id_}", **how))
        await self._ask(id_)
        if n % 2:
            await insist(lambda: self._pay(id_, n))
        else:
            await insist(lambda: handle.signal("pay", n, request_id=request))
        self.done[id_] = await insist(handle.result)
        async with self._one_more:
            self._one_more.notify_all()
        assert self.done[id_] == [n * 2, n, n + 1], (id_, self.done[id_])

    async def _pay(self, id_: str, n: int) -> None:
        """Have the function send it; a second one stays unread in the order's history."""
        while True:
            try:
                await self.stage.call("pay", id_, n)
            except HandlerFailed:
                continue
            except LuaflowError as error:
                if getattr(error, "kind", "") not in {"Unavailable", "Unknown", "Timeout"}:
                    raise
                continue
            return

    async def _ask(self, id_: str) -> None:
        if random.random() < 0.5:
            return
        try:
            state = await self.engine.client.get_handle(id_).query("state", timeout=5)
        except (Unknown, Unavailable, NoAnswer, NotFound):
            return
        assert state in {"new", "charging", "till", "waiting"}
        self.answered += 1

    async def close(self) -> None:
        """Stop the node, and look at every history."""
        await self.stage.close()
        histories = await read_histories(self.engine.client)
        problems = [text for history in histories for text in problems_of(history)]
        assert not problems, "\n".join(problems)
        ended = {history.workflow_id for history in histories}
        assert ended == {*self.done, *(f"child-{id_}" for id_ in self.done)}
