"""One decision on its way, and what workflow tasks ask of the activities of their worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson

from luaflow.domain.events import Event
from luaflow.domain.options import ActivityOptions
from luaflow.errors import LuaflowError
from luaflow.replay.decider import Decision
from luaflow.store import transitions
from luaflow.store.link import Call
from luaflow.store.store import Store
from luaflow_worker import spans
from luaflow_worker.attempt import Attempt, Outcome
from luaflow_worker.children import Types
from luaflow_worker.continuing import continue_call
from luaflow_worker.ending import ends, how_it_ends, needs_task, next_run_call
from luaflow_worker.faults import EngineFault, fault_of
from luaflow_worker.live import Live, Result
from luaflow_worker.proposal import Eager, Proposal
from luaflow_worker.stretches import parse_events, read_events

if TYPE_CHECKING:
    from luaflow.observe.otel import Span

MOST_COMMANDS = 5000
"""What a decision may ask for at most: it is full at 500, but where code cannot be paused (in a
callback of the library) it goes on, and its script stops the whole server while it writes that."""


class Activities(Protocol):
    """What workflow tasks ask of the activities of this worker."""

    def keep(self, name: str, options: ActivityOptions) -> str | None:
        """Return a token when this worker runs the activity itself, at once."""

    def start(
        self, live: Live, eager: Eager, done: Callable[[Live, Result], None]
    ) -> Result | None:
        """Run an eager activity; return its result if it ended at once, or call ``done``."""

    def finish(self, live: Live, results: Sequence[Result]) -> None:
        """Report results the plain way: their run is not in memory any more, or has moved on."""

    def settled(self, results: Sequence[Result]) -> None:
        """These results are in the history."""

    def release(self, kept: int) -> None:
        """Activities that ``keep`` gave tokens to are not to be started."""

    async def run_here(self, attempt: Attempt) -> Outcome:
        """Run an attempt that only its decision knows of (a local activity) to its end."""


@dataclass(slots=True, eq=False)
class Step:
    """A decision on its way: on a taken task, or (fused) on results of eager activities.

    ``anchors``: later decisions of the run are under its ``span``.
    """

    live: Live
    seen: int
    results: list[Result] = field(default_factory=list)
    stamp: int = 0
    cid: str = ""
    decision: Decision | None = None
    proposal: Proposal | None = None
    since: float = field(default_factory=time.monotonic)
    span: Span | None = None
    anchors: bool = False

    @property
    def fused(self) -> bool:
        """Return whether the step carries results."""
        return bool(self.results)

    def decide(self, *, standing: bool) -> None:
        """Feed the run what the step sees; ``standing``: time stands, and cannot be estimated."""
        execution, clock = self.live.execution, self.live.clock
        if self.fused:
            self.stamp = clock.now if standing else clock.estimate()
            events = [
                Event(self.seen + i, self.stamp, kind, body)
                for i, (_, _, kind, body) in enumerate(self.results, 1)
            ]
            execution.absorb(events)
        spans.task_begun(self)
        self.decision = execution.decide(self.seen + len(self.results))

    @property
    def sent_to_itself(self) -> bool:
        """Whether the run goes on with messages that it sent to itself."""
        assert self.decision is not None
        assert self.proposal is not None
        return self.proposal.to_self and self.decision.status == "wait"

    def is_last(self, answer: Sequence[Any]) -> bool:
        """Whether its commit was answered so: no events came while it was made."""
        known = self.fused or self.seen >= int(answer[2])
        return not answer[6] and known and not self.sent_to_itself

    @property
    def needs_task(self) -> bool:
        """Whether a fused step must wait for a task: its results are reported the plain way first.

        Whatever opens a next run needs one, and so do local activities: what they rest on must be
        in the history before they run (design 5.5).
        """
        assert self.decision is not None
        return self.fused and (
            self.decision.status == "continued"
            or bool(self.live.execution.locals)
            or needs_task(self.live.place, self.decision)
        )


class Sticky(NamedTuple):
    """Whose queue the next task goes to ('' = the shared one), and how long it may stay there.

    ``ms`` 0: as the namespace says.
    """

    worker: str
    ms: int = 0


async def news_behind(store: Store, step: Step, answer: Sequence[Any]) -> list[Event]:
    """The events that came while a decision was made; ``answer`` is that of its commit."""
    late, route = parse_events(answer[6]), step.live.place.route
    before, known = int(answer[2]), step.seen + len(late)
    if step.sent_to_itself:  # what the commit wrote is news, too
        first = step.seen + len(step.results) + 1
        return await read_events(store, route, first, int(answer[3]))
    if known < before and not step.fused:
        late += await read_events(store, route, known + 1, before)
    return late


def names_in(steps: Sequence[Step]) -> tuple[set[str], set[str], set[str]]:
    """The workflow types, the worker entries and the registered names that decisions name."""
    names, hosts, called = set(), set(), set()
    for step in steps:
        assert step.decision is not None
        for c in step.decision.commands:
            if c.op in ("child", "continue_as_new") and c.name:
                names.add(c.name.decode(errors="replace"))
                hosts.add(str(orjson.loads(c.extra or b"{}").get("host") or "-"))
            elif c.op in ("signal", "cancel", "terminate") and c.name and b"{" not in c.name:
                called.add(c.name.decode(errors="replace"))
    return names, hosts, called


def _check_many(decision: Decision) -> None:
    """Raise EngineFault for a decision that asks for too much at once."""
    if len(decision.commands) <= MOST_COMMANDS:
        return
    # what a cancel gives up is as much as was asked for before, and cannot be told later
    asked = sum(not command.op.startswith("cancel_") for command in decision.commands)
    if asked > MOST_COMMANDS:
        raise EngineFault(
            f"one decision asks for {asked} things at once, the limit is"
            f" {MOST_COMMANDS}: wait for some of them before asking for more"
        )


def _said(live: Live, decision: Decision, worker: str, *, ended: bool, anchors: bool) -> bytes:
    """The body of WorkflowTaskCompleted; ``ended``: another run of its chain follows."""
    said: dict[str, Any] = {"seen": decision.seen, "worker": worker}
    if decision.status == "continued" or decision.more:
        said["continued" if decision.status == "continued" else "more"] = True
    if live.place.upgrades:
        said["bundle"] = live.place.bundle
    if anchors:
        said["headers"] = live.place.headers
    if ended:
        # where many messages pass on, the closing event comes later: replay must know of it here
        said["ended"] = decision.status
    return orjson.dumps(said)


def spelled(
    step: Step,
    worker: str,
    sticky: Sticky,
    keep: Callable[[str, ActivityOptions], str | None],
    types: Types,
) -> Call | LuaflowError:
    """The same as ``spell``, or what keeps the decision from being spelled out."""
    try:
        return spell(step, worker, sticky, keep, types)
    except Exception as error:  # noqa: BLE001 - a bad run hurts only itself
        return fault_of(error)


def spell(
    step: Step,
    worker: str,
    sticky: Sticky,
    keep: Callable[[str, ActivityOptions], str | None],
    types: Types,
) -> Call:
    """Return the transition that writes a decision; its proposal stays with the step."""
    live, decision = step.live, step.decision
    assert decision is not None
    _check_many(decision)
    continued = decision.status == "continued"
    live.place.now = live.clock.estimate()
    end = how_it_ends(live.place, decision) if ends(decision) else None
    following = end and end.following
    body = _said(live, decision, worker, ended=bool(following), anchors=step.anchors)
    another = continued or following is not None
    first_key = transitions.CONTINUE_KEYS if another else transitions.COMMIT_KEYS
    proposal = step.proposal = Proposal(live.place, types, keep, first_key)
    proposal.bodies.append(body)
    if live.place.upgrades:
        proposal.operations += ["H", "bundle", live.place.bundle]
    proposal.add(decision)
    if end:
        proposal.close(decision, end)
    if end and following:
        return next_run_call(step.cid, worker, live, decision, body, proposal, end, following)
    if continued:
        return continue_call(step.cid, worker, live, decision, body, proposal, types)
    return transitions.commit(
        route=live.place.route,
        cid=step.cid,
        turn=live.turn,
        seen=step.seen,
        worker=worker,
        fused=step.fused,
        sticky=sticky.worker,
        sticky_ms=sticky.ms,
        more=decision.more,
        decision=body,
        results=[(*result, step.stamp) for result in step.results],
        operations=proposal.operations,
        others=proposal.keys,
    )
