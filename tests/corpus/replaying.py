"""Replays a history and notes what its code asked for, decision by decision.

It runs in the tree that is tested and, copied there, in the old tree that a recording is made of,
so it uses only what both have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NoReturn

import orjson

from luaflow.domain.events import Event
from luaflow.lua.vm import Engine, Run
from luaflow.registry.bundle import Bundle
from luaflow.replay.decider import Decision, Execution
from luaflow.replay.loading import pid_of, run_info
from luaflow.replay.recorded import Turn


class LoudRun(Run):
    """A run that is replayed and all the same writes down what its commands carry."""

    __slots__ = ()

    @property
    def replaying(self) -> bool:
        """Whether to keep quiet: never."""
        return False

    @replaying.setter
    def replaying(self, value: bool) -> None:
        """Hear that a replay begins or ends."""


class Watched(Execution):
    """A replay that notes a digest of each decision; see ``digest_of``."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, _no_value)
        self.asked: list[str] = []

    def _compare(self, turn: Turn) -> None:
        super()._compare(turn)
        self.asked.append(digest_of(self._decision))


def replayed(
    namespace: str, run_id: str, events: Sequence[Event], bundle: Bundle, engine: Engine
) -> list[str]:
    """Replay a history; what each of its decisions asked for. Raises NonDeterminism."""
    started = events[0].body
    info = run_info(namespace, started["workflow_id"], run_id, started, bundle, pid_of(started))
    run = engine.open(info)
    run.__class__ = LoudRun
    execution = Watched(run)
    try:
        execution.replay(events)
    finally:
        run.close()
    return execution.asked


def digest_of(decision: Decision) -> str:
    """The commands (operation, number, name, data) and the end of a decision, as a short hash.

    Options of a call are not in it: a release may add one. Of a failure it holds kind and message.
    """
    parts: list[Any] = [decision.status]
    parts += [[c.op, c.seq, _text(c.name), _text(c.data)] for c in decision.commands]
    parts.append(_text(decision.result))
    if decision.failure:
        failure = orjson.loads(decision.failure)
        parts.append([failure.get("kind"), failure.get("message")])
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:12]


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="backslashreplace")


def _no_value(name: str, *_given: object) -> NoReturn:
    raise AssertionError(f"a replay made a value of its own: {name}")
