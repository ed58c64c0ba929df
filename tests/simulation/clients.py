"""Clients: they do what the plan says, and note what they were told about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from luaflow.client.client import Client
from luaflow.errors import (
    AlreadyExists,
    LuaflowError,
    NoAnswer,
    NotFound,
    Refused,
    Unavailable,
    UpdateRejected,
    WorkflowFailed,
)
from luaflow.errors import Unknown as NotKnown
from tests.simulation.stories import Op


@dataclass
class Told:
    """What a client knows of one thing it did: ``outcome`` is ok, unknown, or a refusal."""

    op: Op
    client: int
    outcome: str = "open"
    answer: Any = None
    run_id: str = ""
    existed: bool = False


class SimClient:
    """One client and its log."""

    def __init__(self, number: int, client: Client, log: list[Told]) -> None:
        self._number = number
        self._client = client
        self._log = log
        self._waits: list[asyncio.Task[None]] = []

    async def play(self, ops: list[Op]) -> None:
        """Do one thing after the other; what answers late is waited for at the end."""
        for op in ops:
            await asyncio.sleep(op.pause)
            if op.kind == "burst":
                self._burst(op)
                continue
            told = Told(op, self._number)
            self._log.append(told)
            if op.kind in {"update", "job", "query"}:
                self._waits.append(asyncio.create_task(self._tell(told)))
            else:
                await self._tell(told)
        for wait in self._waits:
            await wait

    def _burst(self, op: Op) -> None:
        """Signals to several workflows side by side: their requests are open together."""
        for value, target in op.how["values"].items():
            how = {"value": int(value), "apart": True}
            told = Told(Op("signal", target, 0, how), self._number)
            self._log.append(told)
            self._waits.append(asyncio.create_task(self._tell(told)))

    async def _tell(self, told: Told) -> None:
        try:
            await getattr(self, f"_{told.op.kind}")(told)
            told.outcome = "ok"
        except (NotKnown, Unavailable, NoAnswer):
            told.outcome = "unknown"
        except (NotFound, AlreadyExists, Refused, UpdateRejected, WorkflowFailed) as error:
            told.outcome = f"{type(error).__name__}: {error}"
        except LuaflowError as error:
            told.outcome = f"unexpected {type(error).__name__}: {error}"

    async def _start(self, told: Told) -> None:
        op = told.op
        handle = await self._client.start(
            f"app:{op.how['type']}",
            op.how["story"],
            id=op.target,
            options=op.how["options"],
            messages=[("s", value) for value in op.how.get("messages", ())],
        )
        told.run_id, told.existed = str(handle.run_id), handle.existed
        self._waits.append(asyncio.create_task(self._result(handle, op)))

    _again = _start

    async def _result(self, handle: Any, op: Op) -> None:
        told = Told(Op("result", op.target, 0), self._number, run_id=str(handle.run_id))
        self._log.append(told)
        while told.outcome == "open":
            try:
                told.answer = await handle.result()
                told.outcome = "ok"
            except (NotKnown, Unavailable):
                continue
            except NotFound:
                told.outcome = "gone"
            except WorkflowFailed as error:
                told.outcome = f"{error.status} {error.kind}"

    async def _signal(self, told: Told) -> None:
        await self._client.get_handle(told.op.target).signal("s", told.op.how["value"])

    async def _cancel(self, told: Told) -> None:
        await self._client.get_handle(told.op.target).cancel()

    async def _terminate(self, told: Told) -> None:
        await self._client.get_handle(told.op.target).terminate("as planned")

    async def _update(self, told: Told) -> None:
        how = told.op.how
        n = -1 if how["refused"] else how["value"]
        handle = self._client.get_handle(told.op.target)
        asked = [
            handle.update("add", n, how["slow"], update_id=f"u{how['value']}", timeout=120)
            for _ in range(how["times"])
        ]
        if len(asked) == 1:
            told.answer = await asked[0]
            return
        answers = await asyncio.gather(*asked, return_exceptions=True)
        told.answer = next((a for a in answers if not isinstance(a, BaseException)), answers[0])
        if isinstance(told.answer, BaseException):
            raise told.answer

    async def _query(self, told: Told) -> None:
        told.answer = await self._client.get_handle(told.op.target).query("took", timeout=60)

    async def _job(self, told: Told) -> None:
        job = await self._client.enqueue(
            "app:work", told.op.how["spec"], id=told.op.target, queue="q"
        )
        while True:
            try:
                told.answer = await job.result()
            except (NotKnown, Unavailable):
                continue
            return
