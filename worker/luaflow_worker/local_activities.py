"""Local activities: run inside the workflow task that asks for them, recorded with its decision.

Their promise is "at least once": when the decision is refused, they run again (design 5.4). What a
decision asks for together runs together; each is fed, and recorded, when it ends.
"""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from luaflow.domain.failure import SCHEDULE_TO_CLOSE, Invalid, canceled, timeout
from luaflow.domain.options import ActivityOptions, parse_activity_options
from luaflow.lua.vm import Command
from luaflow.replay.decider import Decision
from luaflow.store import transitions
from luaflow.store.store import Store
from luaflow_worker.attempt import Attempt, Outcome, Verdict, log_failure, verdict
from luaflow_worker.live import Live
from luaflow_worker.quarantine import Quarantine
from luaflow_worker.rate import Rate
from luaflow_worker.steps import Step

RETRY_SECONDS = 60.0
"""How long one without a schedule-to-close timeout is tried again: its decision waits for it."""

Run = Callable[[Attempt], Awaitable[Outcome]]
Make = Callable[..., Attempt]
Ended = tuple[bool, Any, bytes]
"""Whether it went well, its value or failure, the JSON of that."""


class LocalActivities:
    """Runs the local activities of decisions, ``slots`` of them at a time."""

    def __init__(
        self,
        store: Store,
        worker: str,
        run: Run,
        begun: Callable[[], None],
        slots: int,
        per_second: float = 0.0,
    ) -> None:
        """``run`` runs one attempt to its end; ``per_second`` start at most (0: any number).

        ``begun`` is told that a decision waits: it uses the processor no more.
        """
        self._store = store
        self._worker = worker
        self._run = run
        self._begun = begun
        self._slots = asyncio.Semaphore(slots)
        self._rate = Rate(per_second)
        self.waiting: defaultdict[str, list[asyncio.Task[Any] | None]] = defaultdict(list)
        """The ids of runs whose decisions wait for some, and who makes these: a lease may end while
        one waits, and the run be taken again by the same worker."""

    @property
    def many(self) -> int:
        """How many decisions wait."""
        return sum(map(len, self.waiting.values()))

    def lost(self, run_id: str) -> None:
        """The task of a run is not ours any more: nobody has a use for what it waits for."""
        for decision in self.waiting.get(run_id, ()):
            if decision:
                decision.cancel()

    async def run_all(self, step: Step, quarantine: Quarantine) -> None:
        """Run what a decision asks for, and what it asks for when it has been fed with that."""
        execution, running = step.live.execution, dict[asyncio.Task[Ended], Command]()
        if not execution.locals:
            return
        decision = asyncio.current_task()
        self.waiting[step.live.run_id].append(decision)
        self._begun()
        try:
            await self._keep(step.live)
            while execution.locals and step.decision and step.decision.status == "wait":
                known = list(running.values())
                for command in execution.locals:
                    if command not in known:
                        running[asyncio.create_task(self._one(step.live, command))] = command
                _cancel(step.decision, running)
                async with quarantine.aside():
                    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda t: running[t].seq):
                    ended = _failed(canceled().to_json()) if task.cancelled() else task.result()
                    step.decision = execution.feed_local(running.pop(task), *ended)
                    if step.decision.status != "wait":
                        return
        finally:
            for task in running:
                task.cancel()
            try:
                await asyncio.gather(*running, return_exceptions=True)
            finally:
                self._over(step.live.run_id, decision)

    def _over(self, run_id: str, decision: asyncio.Task[Any] | None) -> None:
        self.waiting[run_id].remove(decision)
        if not self.waiting[run_id]:
            del self.waiting[run_id]

    async def _keep(self, live: Live) -> None:
        """What a task may take ends here: the time of local activities is their own.

        Leases are renewed too seldom for that: the task would be lost, and they ran again.
        """
        if live.place.started.get("task_timeout_ms"):
            await self._store.one(
                transitions.renew_task(
                    partition=live.place.route.partition,
                    run_id=live.run_id,
                    turn=live.turn,
                    worker=self._worker,
                    waits=True,
                )
            )

    async def _one(self, live: Live, command: Command) -> Ended:
        """Run one, retries and all."""
        try:
            make, options = _asked_for(live, command)
        except Invalid as error:
            return _failed(error.failure().to_json())
        said, outcome = await self._attempts(make, options.schedule_to_close_ms)
        body = orjson.loads(said.body)
        if "failure" in body:
            return _failed(body["failure"])
        return True, body["result"], outcome.result

    async def _attempts(self, make: Make, limit: int | None) -> tuple[Verdict, Outcome]:
        """Try until it is over; ``limit`` is the schedule-to-close timeout in ms."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (limit / 1000 if limit else RETRY_SECONDS)
        number = 0
        while True:
            number += 1
            attempt = make(number=number)
            outcome = await self._attempt(attempt, end if limit else None)
            said = verdict(attempt, outcome)
            log_failure(attempt, said)
            if said.delay is None:
                return said, outcome
            if loop.time() + said.delay / 1000 >= end:
                last = {"last_failure": orjson.loads(said.body)}
                late = timeout(SCHEDULE_TO_CLOSE, details=last)
                return verdict(attempt, Outcome(failure=late)), outcome
            await asyncio.sleep(said.delay / 1000)

    async def _attempt(self, attempt: Attempt, end: float | None) -> Outcome:
        try:
            async with asyncio.timeout_at(end), self._slots:
                await self._rate.wait()
                return await self._run(attempt)
        except TimeoutError:
            return Outcome(failure=timeout(SCHEDULE_TO_CLOSE))


def _cancel(decision: Decision, running: Mapping[asyncio.Task[Ended], Command]) -> None:
    """Stop those whose cancellation the decision asks for."""
    asked = {int(c.name or 0) for c in decision.commands if c.op == "cancel_activity"}
    for task, command in running.items():
        if command.seq in asked:
            task.cancel()


def _asked_for(live: Live, command: Command) -> tuple[Make, ActivityOptions]:
    """What the code asked for; Invalid for options that cannot be, or arguments too large."""
    place, name = live.place, (command.name or b"").decode(errors="replace")
    given = orjson.loads(command.extra or b"{}")
    context = {**(place.started.get("context") or {}), **(given.pop("context", None) or {})}
    options, _ = parse_activity_options(name, given, place.activity_options.get(name))
    data = command.data or b"[]"
    place.check_size(data, f"the arguments of {name}")
    make = functools.partial(
        Attempt,
        partition=place.route.partition,
        workflow_id=place.route.workflow_id,
        run_id=place.route.run_id,
        seq=command.seq,
        activity=name,
        input=data,
        token="",
        queue=place.route.queue,
        workflow_type=place.type,
        start_to_close=options.start_to_close_ms,
        policy=options.retry_policy,
        context=context,
        headers=place.headers,
    )
    return make, options


def _failed(shape: dict[str, Any]) -> Ended:
    return False, shape, orjson.dumps(shape)
