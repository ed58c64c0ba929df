"""One run as its code sees it: fed event by event, asked for commands, checked against the past.

The same ``Execution`` replays a history and makes new decisions, by the same steps, so both take
the same way: a batch (what a decision sees) is fed one activation each (the start event, messages
in order, the rest in order), then the results of local activities (design 5.2).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from luaflow.domain.events import FED, MESSAGES, STARTED, Event
from luaflow.domain.sealed import MARK, check_open
from luaflow.errors import LuaflowError
from luaflow.lua.vm import Activation, Command, Engine, Run
from luaflow.replay.outcomes import Fed, message_of, together
from luaflow.replay.recorded import Recorded, Turn, turns

_CLOSED_AS = {
    "completed": "done",
    "failed": "failed",
    "canceled": "failed",
    "continued_as_new": "continued",
}


class NonDeterminism(LuaflowError):
    """The code does not do what its history says it did."""

    def __init__(
        self, message: str, *, event_id: int, expected: str, got: str, line: str = ""
    ) -> None:
        """Keep where the two parted: the event, what it says, what the code asked for, and where.

        ``line`` (file:line) is known of a traced run: see ``explained``.
        """
        super().__init__(message)
        self.event_id = event_id
        self.line = line
        self.expected = expected
        self.got = got


@dataclass(slots=True)
class Decision:
    """What the code asks for after a batch: commands in order, and whether it came to an end.

    ``status``: wait | done | failed | continued. ``result`` and ``failure`` are JSON bytes. With
    ``more`` it is full: the code asks for more in the next decision, which follows at once.
    ``unread`` are the messages nobody has taken; None: as the last decision said. ``notes`` go into
    the state of the run (views), and leave no event: a replay knows nothing of them.
    """

    seen: int
    commands: list[Command] = field(default_factory=list)
    notes: list[Command] = field(default_factory=list)
    status: str = "wait"
    more: bool = False
    result: bytes | None = None
    failure: bytes | None = None
    unread: list[int] | None = None


Values = Callable[..., Any]
"""Makes a value that is recorded at the call (uuid, random …), when it is not in the history.

It gets the value's name and what the code gave with it."""


