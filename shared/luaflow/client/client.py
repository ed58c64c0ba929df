"""The asynchronous client of one namespace."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from luaflow.archive import open_archive, opened_run
from luaflow.client import deferred, jobs, listing, looking, schedules, starting
from luaflow.client.ending import Ears, Ending
from luaflow.client.handle import Handle
from luaflow.client.jobs import Job, JobHandle, JobHow, Registered
from luaflow.client.payloads import Message
from luaflow.client.schedules import ScheduleHandle
from luaflow.client.session import Session
from luaflow.domain.failure import Failure
from luaflow.domain.ids import check_workflow_id
from luaflow.domain.lanes import base_of
from luaflow.domain.visibility import parse_query
from luaflow.errors import InvalidArgument, NotFound
from luaflow.observe.tracing import sending
from luaflow.registry import load_app
from luaflow.registry.bundle import defaults_of
from luaflow.registry.schemas import text_of
from luaflow.store.checks import check_before_start
from luaflow.store.store import Store

DEFAULT_URL: Final = "redis://localhost:6379"
DEFAULT_NAMESPACE: Final = "default"
MAX_PAGE: Final = 1000


class Client:
    """Starts workflows and finds them: ``async with await Client.connect() as client: ...``."""

    def __init__(self, store: Store) -> None:
        """Use an open store, which the client closes with itself; or call ``connect``."""
        self.store = store
        self._session = Session()
        self._ears = Ears(store.push)

    @classmethod
    async def connect(cls, url: str | None = None, namespace: str | None = None) -> Self:
        """Connect to a namespace.

        Without arguments ``LUAFLOW_REDIS_URL`` and ``LUAFLOW_NAMESPACE`` say where, else
        ``redis://localhost:6379`` and ``default``. Raises Unavailable without a server, NotFound
        without such a namespace, InvalidArgument for an address or name that is none.
        """
        url = url or os.environ.get("LUAFLOW_REDIS_URL") or DEFAULT_URL
        namespace = namespace or os.environ.get("LUAFLOW_NAMESPACE") or DEFAULT_NAMESPACE
        return cls(await Store.open(url, namespace, name="luaflow-client"))

    @property
    def namespace(self) -> str:
        """The name of the namespace."""
        return self.store.namespace

    async def start(
        self,
        type: str,
        *args: Any,
        id: str | None = None,
        task_queue: str | None = None,
        options: Mapping[str, Any] | None = None,
        messages: Iterable[Message] = (),
        request_id: str | None = None,
        memo: Mapping[str, Any] | None = None,
        search_attributes: Mapping[str, Any] | None = None,
        name: str | None = None,
        host: str | None = None,
        context: Mapping[str, Any] | None = None,
        sender: str | None = None,
        **more: Any,
    ) -> Handle:
        """Start a workflow by type name or entry id; when this returns it is in Redis.

        ``options`` are the start options of Lua code (``{"workflow.run_timeout": "1h"}``);
        ``messages`` are signals that come before all others, each ``(name, payload, …)``. A
        start with the same ``request_id`` is done once, however often it is called, messages for a
        run that exists included. The handle's ``existed`` says whether the id ran already and that
        run is the handle's. Every start option is an argument, too, by its name without prefix:
        ``run_timeout="1h"`` (or a timedelta), ``retry_policy={"maximum_attempts": 3}``,
        ``cron_schedule="@hourly"``, ``id_conflict_policy="fail"`` …

        The last four are what Lua's spawn says: ``name`` (the id unless one is given), ``host``
        (the worker entry to run on), ``context`` (what ``ctx`` answers), ``sender`` (the PID that
        sent the messages).

        Raises NotFound for an unknown type, AlreadyExists when the id policies say no,
        InvalidArgument for bad ids, options and values, Refused over a limit and on a server that
        would lose the run (it evicts keys …), Unavailable, and Unknown when no answer came (repeat
        it with a ``request_id`` to be sure).
        """
        how = starting.How(
            id=id,
            task_queue=task_queue,
            options=options,
            messages=messages,
            request_id=request_id,
            memo=memo,
            search_attributes=search_attributes,
            name=name,
            host=host,
            context=context,
            sender=sender,
            more=more,
        )
        return await self._start(type, args, how)

    async def _start(
        self, type: str, args: Iterable[Any], how: starting.How, ending: Ending | None = None
    ) -> Handle:
        """Start a workflow; ``ending`` listens for the end of its run from before that."""
        await check_before_start(self.store)
        hear = ending.hear if ending else None
        with sending(f"StartWorkflow:{type}", workflow=type) as sent:
            if sent.headers:
                how = replace(how, headers=sent.headers)
            request = await starting.prepare(self.store, type, args, how, hear)
            workflow_id, queue = request.route.workflow_id, request.route.queue
            sent.set(workflow_id=workflow_id, queue=base_of(queue))
            if ending:
                await ending.settle()
            run_id = await starting.open_run(self.store, self._session, request)
            sent.set(run_id=run_id)
        return Handle(
            self.store,
            self._session,
            workflow_id,
            run_id,
            pid=request.pid,
            queue=queue,
            existed=run_id != request.route.run_id,
        )

    async def execute(self, type: str, *args: Any, **how: Any) -> Any:
        """Start a workflow and wait for its result; takes what ``start`` takes.

        Raises WorkflowFailed for every other end, and what ``start`` raises.
        """
        await self.store.push.open()
        ending = Ending(self.store, self._ears)
        try:
            handle = await self._start(type, args, starting.how_of(how), ending)
            if handle.existed or not ending.sure:
                return await handle.result()
            return await handle.result_heard(ending)
        finally:
            ending.close()

    async def call(
        self,
        entry: str,
        *args: Any,
        app: str | Path | None = None,
        queue: str | None = None,
        **how: Any,
    ) -> Any:
        """Call a function of an app folder in this process, or execute a workflow.

        With ``queue`` it is a plain job, run by a worker of that queue: ``enqueue`` and its result;
        ``how`` is what ``enqueue`` takes.

        ``app`` is the folder, ``LUAFLOW_APP`` without; a function's code is there and nowhere
        else. What is no function of it is executed, as a deployed workflow. Raises WorkflowFailed
        when it fails, RegistryErrors for an app that does not load, and what ``start`` raises.
        """
        if queue is not None:
            job = await self.enqueue(entry, *args, queue=queue, **how)
            return await job.result()
        if how:
            raise InvalidArgument(f"{', '.join(sorted(how))}: only where a queue is given")
        folder = app or os.environ.get("LUAFLOW_APP")
        if folder:
            loaded = load_app(Path(folder))
            if (function := loaded.functions.get(entry)) is not None:
                # The worker's package stands above this one and comes in the same wheel.
                calling = importlib.import_module("luaflow_worker.calling")
                return await calling.call_with_client(self, loaded, function, list(args))
        try:
            return await self.execute(entry, *args)
        except NotFound as error:
            if folder:
                raise
            raise NotFound(f"{error.message}; a function is called with app=FOLDER") from None

    async def enqueue(self, entry: str, *args: Any, id: str | None = None, **how: Any) -> JobHandle:
        """Start a plain job: a function entry, run once by a worker of a task queue.

        ``id`` makes it one job, however often it is asked for while its outcome is kept (the
        handle's ``existed``). Further: ``queue`` (without it that of the entry's worker in
        ``app``, or in ``LUAFLOW_APP``; an app's ``meta.options`` count, too), ``options`` (those
        of activities: ``{"activity.retry_policy": …}``), ``start_delay``, ``result_ttl`` (how long
        its outcome is kept: a day, never less than a minute), ``context`` (what ``ctx`` answers).
        Times are texts such as ``"90s"``, or milliseconds.

        Raises InvalidArgument for bad ids, options and values, Refused over a limit, Unavailable,
        and Unknown when no answer came (repeat it with an ``id`` to be sure).
        """
        (job,) = await self.enqueue_many([Job(entry, args, id)], **how)
        return job

    async def enqueue_many(
        self, many: Iterable[Job], *, app: str | Path | None = None, **how: Any
    ) -> list[JobHandle]:
        """Start plain jobs that share their options, up to 500 with one script; see ``enqueue``.

        Returns a handle for each id. All are checked before the first is sent.
        """
        many = list(many)
        named = how.get("queue") or _names_queue(how.get("options") or {})
        folder = app or (None if named else os.environ.get("LUAFLOW_APP"))
        entries = _registered(folder, {job.entry for job in many}) if folder else {}
        await check_before_start(self.store)
        return await jobs.enqueue(self.store, many, JobHow(entries=entries, **how))

    def get_job(self, job_id: str) -> JobHandle:
        """The handle of a plain job; nothing is asked of the server yet."""
        return JobHandle(self.store, job_id)

    async def list_jobs(self, limit: int = 20) -> list[dict[str, Any]]:
        """The plain jobs that have not ended, the newest first, as ``JobHandle.describe``."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidArgument(f"a page holds 1-{MAX_PAGE} jobs, not {limit}")
        return await jobs.open_jobs(self.store, limit)

    async def create_schedule(
        self,
        schedule_id: str,
        type: str,
        *args: Any,
        trigger_immediately: bool = False,
        **words: Any,
    ) -> ScheduleHandle:
        """Start a workflow again and again, as ``cron="0 2 * * *"`` or another word says.

        When: ``cron`` (a text or a list), ``interval`` (``"1h"``, or ``{"every": "1h", "offset":
        "5m"}``), ``calendar`` (``{"hour": 9, "day_of_week": "MON-FRI"}``), ``timezone``,
        ``start_at``, ``end_at``, ``jitter``. How: ``overlap`` (skip, buffer_one, buffer_all,
        cancel_other, terminate_other, allow_all), ``catchup_window`` (a year),
        ``pause_on_failure``, ``limited_actions``, ``paused``, ``note``, ``schedule_memo``. What:
        ``workflow_id`` (what the ids of the runs begin with), ``options``, and every start option
        by its name.

        Raises AlreadyExists, and what ``start`` raises for the workflow itself.
        """
        check_workflow_id(schedule_id)
        await check_before_start(self.store)
        plan = schedules.plan_of(schedule_id, type, args, words)
        return await schedules.create_schedule(
            self.store, schedule_id, plan, words, at_once=trigger_immediately
        )

    def get_schedule(self, schedule_id: str) -> ScheduleHandle:
        """The handle of a schedule; nothing is asked of the server yet."""
        return ScheduleHandle(self.store, check_workflow_id(schedule_id))

    async def list_schedules(self) -> list[dict[str, Any]]:
        """The descriptions of all schedules, by id."""
        return await schedules.list_schedules(self.store)

    async def complete_activity(self, token: str, result: Any = None) -> None:
        """End an activity that said ``defer()`` with a result; see ``fail_activity``."""
        await deferred.complete(self.store, token, result)

    async def fail_activity(
        self,
        token: str,
        message: str,
        *,
        kind: str = "Internal",
        retryable: bool | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Fail an attempt that said ``defer()``: its retry policy decides what follows.

        Raises InvalidArgument for a text that is no token, NotFound when the activity has ended or
        its run is gone, Refused when another attempt has taken its place.
        """
        failure = Failure(kind, message, retryable=retryable, details=dict(details or {}) or None)
        await deferred.fail(self.store, token, failure)

    async def heartbeat_activity(self, token: str, details: Any = None) -> bool:
        """Say that a deferred activity is alive; whether it is asked to stop. As above."""
        return await deferred.heartbeat(self.store, token, details)

    async def signal_with_start(
        self, type: str, signal: str, payloads: Iterable[Any] = (), *args: Any, **how: Any
    ) -> Handle:
        """Signal the workflow of an id, or start it with the signal in one step; see ``start``."""
        if not signal:
            raise InvalidArgument("a signal needs a name")
        options = {**(how.pop("options", None) or {})}
        options.setdefault("workflow.id_conflict_policy", "use_existing")
        messages = [(signal, *payloads), *how.pop("messages", ())]
        return await self.start(type, *args, options=options, messages=messages, **how)

    def get_handle(self, workflow_id: str, run_id: str | None = None) -> Handle:
        """The handle of a workflow that exists; nothing is asked of the server yet.

        Raises InvalidArgument for a text that is no workflow id.
        """
        return Handle(self.store, self._session, workflow_id, run_id)

    async def list_archived(self, limit: int = 20) -> list[dict[str, Any]]:
        """Descriptions of the newest runs in the namespace's archive; none where it has none.

        It looks through the names of all that are there. Raises Unavailable.
        """
        archive = await open_archive(self.store)
        if archive is None:
            return []
        try:
            found = [await opened_run(self.store, run) for run in await archive.newest(limit)]
            return [looking.describe_archived(run) for run in found]
        finally:
            await archive.close()

    async def list(
        self, query: str | None = None, limit: int = 20, page: str | None = None
    ) -> dict[str, Any]:
        """``{"workflows": [description, …], "next_page": text or None}``, the newest first.

        ``query`` is that of ``luaflow.domain.visibility``; ``page`` is the ``next_page`` of the
        page before. Raises InvalidArgument for one that cannot be read. Runs that are damaged are
        named apart, where there are any: ``"damaged": [{workflow_id, run_id, message}, …]``.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidArgument(f"a page holds 1-{MAX_PAGE} workflows, not {limit}")
        found = await listing.list_runs(self.store, parse_query(query), limit, page)
        more = {"damaged": found.damaged} if found.damaged else {}
        return {"workflows": found.runs, "next_page": found.following} | more

    async def count(self, query: str | None = None) -> int:
        """How many runs a query asks for; see ``list``."""
        return await listing.count_runs(self.store, parse_query(query))

    async def close(self) -> None:
        """Close the connections."""
        await self.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()


def _names_queue(options: Mapping[str, Any]) -> bool:
    return any(options.get(f"{prefix}activity.task_queue") for prefix in ("", "temporal."))


def _registered(folder: str | Path, names: set[str]) -> dict[str, Registered]:
    """What the app says of functions; NotFound for one that none of its workers has registered."""
    loaded = load_app(Path(folder))
    found = {}
    for name in names:
        entry = loaded.activities.get(name)
        worker = loaded.workers.get(entry.activity.worker) if entry and entry.activity else None
        if entry is None or worker is None:
            raise NotFound(
                f"no worker of the app {folder} has registered the function {name!r}: look at"
                " its id and its meta.temporal.activity.worker, or name another app or a queue"
            )
        schema = text_of(entry.input_schema)
        found[name] = Registered(worker.task_queue, defaults_of(entry), schema)
    return found
