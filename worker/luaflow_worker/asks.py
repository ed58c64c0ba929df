"""Questions about runs, answered by a worker: queries, and updates that a validator judges first.

The history is replayed into a run of its own, which is asked once and thrown away (design 5.12):
nothing is written, no decision under way is seen, and the run in the sticky cache stays as it is.
The engines are of their own, too: a query that exhausts one takes no cached run with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, NoReturn

import orjson

from luaflow.archive import find_archived
from luaflow.domain.events import AUTO_UPGRADE, CLOSING, NEWS, STARTED, Event
from luaflow.domain.sealed import check_open
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
from luaflow_worker.stretches import length_of, read_events, read_page, stretches

log = logging.getLogger(__name__)

SLOTS = 10
"""Questions that are being answered at a time."""
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
        begun, owner = time.monotonic(), f"w:{question['workflow_id']}"
        try:
            text = await self._store.opened(text, owner)
            check_open(text)
            answer = self._bounded(await self._answer(orjson.loads(text)))
            said = await self._store.sealed(orjson.dumps(answer), owner)
        except Exception as error:  # noqa: BLE001 - a bad question hurts only whoever asked
            said = orjson.dumps({"problem": fault_of(error).message})
        finally:
            self._open.discard(question["id"])
        self._metrics.question(question["kind"], time.monotonic() - begun)
        await tell_answer(self._store, question["id"], said)

    def _bounded(self, answer: dict[str, Any]) -> dict[str, Any]:
        size, limit = len(orjson.dumps(answer)), self._store.settings.largest_bytes
        if size > limit:
            return {"problem": f"the answer has {size} bytes, the limit is {limit}: ask for less"}
        return answer

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        store, workflow_id = self._store, question["workflow_id"]
        run_id, length = question["run_id"], question["length"]
        route = Route(store.partition(workflow_id), workflow_id, run_id, "")
        first, last = await self._history(route)
        if not first or last < length:
            return {"behind": True}
        execution = await self._begin(route, first)
        unseen: list[Event] = []
        try:
            # the decisions of this worker do not wait for a question
            async with aclosing(stretches(store, route, first, last)) as history:
                async for stretch in history:
                    execution.replay(stretch)
                    news = (e for e in stretch if e.type in NEWS or e.type == STARTED)
                    unseen = [e for e in (*unseen, *news) if e.id > execution.upto]
                    # what a closed run never decided it will never decide: it is asked as it ended
                    if stretch and stretch[-1].type in CLOSING:
                        unseen = []
            if store.confirms:  # the answer rests on what was read (design 5.5)
                await store.confirmed(route.partition)
            if any(e.id <= length for e in unseen):
                return {"behind": True}
            name, args = question["name"], orjson.dumps(question["input"])
            return _said(execution.look(OPS[question["kind"]], name, args))
        except ActivationFault:
            if execution.run.engine.broken:
                self._engines.discard(execution.run.engine)
            raise
        finally:
            execution.run.close()

    async def _history(self, route: Route) -> tuple[list[Event], int]:
        """The first events of a run, wherever it is, and the id of its last one."""
        last = await length_of(self._store, route)
        if last:
            return await read_page(self._store, route, 1, last), last
        kept = await find_archived(self._store, route.workflow_id, route.run_id)
        return (kept.events, len(kept.events)) if kept else ([], 0)

    async def _begin(self, route: Route, events: Sequence[Event]) -> Execution:
        """Open a run like that of a history beginning so, with the code that it has now."""
        started = events[0].body
        check_runtime(started)
        if started.get("versioning") == AUTO_UPGRADE:  # its last decision says with which code
            # (of an archived run all events are here, and none there)
            events = await read_events(self._store, route, 1, 1 << 53) or events
        code = await self._engines.get(bundle_of(events))
        ids = (self._store.namespace, route.workflow_id, route.run_id)
        info = run_info(*ids, started, code.bundle, pid_of(started))
        return Execution(code.engine.open(info), _nothing_new)


def _said(out: Activation) -> dict[str, Any]:
    if out.status == "unknown":
        return {"unknown": (out.result or b"").decode(errors="replace")}
    if out.status == "failed":
        return {"failure": orjson.Fragment(out.failure or b"{}")}
    return {"result": orjson.Fragment(out.result or b"null")}


def _nothing_new(name: str) -> NoReturn:
    """A replay goes no further than the history, so it makes no values."""
    raise LuaflowError(f"a replay asked for a new {name}")
