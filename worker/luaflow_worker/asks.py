"""Questions about runs, answered by a worker: queries, and updates that a validator judges first.

The history is replayed into a run of its own, which is asked once and thrown away (design 5.12):
nothing is written, no decision under way is seen, and the run in the sticky cache stays as it is.
The engines are of their own, too: a query that exhausts one takes no cached run with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import orjson

from luaflow.domain.events import CLOSING, NEWS, STARTED, TASK_COMPLETED, Event
from luaflow.errors import LuaflowError
from luaflow.lua.vm import Activation, ActivationFault
from luaflow.replay.decider import Execution
from luaflow.replay.loading import bundle_of, pid_of, run_info
from luaflow.service import Service
from luaflow.store import keys
from luaflow.store.asking import take_ask, tell_answer
from luaflow.store.reader import Reader
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_worker.engines import Engines, check_runtime
from luaflow_worker.faults import fault_of
from luaflow_worker.metrics import WorkerMetrics
from luaflow_worker.taking import read_events

log = logging.getLogger(__name__)

SLOTS = 10
"""Questions that are being answered at a time."""
PART = 200
"""Events that are replayed in one go, and those of the decision they end with."""
LAST_SECONDS = 2.0
"""What answers may still take when the worker stops."""
OPS = {"query": b"query", "validate": b"validate"}


class Asks(Service):
    """Takes the questions of some queues, one for each free slot."""

    def __init__(
        self, store: Store, queues: Sequence[str], engines: Engines, metrics: WorkerMetrics
    ) -> None:
        """``engines`` serve nothing else."""
        super().__init__("asks")
        self._store = store
        self._engines = engines
        self._metrics = metrics
        self._lists = [keys.asks(store.namespace, queue) for queue in queues]
        self._reader = Reader(store.url, "luaflow-asks")
        self._slots = asyncio.Semaphore(SLOTS)
        self._answering: set[asyncio.Task[None]] = set()
        self._open: set[str] = set()

    async def close(self) -> None:
        """Finish what is being answered, or let go of it: whoever asked asks again."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=LAST_SECONDS)
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._reader.close()

    async def round(self) -> None:
        """Wait for a slot, take a question, answer it in the background."""
        if not await self.unless_stopped(self._slots.acquire()):
            return
        text = None
        try:
            text = await self.unless_stopped(take_ask(self._reader, self._lists))
        finally:
            if text is None:
                self._slots.release()
        if text is not None:
            task = asyncio.create_task(self._serve(text), name="luaflow-ask")
            self._answering.add(task)
            task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()):
            log.error("a question was not answered: %s", error, exc_info=error)

    async def _serve(self, text: bytes) -> None:
        question = orjson.loads(text)
        if question["id"] in self._open:
            return  # asked again, while a long history is replayed
        self._open.add(question["id"])
        begun = time.monotonic()
        try:
            answer = self._bounded(await self._answer(question))
        except Exception as error:  # noqa: BLE001 - a bad question hurts only whoever asked
            answer = {"problem": fault_of(error).message}
        finally:
            self._open.discard(question["id"])
        self._metrics.question(question["kind"], time.monotonic() - begun)
        await tell_answer(self._store, question["id"], orjson.dumps(answer))

    def _bounded(self, answer: dict[str, Any]) -> dict[str, Any]:
        size, limit = len(orjson.dumps(answer)), self._store.settings.payload_max_bytes
        if size > limit:
            return {"problem": f"the answer has {size} bytes, the limit is {limit}: ask for less"}
        return answer

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        store, workflow_id = self._store, question["workflow_id"]
        run_id, length = question["run_id"], question["length"]
        route = Route(store.partition(workflow_id), workflow_id, run_id, "")
        events = await read_events(store, route, 1, 1 << 53)
        if store.confirms:  # the answer rests on what was read (design 5.5)
            await store.confirmed(route.partition)
        if not events or events[-1].id < length:
            return {"behind": True}
        execution = await self._begin(route, events)
        try:
            for part in parts(events):
                execution.replay(part)
                await asyncio.sleep(0)  # the decisions of this worker do not wait for a question
            # what a closed run never decided it will never decide: it is asked as it ended
            if events[-1].type not in CLOSING and any(
                execution.upto < e.id <= length and (e.type in NEWS or e.type == STARTED)
                for e in events
            ):
                return {"behind": True}
            name, args = question["name"], orjson.dumps(question["input"])
            return _said(execution.look(OPS[question["kind"]], name, args))
        except ActivationFault:
            if execution.run.engine.broken:
                self._engines.discard(execution.run.engine)
            raise
        finally:
            execution.run.close()

    async def _begin(self, route: Route, events: Sequence[Event]) -> Execution:
        """Open a run like the one of a history, with the code that it has now."""
        started = events[0].body
        check_runtime(started)
        code = await self._engines.get(bundle_of(events))
        ids = (self._store.namespace, route.workflow_id, route.run_id)
        info = run_info(*ids, started, code.bundle, pid_of(started))
        return Execution(code.engine.open(info), _nothing_new)


def parts(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Cut a history where decisions begin: what one asked for stays together."""
    begin = 0
    for at, event in enumerate(events):
        if at - begin >= PART and event.type == TASK_COMPLETED:
            yield events[begin:at]
            begin = at
    yield events[begin:]


def _said(out: Activation) -> dict[str, Any]:
    if out.status == "unknown":
        return {"unknown": (out.result or b"").decode(errors="replace")}
    if out.status == "failed":
        return {"failure": orjson.Fragment(out.failure or b"{}")}
    return {"result": orjson.Fragment(out.result or b"null")}


def _nothing_new(name: str) -> NoReturn:
    """A replay goes no further than the history, so it makes no values."""
    raise LuaflowError(f"a replay asked for a new {name}")