class Execution:
    """A run: its VM, the last event a decision saw, and what is known of its open commands."""

    def __init__(self, run: Run, make_value: Values) -> None:
        """Begin before the first event."""
        self.run = run
        self.upto = 0
        self.locals: list[Command] = []
        self._make_value = make_value
        self._size = 0
        self._now = 0
        self._length = 0
        self._unseen: list[tuple[Event, int]] = []
        self._waiting_children: set[int] = set()
        self._past: list[Recorded] | None = None
        self._decision = Decision(0)

    # -- feeding ---------------------------------------------------------------------------------

    def absorb(self, events: Sequence[Event]) -> None:
        """Take notice of events, in order; those to be fed wait for the decision that sees them."""
        size = self._size
        for event in events:
            raw = event.raw
            if raw.find(MARK) >= 0:  # (in half the time of `in`, which tries it as a number first)
                check_open(raw)
            size += len(raw)
            if event.type in FED:
                self._unseen.append((event, size))
        self._size = size

    def unseen(self) -> list[Event]:
        """The events that the next decision sees."""
        return [event for event, _ in self._unseen]

    def look(self, op: bytes, name: str, args: bytes) -> Activation:
        """Ask the code without a trace (``query``, ``validate``); throw the run away then.

        ``args`` is a JSON array. The answer is ``done`` with a result, ``failed``, or
        ``unknown`` with words for people: there is no such query.
        """
        self.run.replaying = True
        return self.run.step(op, self._now, self._length, 0, name.encode(), args)

    def count(self, size: int) -> None:
        """Count the bytes of events that this worker's own commit wrote (``history_size``)."""
        self._size += size

    @property
    def size(self) -> int:
        """The bytes of the events that are known (``history_size``)."""
        return self._size

    def replay(self, events: Sequence[Event]) -> None:
        """Go through a stretch of history; raise NonDeterminism where the code differs."""
        self.absorb(events)
        self.run.replaying = True
        try:
            for turn in turns(events):
                self._past = turn.commands
                self._begin(turn.seen)
                self._replay_locals(turn)
                self._compare(turn)
                self.upto = turn.seen
        finally:
            self._past = None
            self.run.replaying = False

    def decide(self, seen: int) -> Decision:
        """Feed what is not yet fed of the events up to ``seen`` and return what the code asks for.

        Local activities asked for stand in ``locals``: run them, give each to ``feed_local``.
        """
        self._begin(seen)
        self.upto = seen
        self._look_for_unread()
        return self._decision

    def feed_local(self, command: Command, ok: bool, value: Any, encoded: bytes) -> Decision:
        """Feed a local activity's result (``encoded``: its JSON); return the decision so far."""
        self.locals.remove(command)
        marker = Command("local_activity", command.seq, command.name, encoded, b"1" if ok else b"0")
        self._decision.commands.append(marker)
        self._step(b"resolve", command.seq, ok, value)
        self._look_for_unread()
        return self._decision

    def _look_for_unread(self) -> None:
        """Note which messages are unread, where that has changed."""
        if self._decision.status == "wait":
            ids = self.run.unread()
            if ids is not None:
                self._decision.unread = ids

    def _begin(self, seen: int) -> None:
        more, self._decision = self._decision.more, Decision(seen)
        self.run.fresh = True
        due = bisect_right(self._unseen, seen, key=lambda one: one[0].id)
        batch, self._unseen = self._unseen[:due], self._unseen[due:]
        messages = [m for m in batch if m[0].type in MESSAGES]
        if messages:
            self.run.step(b"ahead", self._now, self._length, 0, [message_of(*m) for m in messages])
        left = self._step(b"more").ahead if more else len(messages)
        for event, size in batch:
            if event.type == STARTED:
                self._clock(event)
                left = self._step(
                    b"start", event.body.get("input", []), event.body.get("context", {}), size=size
                ).ahead
        while left and self._decision.status == "wait":
            left = self._step(b"message").ahead
        ended = [one for one in batch if one[0].type not in MESSAGES and one[0].type != STARTED]
        for ends in together(ended, self._waiting_children):
            if self._decision.status != "wait":
                break
            self._feed(ends)

    def _clock(self, event: Event) -> None:
        self._now = max(self._now, event.ts)
        self._length = max(self._length, event.id)

    def _feed(self, ends: Sequence[Fed]) -> None:
        if len(ends) == 1:
            event, size, op, args = ends[0]
            self._clock(event)
            self._step(op, *args, size=size)
            return
        rows: list[Any] = []
        for event, size, _, args in ends:
            # (the run goes by the largest so far, wherever that was)
            rows += (event.ts, event.id, size)
            rows += args
        self._now = max(self._now, *rows[0::6])
        self._length = max(self._length, *rows[1::6])
        self._take_all(self.run.step(b"outcomes", 0, 0, 0, *rows))

    def _step(self, op: bytes, *args: Any, size: int = 0) -> Activation:
        """Feed one event."""
        return self._take_all(self.run.step(op, self._now, self._length, size, *args))

    def _take_all(self, out: Activation) -> Activation:
        """Take what the code asks for, and answer what it asks on the way.

        Time stands meanwhile: of events that are fed together each has its own.
        """
        while True:
            self._take(out)
            if out.status == "again":
                out = self.run.step(b"again", 0, 0, 0)
                continue
            if out.status != "service":
                return out
            assert out.service is not None
            out = self.run.step(b"reply", 0, 0, 0, *self._serve(*out.service))

    def _take(self, out: Activation) -> None:
        decision = self._decision
        for command in out.commands:
            op, seq, _, _, _ = command
            if op == "local_activity":
                self.locals.append(command)
            elif not seq:
                decision.notes.append(command)
            else:
                if op == "child" and _waits(command):
                    self._waiting_children.add(seq)
                decision.commands.append(command)
        if out.status in ("wait", "more"):
            decision.more = out.status == "more"
        if out.status in ("done", "failed", "continued"):
            decision.status = out.status
            decision.result, decision.failure = out.result, out.failure
            decision.unread = list(out.unread)

    # -- answers that the history gives, or records ----------------------------------------------

    def _serve(self, name: str, *args: Any) -> tuple[Any, ...]:
        if name == "version":
            return self._version(*args)
        if name == "marker":
            return self._marker(*args)
        if name == "side_effect_lookup":
            return self._side_effect(*args)
        raise LuaflowError(f"the code asked for {name!r}, which this worker does not know")

    def _version(self, change: bytes, lowest: int, highest: int) -> tuple[int, bool]:
        if self._past is None:
            return highest, True
        expected = self._expected()
        if (
            expected
            and expected.op == "version"
            and expected.name == change.decode(errors="replace")
        ):
            return int(expected.event.body["version"]), True
        # the history passed here before the change existed (ruling 5)
        return (max(-1, lowest)), False

    def _marker(self, name: bytes, *args: Any) -> tuple[Any, ...]:
        if self._past is None:
            return (self._make_value(name.decode(), *args),)
        return (self._recorded_value(name.decode()),)

    def _side_effect(self, _seq: int) -> tuple[Any, ...]:
        if self._past is None:
            return False, None
        return True, self._recorded_value("side_effect")

    def _recorded_value(self, name: str) -> Any:
        expected = self._expected()
        if expected is None or expected.op != "marker" or expected.name != name:
            raise self._diverged(expected, f"{name} (a recorded value)")
        return expected.event.body["value"]

    def _expected(self) -> Recorded | None:
        """Return the recorded command that the next one of this decision must be."""
        n = len(self._decision.commands)
        return self._past[n] if self._past is not None and n < len(self._past) else None

    # -- comparing -------------------------------------------------------------------------------

    def _replay_locals(self, turn: Turn) -> None:
        for past in turn.commands:
            if past.op != "local_activity":
                continue
            command = next((c for c in self.locals if c.seq == past.seq), None)
            if command is None:
                raise self._diverged(past, "no such local activity")
            body = past.event.body
            ok = "failure" not in body
            self.feed_local(command, ok, body.get("result") if ok else body["failure"], b"")

    def _compare(self, turn: Turn) -> None:
        got = self._decision.commands
        for i, past in enumerate(turn.commands):
            if i >= len(got):
                raise self._diverged(past, "nothing", turn)
            op, seq, name, _, _ = got[i]
            text = (name or b"").decode(errors="replace")
            same = op == past.op and past.seq in (0, seq)
            if not same or (past.name and text != past.name):
                raise self._diverged(past, _describe(op, seq, text), turn, seq)
        if len(got) > len(turn.commands):
            extra = got[len(turn.commands)]
            text = (extra.name or b"").decode(errors="replace")
            raise self._diverged(None, _describe(extra.op, extra.seq, text), turn, extra.seq)
        self._compare_end(turn)

    def _compare_end(self, turn: Turn) -> None:
        """The code must end where the history ends, and only there."""
        status, closing = self._decision.status, turn.closing
        expected = "wait"
        if turn.decided.body.get("continued"):
            expected = "continued"
        elif "ended" in turn.decided.body:
            expected = turn.decided.body["ended"]
        elif closing is not None and not closing.type.endswith(("Terminated", "TimedOut")):
            word = closing.type.removeprefix("WorkflowExecution").lower()
            expected = _CLOSED_AS.get(word, "continued")
            if closing.body.get("refused"):  # what the code returned was not acceptable
                expected = "done"
        if status != expected:
            raise self._diverged(
                None, f"the code is at '{status}', the history at '{expected}'", turn
            )

    def _diverged(
        self, past: Recorded | None, got: str, turn: Turn | None = None, seq: int = 0
    ) -> NonDeterminism:
        event = past.event if past else (turn.decided if turn else None)
        where = event.id if event else self._decision.seen
        expected = _describe(past.op, past.seq, past.name) if past else "nothing more"
        stack, line = self.run.stack(), self.run.line(seq)
        place = f" {'at' if seq else 'after'} {line}" if line else ""
        return NonDeterminism(
            f"event {where}: the history has {expected}, the code asked for {got}{place}. The code "
            "changed, or it is not deterministic: guard the change with workflow.version, or "
            f"deploy the code the run began with.\n{stack}",
            event_id=where,
            expected=expected,
            got=got,
            line=line,
        )


def explained(
    error: NonDeterminism, engine: Engine, info: Mapping[str, Any], events: Sequence[Event]
) -> NonDeterminism:
    """Return the same difference with the line where the code made it, by another replay."""
    run = engine.open({**info, "trace": True})
    try:
        # the code is as deterministic as to get here again, or the first error stands
        Execution(run, lambda _: None).replay(events)
    except NonDeterminism as traced:
        if traced.event_id == error.event_id:
            return traced
    except LuaflowError:
        return error
    finally:
        run.close()
    return error


def _waits(child: Command) -> bool:
    """Whether the code waits for a child's end (exec) instead of being told of it (spawn)."""
    return child.extra is None or bool(orjson.loads(child.extra).get("wait"))


def _describe(op: str, seq: int, name: str) -> str:
    return f"{op} #{seq}" + (f" ({name})" if name else "")
