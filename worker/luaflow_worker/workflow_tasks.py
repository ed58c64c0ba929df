"""Workflow tasks: take, decide, commit; many runs a round trip (design 5.1, 6).

A batch goes from the stream to its last commit: each round decides all its runs and commits them
together. What comes back decides what goes on: news, results of eager activities (a fused step), a
refusal (rebuild, or let go).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

from luaflow.domain.events import Event
from luaflow.domain.failure import Failure
from luaflow.errors import LuaflowError, Unavailable, Unknown
from luaflow.observe.logs import log_fields
from luaflow.store.link import Call
from luaflow.store.spread import by_partition
from luaflow.store.store import Store
from luaflow.store.transitions import Route
from luaflow_worker import faults, spans
from luaflow_worker.background import Background
from luaflow_worker.children import Types
from luaflow_worker.engines import Engines
from luaflow_worker.live import Cache, Clock, Live, Result
from luaflow_worker.local_activities import LocalActivities
from luaflow_worker.metrics import WorkerMetrics
from luaflow_worker.quarantine import Quarantine
from luaflow_worker.refusals import Refusals
from luaflow_worker.steps import Activities, Step, Sticky, names_in, news_behind, spelled
from luaflow_worker.taking import Entry, Taken, release, revive, take, taken_again, under_way

ROUND_SECONDS = 0.1
"""What the decisions of one round may take together, before they are committed."""
TURN_SECONDS = 0.02
"""What short replays may take together, before the event loop turns."""


class WorkflowTasks:
    """Decides the workflow tasks this worker reads."""

    def __init__(
        self,
        store: Store,
        worker: str,
        engines: Engines,
        activities: Activities,
        metrics: WorkerMetrics,
        *,
        deliver: Callable[[int, set[int]], None],
        quarantine: Quarantine,
        cache_size: int = 1000,
        sticky_ms: int = 0,
        local_slots: int = 1000,
        local_per_second: float = 0.0,
    ) -> None:
        """``deliver(sender, receivers)`` is told of partitions with fresh messages in an outbox."""
        self._store = store
        self._worker = worker
        self._engines = engines
        self._activities = activities
        self.freed = asyncio.Event()
        self.locals = LocalActivities(
            store, worker, activities.run_here, self.freed.set, local_slots, local_per_second
        )
        self._metrics = metrics
        self._deliver = deliver
        self.quarantine = quarantine
        self._sticky = Sticky(worker if cache_size else "", sticky_ms)
        self.cache = Cache(max(cache_size, 1), lambda _: metrics.evicted())
        self.taken: dict[str, tuple[Route, int]] = {}
        self.active = 0
        self._numbers = itertools.count(1)
        self._plain_only = Refusals()
        self._finished: list[Live] = []
        self._leaving = False
        self.background = Background("luaflow-batch", "a batch of workflow tasks")
        self.spawn = self.background.spawn

    def handle(self, entries: Sequence[Entry]) -> None:
        """Carry tasks read from a stream to their commits, in the background."""
        self.active += len(entries)
        for part in by_partition(self._store, entries, lambda e: e.partition):
            self.spawn(self._handle(part))

    async def _handle(self, entries: Sequence[Entry], *, wait: bool = True) -> None:
        if wait:
            entries, later = under_way(self.cache, entries, self.locals.waiting)
            for one in later:
                self.spawn(self._handle_later(*one))
            self._give_back(len(later))
        steps: list[Step] = []
        try:
            steps = await self._take(entries)
        finally:
            self._give_back(len(entries) - len(steps))
        await self._run(steps)

    async def _handle_later(self, entry: Entry, live: Live) -> None:
        """Take a task when the step of its run has ended; waits a lease at most, without a slot."""
        rested = await live.rested(self._store.settings.lease_ms / 1000)
        self.active += 1
        await self._handle([entry], wait=rested)

    def _give_back(self, slots: int) -> None:
        self.active -= slots
        if slots:
            self.freed.set()

    async def _take(self, entries: Sequence[Entry]) -> list[Step]:
        steps = []
        found = await take(
            self._store, self._worker, self.cache, entries, stale=self._let_go, free=self._free
        )
        # all of them at once: those at the end wait for the replays before them
        self.taken |= {task.route.run_id: (task.route, task.turn) for task in found}
        end = time.monotonic() + TURN_SECONDS
        try:
            for task in found:
                if self.quarantine.alone(task):
                    self.spawn(self._take_alone(task))
                elif step := await self._step_of(task):
                    steps.append(step)
                if time.monotonic() > end:  # replays may have taken long
                    await asyncio.sleep(0)
                    end = time.monotonic() + TURN_SECONDS
        except BaseException:
            for task in found:
                self._untake(task.route.run_id, task.turn)
            for live in [s.live for s in steps] + [t.cached for t in found if t.cached]:
                self._let_go(live)
            raise
        return steps

    async def _take_alone(self, task: Taken) -> None:
        step = None
        async with self.quarantine.engines_for(task) as engines:
            self.active += 1  # a suspect that waits for its turn has no slot
            try:
                step = await self._step_of(task, engines)
            finally:
                if step is None:
                    self._untake(task.route.run_id, task.turn)
                    self._give_back(1)
            if step:
                step.live.apart = engines is not None
                await self._run([step])

    async def drain(self, seconds: float) -> None:
        """Wait for the decisions on their way; those that need longer go back to the queue."""
        self._leaving = True
        await self.background.wait(seconds)
        held = list(self.taken.values())  # what is cancelled lets go of its task
        await self.background.cancel()
        await release(self._store, self._worker, held)

    async def _step_of(self, task: Taken, engines: Engines | None = None) -> Step | None:
        engines = engines or self._engines
        try:
            live = await revive(self._store, engines, self._metrics, task, self._let_go)
        except Exception as error:  # noqa: BLE001 - a bad run hurts only itself
            fault = faults.fault_of(error)
            if task.cached:
                self._let_go(task.cached)
            await self._fail(task.route, task.type, task.turn, fault)
            return None
        return Step(live, task.length)

    async def _run(self, steps: list[Step]) -> None:
        """Decide and commit until nothing follows at once; each run holds a slot until then."""
        for step in steps:
            step.live.rounds = 0
        while steps:
            slots, following = len(steps), list[Step]()
            try:
                await self._round(steps, following)
            except BaseException:
                # what became of them is not known; if kept, their leases were renewed for ever
                for step in (*steps, *following):
                    self._abandon(step)
                self._give_back(slots)
                raise
            self._give_back(slots - len(following))
            steps = following

    async def _round(self, steps: list[Step], following: list[Step]) -> None:
        """Decide and commit what fits into a round; ``following`` gets what follows at once.

        What is settled leaves ``steps``, so that both are right whatever fails on the way.
        """
        ready = await self._decided(steps, following)
        types = await self._engines.deployed(*names_in(ready))
        calls = [self._call(step, types) for step in ready]
        # what cannot even be spelled out fails alone, and so does what makes the script fail
        sent = [call for call in calls if isinstance(call, Call)]
        answers = iter(await self._store.apart(*sent))
        at = time.monotonic()
        for step, call in zip(ready, calls, strict=True):
            answer = next(answers) if isinstance(call, Call) else call
            try:
                if isinstance(answer, LuaflowError) or answer[0] == b"full":
                    await self._decision_failed(step, faults.fault_of_commit(answer))
                elif then := await self._settle(step, answer, at):
                    following.append(then)
            except (Unavailable, Unknown):
                raise
            except Exception as error:  # noqa: BLE001 - a bad run hurts only itself
                faults.tell_broken(step.live.place.route, step.live.place.log_fields, error)
                self._abandon(step)
            steps.remove(step)

    async def _decided(self, steps: list[Step], following: list[Step]) -> list[Step]:
        """Decide runs until the round is over; return those to commit.

        The event loop must turn: leases are renewed, results arrive, the supervisor hears of us.
        """
        ready, todo, end = [], list(steps), time.monotonic() + ROUND_SECONDS
        standing = self._store.settings.simulated
        for i, step in enumerate(todo):
            if i and time.monotonic() > end:
                for later in todo[i:]:
                    steps.remove(later)
                    following.append(later)
                await asyncio.sleep(0)
                break
            try:
                if step.decision is None and step.live.apart:
                    await self.quarantine.decide(step, standing=standing)
                elif step.decision is None:
                    step.decide(standing=standing)
                if step.needs_task:
                    steps.remove(step)
                    self._abandon(step)
                    continue
                if step.live.execution.locals and len(todo) > 1:
                    # they may take long: nobody else waits for them
                    steps.remove(step)
                    self.active += 1
                    self.spawn(self._run([step]))
                    continue
                if step.live.execution.locals:
                    self._report(step.live)
                    await self.locals.run_all(step, self.quarantine)
            except Exception as error:  # noqa: BLE001 - the same
                await self._decision_failed(step, faults.fault_of(error))
                steps.remove(step)
            else:
                ready.append(step)
        return ready

    def _call(self, step: Step, types: Types) -> Call | LuaflowError:
        step.cid = f"{self._worker}.{next(self._numbers)}"
        return spelled(step, self._worker, self._sticky, self._activities.keep, types)

    async def _settle(self, step: Step, answer: list[Any], at: float) -> Step | None:
        """Take a commit's answer; return the next step of the run, if there is one at once."""
        verdict = bytes(answer[0]).decode()
        self._metrics.commit("fused" if step.fused else "plain", verdict == "ok")
        if verdict == "ok":
            late = [] if step.is_last(answer) else await news_behind(self._store, step, answer)
            return self._accepted(step, answer, late, at)
        live = step.live
        self._abandon(step)
        if verdict == "messages":
            return await self._decide_again(live)
        if step.fused and verdict != "closed":
            self._plain_only.note(live)
        return None

    def _accepted(self, step: Step, answer: list[Any], late: list[Event], at: float) -> Step | None:
        live, decision, proposal = step.live, step.decision, step.proposal
        assert decision is not None
        assert proposal is not None
        _, turn, _, length, now, keep, _ = answer
        live.rounds += 1
        live.execution.absorb(late)
        if not step.sent_to_itself:
            live.execution.count(sum(map(len, proposal.bodies)))
        live.cid, live.turn, live.length = step.cid, int(turn), int(length)
        live.clock = Clock(int(now), at)
        self._metrics.task_done(at - step.since)
        if proposal.receivers:
            self._deliver(live.place.route.partition.number, proposal.receivers)
        if not keep:
            self._plain_only.decided(live.run_id, ended=decision.status != "wait")
        self._activities.settled(step.results)
        spans.task_ended(step)
        if decision.status != "wait":
            self._metrics.closed(live.place.type, proposal.status, live.length)
            lasted = (int(now) - live.place.began) / 1000
            self._metrics.durations.closed(live.place.type, live.execution.size, lasted)
            self._activities.release(len(proposal.eager))
            self._let_go(live)
            return None
        while proposal.eager:
            eager = proposal.eager.pop(0)
            if result := self._activities.start(live, eager, self._activity_done):
                live.results.append(result)
        if keep:
            # a run may go on like this for ever: what its activities returned takes the plain way
            self._report(live)
            held = self.taken[live.run_id] = (live.place.route, live.turn)
            if not live.lasts:
                return Step(live, live.length)
            # (it stays where it is in memory: elsewhere all of it had to be replayed)
            stays = not (live.apart or self._leaving)
            self.spawn(release(self._store, self._worker, [held], keep=stays))
        self._untake(live.run_id, live.turn)
        self.cache.put(live)
        if live.results:
            return self._fuse(live)
        live.release()
        return None

    def _fuse(self, live: Live) -> Step | None:
        results, live.results = live.results, []
        if not (live.run_id in self._plain_only or live.plain or live.rest):
            return Step(live, live.length, results)
        self._activities.finish(live, results)  # a task waits: it is behind
        live.release()
        return None

    async def _decide_again(self, live: Live) -> Step | None:  # the turn is still ours
        """The close was refused: messages came. Rebuild the run."""
        task = await taken_again(self._store, live)
        self.taken[live.run_id] = (task.route, live.turn)
        return await self._step_of(task)

    def _untake(self, run_id: str, turn: int) -> None:
        """The task is not ours any more; a later one of the same run stays."""
        if run_id in self.taken and self.taken[run_id][1] == turn:
            del self.taken[run_id]

    def _abandon(self, step: Step) -> None:
        """The step is not to be, or nobody knows: what it kept is given back."""
        if step.proposal:
            self._activities.release(len(step.proposal.eager))
            step.proposal = None
        spans.task_ended(step, committed=False)
        self._let_go(step.live, step.results)

    def _let_go(self, live: Live, results: Sequence[Result] = ()) -> None:
        self._untake(live.run_id, live.turn)
        self.cache.drop(live)
        live.results = [*results, *live.results]
        self._report(live)

    def _activity_done(self, live: Live, result: Result) -> None:
        live.results.append(result)
        if live.dropped or live.plain or live.run_id in self.locals.waiting:
            self._report(live)  # no step goes on with it, or nobody knows when
        elif not live.busy:  # else the step under way goes on with it
            self._free(live)

    def _report(self, live: Live) -> None:
        """Bring what its activities returned into the history the plain way."""
        self._activities.finish(live, live.results)
        live.results = []

    def _free(self, live: Live) -> None:
        """No step of the run is under way: go on with what its activities returned, if anything."""
        if not live.results:
            live.release()
            return
        live.busy = True
        if not self._finished:
            asyncio.get_running_loop().call_soon(self._go_on)
        self._finished.append(live)

    def _go_on(self) -> None:
        """Fuse what ended in the same turn of the loop, in one batch."""
        lives, self._finished = self._finished, []
        steps = [step for live in lives if (step := self._fuse(live))]
        self.active += len(steps)
        self.spawn(self._run(steps))

    async def _decision_failed(self, step: Step, fault: LuaflowError) -> None:
        live, turn = step.live, step.live.turn
        if live.engine.broken:
            # the engine failed (memory ran out inside it): nothing in it is kept
            self._engines.discard(live.engine)
            for other in self.cache:
                if other.engine is live.engine and not other.busy:
                    self._let_go(other)
        spans.task_ended(step, Failure(faults.reason_of(fault), fault.message), committed=False)
        self._abandon(step)
        if not step.fused:
            with log_fields(**live.place.log_fields):
                await self._fail(live.place.route, live.place.type, turn, fault)

    async def _fail(self, route: Route, type: str, turn: int, fault: LuaflowError) -> None:
        faults.tell_stuck(route, type, fault)
        self._metrics.task_failed(type, faults.reason_of(fault))
        self._store.look_soon(fault)
        self.quarantine.note(type, fault)
        self._untake(route.run_id, turn)
        await self._store.one(faults.fail_call(route, turn, self._worker, fault))
