"""The checker finds each violation that is planted in a history or a log, and names its kind."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from luaflow.domain.events import Event
from tests.chaos.checker import Checker, Evidence, Verdict
from tests.chaos.log import Outcome, Request
from tests.chaos.world import Kill, Window
from tests.support.effects import Effect
from tests.support.histories import History

RUN = "r1"
FULL = 30
"""Runs of a scene: enough requests for them to mean something."""


@dataclass
class Scene:
    """A run that is whole: its events, what its client was told, what its activity left behind."""

    events: list[tuple[int, str, dict[str, Any]]] = field(
        default_factory=lambda: [
            (1000, "WorkflowExecutionStarted", {"type": "app:job"}),
            (1001, "WorkflowExecutionSignaled", {"name": "item", "input": [1]}),
            (1002, "WorkflowExecutionSignaled", {"name": "item", "input": [2]}),
            (1003, "WorkflowTaskCompleted", {"seen": 3, "worker": "w1"}),
            (1003, "ActivityTaskScheduled", {"seq": 1, "activity": "app:work"}),
            (1003, "TimerStarted", {"seq": 2, "ms": 50}),
            (1004, "WorkflowExecutionUpdateAdmitted", {"name": "add", "update_id": "add"}),
            (1010, "ActivityTaskCompleted", {"seq": 1, "attempt": 2}),
            (1060, "TimerFired", {"seq": 2}),
            (1061, "WorkflowTaskCompleted", {"seen": 9, "worker": "w2"}),
            (1061, "WorkflowExecutionUpdateAccepted", {"seq": 3, "update_id": "add"}),
            (1061, "WorkflowExecutionUpdateCompleted", {"seq": 4, "update_id": "add"}),
            (1061, "WorkflowExecutionCompleted", {"result": {"numbers": [1, 2]}}),
        ]
    )
    effects: list[Effect] = field(
        default_factory=lambda: [
            Effect("work", "job-1", RUN, 1, 1, "key", 11, 1.003),
            Effect("work", "job-1", RUN, 1, 2, "key", 12, 1.008),
        ]
    )
    requests: list[Request] = field(
        default_factory=lambda: [
            asked("start"),
            asked("signal", 1),
            asked("signal", 2),
            asked("update", 1),
            asked("result", {"numbers": [1, 2]}),
        ]
    )
    windows: list[Window] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    replay: str | None = None

    def at(self, type_: str, index: int = 0) -> int:
        """Where the nth event of a type stands."""
        return [i for i, (_, t, _) in enumerate(self.events) if t == type_][index]

    def shift(self, type_: str, ms: int) -> None:
        """Let this event, and all after it, come later."""
        i = self.at(type_)
        self.events[i:] = [(ts + ms, t, body) for ts, t, body in self.events[i:]]

    def unanswered_twice(self) -> None:
        """Let the second signal come twice, and its client never hear of it."""
        self.events.insert(3, self.events[2])
        self.requests[2] = asked("signal", 2, "unknown")

    def verdict(self, *, calm: bool = True) -> Verdict:
        """Judge it; with ``calm`` among many requests that were answered well."""
        events = [
            Event(i, ts, type_, orjson.dumps(body))
            for i, (ts, type_, body) in enumerate(self.events, 1)
        ]
        more = [asked("signal", 1, workflow=f"other-{n}", begin=50.0) for n in range(FULL * calm)]
        checker = Checker(Evidence([*self.requests, *more], self.effects, self.windows, self.kills))
        checker.add(History("job-1", RUN, events), self.replay)
        return checker.finish()


def asked(
    verb: str,
    value: object = None,
    outcome: Outcome = "ok",
    *,
    workflow: str = "job-1",
    begin: float = 1.0,
) -> Request:
    """A request as the log has it."""
    return Request(workflow, verb, value, outcome, begin, begin + 0.01)


def test_a_whole_run_is_well() -> None:
    """Nothing is found where nothing is wrong, and all of it is counted."""
    verdict = Scene().verdict()
    assert (verdict.problems, verdict.invalid, verdict.exit_code) == ([], [], 0)
    counts = verdict.counts
    assert (counts["runs"], counts["commits"], counts["attempts"]) == (1, 2, 2)


def test_what_nobody_knows_may_be_there_or_not() -> None:
    """A signal without an answer that came is no violation, and none that did not come."""
    for number in (2, 3):
        scene = Scene()
        scene.requests[2] = asked("signal", number, "unknown")
        scene.requests += [asked("signal", 2)] if number == 3 else []
        assert scene.verdict().problems == []


Plant = Callable[[Scene], object]
PLANTS: dict[str, tuple[str, Plant]] = {
    "an acknowledged start has no run": (
        "lost",
        lambda s: s.requests.append(asked("start", workflow="job-2")),
    ),
    "an acknowledged signal is gone": ("lost", lambda s: s.requests.append(asked("signal", 3))),
    "an answered update is gone": (
        "lost",
        lambda s: s.events.pop(s.at("WorkflowExecutionUpdateCompleted")),
    ),
    "a run never ended": ("lost", lambda s: s.events.pop()),
    "a run ended otherwise": (
        "lost",
        lambda s: s.events.append((1062, "WorkflowExecutionFailed", s.events.pop()[2])),
    ),
    "an activity ran for no run": (
        "lost",
        lambda s: s.effects.append(Effect("work", "job-9", "r9", 1, 1, "key", 1)),
    ),
    "a request got a strange answer": (
        "lost",
        lambda s: s.requests.append(asked("signal", 9, "failed")),
    ),
    "a signal came twice": (
        "doubled",
        lambda s: s.events.insert(3, s.events[2]),
    ),
    "a signal without an answer came twice": (
        "doubled",
        lambda s: s.unanswered_twice(),
    ),
    "a refused signal came": (
        "doubled",
        lambda s: s.requests.append(asked("signal", 2, "refused")),
    ),
    "an attempt ran twice": ("doubled", lambda s: s.effects.append(s.effects[1])),
    "an attempt ran that no history knows": (
        "doubled",
        lambda s: s.effects.append(s.effects[1]._replace(attempt=3)),
    ),
    "an update was answered twice": (
        "doubled",
        lambda s: s.events.insert(12, s.events[11]),
    ),
    "the idempotency key changed": (
        "corrupt",
        lambda s: s.effects.append(s.effects.pop()._replace(key="other")),
    ),
    "signals were swapped": (
        "corrupt",
        lambda s: s.events.insert(1, s.events.pop(2)),
    ),
    "signals were taken in another order": (
        "corrupt",
        lambda s: s.events[-1][2].update(result={"numbers": [2, 1]}),
    ),
    "the client was told something else": (
        "corrupt",
        lambda s: s.requests.append(asked("result", "else")),
    ),
    "it ended twice": (
        "corrupt",
        lambda s: s.events.append((1062, "WorkflowExecutionCompleted", s.events[-1][2])),
    ),
    "something came after its end": (
        "corrupt",
        lambda s: s.events.append((1062, "ActivityTaskCompleted", {"seq": 9, "attempt": 1})),
    ),
    "an activity has two outcomes": (
        "corrupt",
        lambda s: s.events.insert(8, s.events[7]),
    ),
    "an activity completed that never ran": (
        "corrupt",
        lambda s: s.effects.clear(),
    ),
    "time went back": ("corrupt", lambda s: s.shift("WorkflowExecutionUpdateAccepted", -10)),
    "a decision saw less than the one before": (
        "corrupt",
        lambda s: s.events[s.at("WorkflowTaskCompleted", 1)][2].update(seen=2),
    ),
    "a timer fired twice": ("corrupt", lambda s: s.events.insert(9, s.events[8])),
    "a replay differed": ("corrupt", lambda s: setattr(s, "replay", "its replay differs")),
    "a timer fired early": ("early", lambda s: s.shift("TimerFired", -20)),
}


@pytest.mark.parametrize(("kind", "plant"), PLANTS.values(), ids=PLANTS.keys())
def test_violation_is_found(kind: str, plant: Plant) -> None:
    """Each is found, counted under its kind, and makes the exit code 1."""
    scene = Scene()
    plant(scene)
    verdict = scene.verdict()
    assert kind in {problem.kind for problem in verdict.problems}, verdict.problems
    assert verdict.counts[{"early": "early_timers"}.get(kind, kind)] > 0
    assert verdict.exit_code == 1


def test_two_runs_of_one_start_are_found() -> None:
    """A start that was carried out twice has two histories."""
    checker = Checker(Evidence(Scene().requests, []))
    for run in ("r1", "r2"):
        events = [Event(1, 1000, "WorkflowExecutionStarted", b"{}")]
        checker.add(History("job-1", run, events))
    assert any("it has 2 runs" in p.text for p in checker.finish().problems)


def test_late_timers_and_slow_takeovers_are_measured() -> None:
    """From a kill to the next decision; without the time in which nobody could have fired."""
    scene = Scene()
    scene.shift("TimerFired", 3000)
    scene.kills = [Kill(1.0035, "worker", (11,), ("w1",))]
    verdict = scene.verdict()
    assert verdict.counts["late_timers"] == 1
    assert verdict.notes["timer_late_max_s"] == pytest.approx(3.007)
    # the decision after the kill came for the news at 1.004 s; the second attempt at 1.008 s
    assert verdict.notes["takeover_max_s"] == pytest.approx(3.057)
    scene.windows = [Window(1.05, 3.5, "schedulers")]
    assert scene.verdict().counts["late_timers"] == 0


def test_a_run_in_which_little_happened_is_invalid() -> None:
    """Too few requests, or too few that were answered well, say nothing: neither 0 nor 1."""
    assert Scene().verdict(calm=False).exit_code == 2
    scene = Scene()
    scene.requests += [asked("start", workflow=f"no-{n}", outcome="refused") for n in range(FULL)]
    assert scene.verdict().exit_code == 2
    scene.windows = [Window(0.5, 2.0, "server")]
    assert scene.verdict().exit_code == 0, "what was asked while the server was away is no sign"


def test_many_runs_are_judged_fast() -> None:
    """Windows and kills are looked up, not gone through: campaigns have thousands of each."""
    scene = Scene()
    scene.windows = [Window(n, n + 0.5, "server") for n in range(100, 5000)]
    scene.kills = [Kill(n, "worker", (1,), ("w",)) for n in range(100, 50_000, 10)]
    scene.requests += [asked("signal", 1, workflow="x", begin=60.0 + n) for n in range(20_000)]
    began = time.process_time()
    scene.verdict()
    assert time.process_time() - began < 2
