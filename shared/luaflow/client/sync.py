"""The client for code without an event loop: the same verbs, each waits until it is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from luaflow.client.asking import ASK_SECONDS
from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.client.jobs import Job, JobHandle
from luaflow.client.schedules import ScheduleHandle
from luaflow.client.updates import Update, Wait
from luaflow.domain.events import Event

T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="luaflow-client", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C while waiting ends the work, too
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SyncUpdate:
    """An ``Update`` whose methods block."""

    def __init__(self, loop: _Loop, update: Update) -> None:
        self._loop = loop
        self._update = update

    @property
    def id(self) -> str:
        """The update id."""
        return self._update.id

    def accepted(self, timeout: float | None = None) -> None:
        """See ``Update.accepted``."""
        self._loop.run(self._update.accepted(timeout))

    def result(self, timeout: float | None = None) -> Any:
        """See ``Update.result``."""
        return self._loop.run(self._update.result(timeout))


class SyncHandle:
    """A ``Handle`` whose methods block."""

    def __init__(self, loop: _Loop, handle: Handle) -> None:
        self._loop = loop
        self._handle = handle

    def __repr__(self) -> str:
        return f"Sync{self._handle!r}"

    @property
    def workflow_id(self) -> str:
        """The workflow id."""
        return self._handle.workflow_id

    @property
    def run_id(self) -> str | None:
        """The run id; None: whichever run the workflow id has."""
        return self._handle.run_id

    @property
    def pid(self) -> str | None:
        """The process id, where this client started the run."""
        return self._handle.pid

    def result(self, timeout: float | None = None) -> Any:
        """See ``Handle.result``."""
        return self._loop.run(self._handle.result(timeout))

    def signal(self, name: str, *payloads: Any, request_id: str | None = None) -> None:
        """See ``Handle.signal``."""
        self._loop.run(self._handle.signal(name, *payloads, request_id=request_id))

    def cancel(self, reason: str | None = None, *, request_id: str | None = None) -> None:
        """See ``Handle.cancel``."""
        self._loop.run(self._handle.cancel(reason, request_id=request_id))

    def query(self, name: str, *args: Any, timeout: float = ASK_SECONDS) -> Any:
        """See ``Handle.query``."""
        return self._loop.run(self._handle.query(name, *args, timeout=timeout))

    def view(self, name: str) -> Any:
        """See ``Handle.view``."""
        return self._loop.run(self._handle.view(name))

    def update(
        self,
        name: str,
        *args: Any,
        update_id: str | None = None,
        wait: Wait = "completed",
        timeout: float | None = None,
    ) -> Any:
        """See ``Handle.update``."""
        how: dict[str, Any] = {"update_id": update_id, "wait": wait, "timeout": timeout}
        return self._loop.run(self._handle.update(name, *args, **how))

    def start_update(
        self, name: str, *args: Any, update_id: str | None = None, timeout: float | None = None
    ) -> SyncUpdate:
        """See ``Handle.start_update``."""
        work = self._handle.start_update(name, *args, update_id=update_id, timeout=timeout)
        return SyncUpdate(self._loop, self._loop.run(work))

    def get_update(self, update_id: str) -> SyncUpdate:
        """See ``Handle.get_update``."""
        return SyncUpdate(self._loop, self._handle.get_update(update_id))

    def terminate(self, reason: str | None = None) -> None:
        """See ``Handle.terminate``."""
        self._loop.run(self._handle.terminate(reason))

    def pin(self) -> None:
        """See ``Handle.pin``."""
        self._loop.run(self._handle.pin())

    def unpin(self) -> None:
        """See ``Handle.unpin``."""
        self._loop.run(self._handle.unpin())

    def describe(self) -> dict[str, Any]:
        """See ``Handle.describe``."""
        return self._loop.run(self._handle.describe())

    def history(self, *, follow: bool = False) -> Iterator[Event]:
        """See ``Handle.history``."""
        events = self._handle.history(follow=follow)
        try:
            while (event := self._loop.run(_next(events))) is not None:
                yield event
        finally:
            self._loop.run(_close(events))


class SyncJobHandle:
    """A ``JobHandle`` whose methods block."""

    def __init__(self, loop: _Loop, handle: JobHandle) -> None:
        self._loop = loop
        self._handle = handle

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self._handle.job_id

    @property
    def existed(self) -> bool:
        """Whether a job of that id was there already."""
        return self._handle.existed

    def result(self, timeout: float | None = None) -> Any:
        """See ``JobHandle.result``."""
        return self._loop.run(self._handle.result(timeout))

    def status(self) -> str:
        """See ``JobHandle.status``."""
        return self._loop.run(self._handle.status())

    def describe(self) -> dict[str, Any]:
        """See ``JobHandle.describe``."""
        return self._loop.run(self._handle.describe())

    def cancel(self) -> None:
        """See ``JobHandle.cancel``."""
        self._loop.run(self._handle.cancel())


class SyncScheduleHandle:
    """A ``ScheduleHandle`` whose methods block."""

    def __init__(self, loop: _Loop, handle: ScheduleHandle) -> None:
        self._loop = loop
        self._handle = handle

    @property
    def schedule_id(self) -> str:
        """The id of the schedule."""
        return self._handle.schedule_id

    def describe(self) -> dict[str, Any]:
        """See ``ScheduleHandle.describe``."""
        return self._loop.run(self._handle.describe())

    def update(self, **words: Any) -> None:
        """See ``ScheduleHandle.update``."""
        self._loop.run(self._handle.update(**words))

    def pause(self, note: str = "") -> None:
        """See ``ScheduleHandle.pause``."""
        self._loop.run(self._handle.pause(note))

    def unpause(self, note: str = "") -> None:
        """See ``ScheduleHandle.unpause``."""
        self._loop.run(self._handle.unpause(note))

    def trigger(self, overlap: str | None = None) -> None:
        """See ``ScheduleHandle.trigger``."""
        self._loop.run(self._handle.trigger(overlap))

    def backfill(
        self, start: datetime | str, end: datetime | str, overlap: str | None = None
    ) -> int:
        """See ``ScheduleHandle.backfill``."""
        return self._loop.run(self._handle.backfill(start, end, overlap))

    def delete(self) -> None:
        """See ``ScheduleHandle.delete``."""
        self._loop.run(self._handle.delete())


class SyncClient:
    """A ``Client`` whose methods block: ``with SyncClient.connect() as client: ...``.

    It keeps a thread until ``close``; it may be used from several threads.
    """

    def __init__(self, loop: _Loop, client: Client) -> None:
        """Use ``connect``."""
        self._loop = loop
        self._client = client

    @classmethod
    def connect(cls, url: str | None = None, namespace: str | None = None) -> Self:
        """See ``Client.connect``."""
        loop = _Loop()
        try:
            return cls(loop, loop.run(Client.connect(url, namespace)))
        except BaseException:
            loop.stop()
            raise

    @property
    def namespace(self) -> str:
        """The name of the namespace."""
        return self._client.namespace

    def start(self, type: str, *args: Any, **how: Any) -> SyncHandle:
        """See ``Client.start``."""
        return SyncHandle(self._loop, self._loop.run(self._client.start(type, *args, **how)))

    def execute(self, type: str, *args: Any, **how: Any) -> Any:
        """See ``Client.execute``."""
        return self._loop.run(self._client.execute(type, *args, **how))

    def call(self, entry: str, *args: Any, **how: Any) -> Any:
        """See ``Client.call``."""
        return self._loop.run(self._client.call(entry, *args, **how))

    def enqueue(self, entry: str, *args: Any, **how: Any) -> SyncJobHandle:
        """See ``Client.enqueue``."""
        return SyncJobHandle(self._loop, self._loop.run(self._client.enqueue(entry, *args, **how)))

    def enqueue_many(self, many: Iterable[Job], **how: Any) -> list[SyncJobHandle]:
        """See ``Client.enqueue_many``."""
        found = self._loop.run(self._client.enqueue_many(many, **how))
        return [SyncJobHandle(self._loop, job) for job in found]

    def get_job(self, job_id: str) -> SyncJobHandle:
        """See ``Client.get_job``."""
        return SyncJobHandle(self._loop, self._client.get_job(job_id))

    def list_jobs(self, limit: int = 20) -> list[dict[str, Any]]:
        """See ``Client.list_jobs``."""
        return self._loop.run(self._client.list_jobs(limit))

    def create_schedule(
        self, schedule_id: str, type: str, *args: Any, **words: Any
    ) -> SyncScheduleHandle:
        """See ``Client.create_schedule``."""
        work = self._client.create_schedule(schedule_id, type, *args, **words)
        return SyncScheduleHandle(self._loop, self._loop.run(work))

    def get_schedule(self, schedule_id: str) -> SyncScheduleHandle:
        """See ``Client.get_schedule``."""
        return SyncScheduleHandle(self._loop, self._client.get_schedule(schedule_id))

    def list_schedules(self) -> list[dict[str, Any]]:
        """See ``Client.list_schedules``."""
        return self._loop.run(self._client.list_schedules())

    def complete_activity(self, token: str, result: Any = None) -> None:
        """See ``Client.complete_activity``."""
        self._loop.run(self._client.complete_activity(token, result))

    def fail_activity(self, token: str, message: str, **how: Any) -> None:
        """See ``Client.fail_activity``."""
        self._loop.run(self._client.fail_activity(token, message, **how))

    def heartbeat_activity(self, token: str, details: Any = None) -> bool:
        """See ``Client.heartbeat_activity``."""
        return self._loop.run(self._client.heartbeat_activity(token, details))

    def signal_with_start(
        self, type: str, signal: str, payloads: Iterable[Any] = (), *args: Any, **how: Any
    ) -> SyncHandle:
        """See ``Client.signal_with_start``."""
        work = self._client.signal_with_start(type, signal, payloads, *args, **how)
        return SyncHandle(self._loop, self._loop.run(work))

    def get_handle(self, workflow_id: str, run_id: str | None = None) -> SyncHandle:
        """See ``Client.get_handle``."""
        return SyncHandle(self._loop, self._client.get_handle(workflow_id, run_id))

    def list_archived(self, limit: int = 20) -> list[dict[str, Any]]:
        """See ``Client.list_archived``."""
        return self._loop.run(self._client.list_archived(limit))

    def list(
        self, query: str | None = None, limit: int = 20, page: str | None = None
    ) -> dict[str, Any]:
        """See ``Client.list``."""
        return self._loop.run(self._client.list(query, limit, page))

    def count(self, query: str | None = None) -> int:
        """See ``Client.count``."""
        return self._loop.run(self._client.count(query))

    def close(self) -> None:
        """Close the connections and end the thread; safe twice."""
        if self._loop is not _CLOSED:
            loop, self._loop = self._loop, _CLOSED
            loop.run(self._client.close())
            loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


class _Closed(_Loop):
    def __init__(self) -> None:
        pass

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        work.close()
        raise RuntimeError("the client is closed")


_CLOSED = _Closed()


async def _next(events: Any) -> Event | None:
    return await anext(events, None)


async def _close(events: Any) -> None:
    await events.aclose()
