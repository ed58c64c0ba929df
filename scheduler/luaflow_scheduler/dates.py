"""Dates: members of a partition's sorted sets that are due, and the state they are about.

``timers`` (namespace time): ``t|run|seq`` timer, ``r|run|seq`` retry, ``c|run|seq``
schedule-to-close, ``x|run`` run timeout, ``X|run`` execution timeout, ``d|run`` start delay,
``g|run`` wait for its rate limit, ``f|run`` pause after failed tasks, ``S|id`` schedule. ``leases``
(server time): ``w|run`` workflow task, ``a|run|seq`` attempt, ``s|run|seq`` schedule-to-start,
``n|run`` next slice of a continue-as-new, ``z|run`` closing task, ``o|partition`` outbox. ``gc``:
run ids, and ``p|run`` for a closed one to be settled. The run of a plain job is ``j:<job id>``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from luaflow.domain.events import Event
from luaflow.errors import LuaflowError, Unavailable, Unknown
from luaflow.observe.logs import run_fields
from luaflow.store import transitions
from luaflow.store.attempts import Proof, Record, parse_record
from luaflow.store.keys import Partition
from luaflow.store.link import Call
from luaflow.store.store import Store
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)

OF_ACTIVITY = frozenset("asrc")
"""Kinds that are about an activity."""
MOVES = 5
"""How often a step follows a run that moves between workers before it waits for the next round."""
SOON_MS = 1_000
"""When a date that nobody could act on is looked at again."""
BROKEN_MS = 60_000
"""The same, for one whose state makes a script fail: it must not keep the others waiting."""


class Date(NamedTuple):
    """A member of a sorted set that is due; ``score`` as the server spells it."""

    set_key: str
    member: str
    score: str

    @property
    def kind(self) -> str:
        """The letter it begins with."""
        return self.member[0]

    @property
    def run_id(self) -> str:
        """The run it is about."""
        return self.member.split("|")[1]

    @property
    def seq(self) -> str:
        """The command it is about, where it is about one."""
        return self.member.split("|")[2]

    @property
    def due(self) -> int:
        """When it was due, in ms."""
        return int(float(self.score))


Work = Callable[[Sequence[Date]], Awaitable[list[tuple[Date, int]]]]
"""What is done for dates of one kind; it answers with those to be put off, and for how many ms."""


class State(NamedTuple):
    """What a date is about: its run, and its activity where it is about one."""

    route: Route
    running: bool
    worker: str
    task: str
    parent: Mapping[str, Any] | None
    record: Record | None
    options: Mapping[str, Any]
    last_failure: bytes | None
    first: Event | None = None

    def proof(self, date: Date) -> Proof:
        """What must be unchanged when the date is acted on."""
        state = self.record.proof if self.record else ""
        return Proof(state=state, member=date.member, score=date.score)


class Step(NamedTuple):
    """A transition a date asks for; ``done`` is called when it was made."""

    date: Date
    route: Route
    make: Callable[[Route], Call]
    done: Callable[[], None]


def dates(set_key: str, pairs: Sequence[bytes]) -> list[Date]:
    """The dates of a ``due`` answer: member, score, member, score … in the order they fell due.

    The server orders those of one moment by their text, 10 before 9: a run's timers fire in the
    order it started them.
    """
    found = [
        Date(set_key, bytes(member).decode(), bytes(score).decode())
        for member, score in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    return sorted(found, key=_order)


def _order(date: Date) -> tuple[float, str, int]:
    seq = date.member.rpartition("|")[2]
    return float(date.score), date.kind, int(seq) if seq.isdecimal() else 0


async def read_states(
    store: Store, p: Partition, found: Sequence[Date]
) -> list[State | Exception | None]:
    """The state of each date, read in one round trip; None where the run is gone.

    Where a state cannot be understood the reason stands in its place.
    """
    commands: list[tuple[str, ...]] = [
        ("HMGET", p.owner(d.run_id), "wid", "queue", "sticky", "status", "worker", "task", "parent")
        for d in found
    ]
    about = [d for d in found if d.kind in OF_ACTIVITY]
    commands += [
        ("HMGET", p.waits(d.run_id), f"a:{d.seq}", f"o:{d.seq}", f"f:{d.seq}") for d in about
    ]
    # what follows a run that is out of time stands in its first event
    ending = [d for d in found if d.kind == "x"]
    commands += [("XRANGE", p.hist(d.run_id), "1-0", "1-0") for d in ending]
    answers = await store.ask(*commands) if commands else []
    more = dict(zip([*about, *ending], answers[len(found) :], strict=True))
    return [_understood(p, d, run, more.get(d)) for d, run in zip(found, answers, strict=False)]


def _understood(p: Partition, date: Date, run: Any, more: Any) -> State | Exception | None:
    for answer in (run, more):
        if isinstance(answer, Exception):  # something else is in its place
            return answer
    if run[0] is None:
        return None
    try:
        return _state(p, date, run, more)
    except (LookupError, TypeError, ValueError) as error:
        return error


def _state(p: Partition, date: Date, run: Any, more: Any) -> State:
    texts = (bytes(f or b"").decode() for f in run)
    workflow_id, queue, sticky, status, worker, task, parent = texts
    first = None
    if date.kind == "x":
        first, more = _first_event(more), None
    record, options, failure = more or (None, None, None)
    return State(
        route=Route(p, workflow_id, date.run_id, queue, sticky),
        running=status == "running",
        worker=worker,
        task=task,
        parent=orjson.loads(parent) if parent else None,
        record=parse_record(record) if record else None,
        options=orjson.loads(options) if options else {},
        last_failure=failure,
        first=first,
    )


def _first_event(entries: Any) -> Event | None:
    if not entries:
        return None
    _, fields = entries[0]
    return Event(1, int(fields[1]), bytes(fields[3]).decode(), bytes(fields[5]))


async def take_steps(store: Store, steps: Sequence[Step]) -> list[tuple[Date, int]]:
    """Make transitions together; return dates nobody could act on, with ms to put them off."""
    left: list[tuple[Date, int]] = []
    for _ in range(MOVES):
        answers = await run_apart(store, [step.make(step.route) for step in steps])
        again = []
        for step, answer in zip(steps, answers, strict=True):
            if isinstance(answer, LuaflowError):
                text, route = "%s of %s: %s", step.route
                log.error(
                    text, step.date.member, route.workflow_id, answer, extra=run_fields(route)
                )
                left.append((step.date, BROKEN_MS))
                continue
            match bytes(answer[0]):
                case b"ok":
                    step.done()
                case b"moved":
                    run, queue, sticky = (bytes(f or b"").decode() for f in answer[1:4])
                    route = step.route._replace(run_id=run, queue=queue, sticky=sticky)
                    again.append(step._replace(route=route))
                case b"gone" | b"closed":
                    pass  # the script removed the date
                case _:
                    left.append((step.date, SOON_MS))
        if not again:
            return left
        steps = again
    return left + [(step.date, SOON_MS) for step in steps]


async def run_apart(store: Store, calls: Sequence[Call]) -> list[list[Any] | LuaflowError]:
    """Run transitions together; where one makes its script fail, that error is its answer."""
    return await store.apart(*calls)


async def together_or_alone(work: Work, due: Sequence[Date]) -> list[tuple[Date, int]]:
    """Do what dates ask for together; where something of one is damaged, one after the other.

    Return those nobody could act on, with ms to put them off. Raises Unavailable and Unknown.
    """
    try:
        return await work(due)
    except (Unavailable, Unknown):
        raise
    except LuaflowError as error:
        if len(due) == 1:
            member = due[0].member
            text, extra = "the date %s cannot be handled: %s", run_fields(member.rpartition("|")[2])
            log.error(text, member, error, extra=extra)  # noqa: TRY400 - no news in where
            return [(due[0], BROKEN_MS)]
    return [one for date in due for one in await together_or_alone(work, [date])]


async def put_off(store: Store, p: Partition, left: Sequence[tuple[Date, int]]) -> None:
    """Look again later at dates nobody could act on; those of closed runs go."""
    await run_apart(
        store,
        [
            transitions.put_off(
                partition=p, set_key=d.set_key, member=d.member, score=d.score, delay=ms
            )
            for d, ms in left
        ],
    )
