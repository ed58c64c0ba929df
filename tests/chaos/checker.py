"""The verdict over a chaos run: histories, the client log and the effect log, and nothing else.

The invariants I1-I9: what was acknowledged is there, once (I1, I6); ids, ends and outcomes of a
history are whole (I2-I4); no timer is early (I5); a replay asks for the same (I7); nothing is left
over (I8); all ended (I9). A run in which too little happened is *invalid*, and not green.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from luaflow.domain.events import CLOSING, TASK_COMPLETED
from tests.chaos.log import Request, by_workflow
from tests.chaos.timing import Windows, isolated, lateness, percentile, takeovers
from tests.chaos.world import Kill, Window
from tests.support.effects import Effect
from tests.support.histories import OUTCOMES, History, effect_problems, problems_of, signal_problems

Kind = Literal["lost", "doubled", "corrupt", "early", "slow"]
LATE_SECONDS = 1.0
OK_SHARE = 0.9
FEW = 20
"""Fewer samples than this say nothing."""
_KINDS: dict[str, Kind] = {
    "fired early": "early",
    "in no history": "lost",
    "the history knows": "doubled",
    "came twice": "doubled",
    "twice:": "doubled",
}


class Problem(NamedTuple):
    """Something that must not be: of what kind, and a sentence."""

    kind: Kind
    text: str


@dataclass
class Evidence:
    """What there is beside the histories.

    ``clock_ms``: the server's clock is the machine's monotonic one plus this. ``timed``: whether
    takeovers ("takeover") and timers ("timer_late") are timed: nothing else may have held them up.
    """

    requests: Sequence[Request]
    effects: Sequence[Effect]
    windows: Sequence[Window] = ()
    kills: Sequence[Kill] = ()
    clock_ms: float = 0.0
    lease: float = 1.0
    timed: frozenset[str] = frozenset({"takeover", "timer_late"})


@dataclass
class Verdict:
    """All problems; why the run says nothing (``invalid``); what was counted and measured."""

    problems: list[Problem]
    invalid: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0: all is well, 1: something is violated, 2: too little happened to say so."""
        return 1 if self.problems else 2 if self.invalid else 0


def sort(texts: Iterator[str]) -> Iterator[Problem]:
    """The sentences of the shared checks, with their kinds."""
    for text in texts:
        known = (kind for words, kind in _KINDS.items() if words in text)
        kind: Kind = next(known, "corrupt")
        yield Problem(kind, text)


class Checker:
    """Takes one history after the other (``add``), then says the verdict (``finish``)."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._requests = by_workflow(evidence.requests)
        self._effects: dict[str, list[Effect]] = {}
        for effect in evidence.effects:
            self._effects.setdefault(effect.run_id, []).append(effect)
        self._patience = evidence.lease + 2.0
        self._kills = isolated(evidence.kills, self._patience)
        self._windows = Windows(evidence.windows)
        self._runs: Counter[str] = Counter()
        self._children: dict[str, str] = {}
        self._closed: dict[str, str] = {}
        self._takeovers: list[float] = []
        self._late: list[float] = []
        self.verdict = Verdict([])

    def add(self, history: History, replay: str | None = None) -> None:
        """Judge one history; ``replay``: where its replay differed."""
        found, counts = self.verdict.problems, self.verdict.counts
        ran = self._effects.pop(history.run_id, [])
        found += sort(problems_of(history))
        found += sort(effect_problems([history], ran))
        found += [Problem("corrupt", replay)] if replay else []
        last = history.events[-1].type if history.events else "no event"
        if last not in CLOSING:
            found.append(Problem("lost", f"{history.workflow_id}: it never ended, but by {last}"))
        elif last != "WorkflowExecutionCompleted":
            found.append(Problem("lost", f"{history.workflow_id}: it ended with {last}"))
        self._runs[history.workflow_id] += 1
        self._closed[history.workflow_id] = last
        for event in history.of("ChildWorkflowExecutionCompleted"):
            self._children[event.body["workflow_id"]] = history.workflow_id
        if history.workflow_id in self._requests:
            counts["runs"] += 1
            found += list(request_problems(history, self._requests[history.workflow_id]))
        else:
            counts["children"] += 1
        counts["commits"] += len(history.of(TASK_COMPLETED))
        counts["activities"] += len(history.of(*OUTCOMES))
        counts["attempts"] += len(ran)
        counts["timers"] += len(history.of("TimerFired"))
        clock, timed = self._evidence.clock_ms, self._evidence.timed
        if "takeover" in timed:
            self._takeovers += takeovers(history, ran, self._kills, clock, self._patience)
        if "timer_late" in timed:
            self._late += lateness(history, self._windows, clock)

    def finish(self) -> Verdict:
        """Judge what concerns all of them together."""
        found, counts = self.verdict.problems, self.verdict.counts
        found += self._missing()
        for run, effects in self._effects.items():
            text = f"run {run}: {len(effects)} attempts ran, and it is in no history"
            found.append(Problem("lost", text))
        self._time()
        kinds = Counter(problem.kind for problem in found)
        counts.update({kind: kinds[kind] for kind in ("lost", "doubled", "corrupt")})
        counts["early_timers"] = kinds["early"]
        counts["late_timers"] = sum(late > LATE_SECONDS for late in self._late)
        counts["signals"] = sum(r.verb == "signal" for r in self._evidence.requests)
        self.verdict.invalid += self._idle()
        return self.verdict

    def _missing(self) -> Iterator[Problem]:
        for name, requests in self._requests.items():
            known = any(r.verb == "start" and r.outcome == "ok" for r in requests)
            if known and not self._runs[name]:
                yield Problem("lost", f"{name}: its start was acknowledged, and there is no run")
            for request in requests:
                if request.outcome == "failed":
                    yield Problem("lost", f"{name}: {request.verb}: {request.detail}")
        for name, times in self._runs.items():
            if times > 1:
                yield Problem("doubled", f"{name}: it has {times} runs")
            if name not in self._requests and name not in self._children:
                yield Problem("doubled", f"{name}: nobody started it, or nobody heard of its end")
        for child, parent in self._children.items():
            if self._closed.get(child) != "WorkflowExecutionCompleted":
                yield Problem(
                    "corrupt", f"{parent}: its child {child} completed; it says it did not"
                )

    def _time(self) -> None:
        notes, found = self.verdict.notes, self.verdict.problems
        for name, samples, most in (
            ("takeover", self._takeovers, self._patience),
            ("timer_late", self._late, LATE_SECONDS),
        ):
            if not samples:
                continue
            notes[f"{name}_samples"] = len(samples)
            p99 = percentile(samples, 0.99)
            notes[f"{name}_p50_s"] = round(percentile(samples, 0.5), 3)
            notes[f"{name}_p99_s"] = round(p99, 3)
            notes[f"{name}_max_s"] = round(max(samples), 3)
            if len(samples) >= FEW and p99 > most:
                found.append(
                    Problem("slow", f"{name}: p99 is {p99:.2f} s, {most:.1f} s are allowed")
                )

    def _idle(self) -> Iterator[str]:
        """Why the requests say nothing: too few were answered well while nothing was wrong."""
        windows = Windows(w for w in self._evidence.windows if w.what != "schedulers")
        asked = [r for r in self._evidence.requests if r.verb != "result"]
        calm = [r for r in asked if not windows.covered(r.begin, r.end)]
        fine = sum(r.outcome == "ok" for r in calm)
        self.verdict.notes["ok_share"] = round(fine / len(calm), 4) if calm else 0.0
        if len(calm) < FEW:
            yield f"only {len(calm)} requests were made while nothing was wrong"
        elif fine < OK_SHARE * len(calm):
            yield f"only {fine} of {len(calm)} requests were answered well while nothing was wrong"


def request_problems(history: History, requests: Sequence[Request]) -> Iterator[Problem]:
    """Where a history differs from what its clients were told."""
    told: dict[str, dict[str, list[Request]]] = {}
    for request in requests:
        told.setdefault(request.verb, {}).setdefault(request.outcome, []).append(request)

    def values(verb: str, outcome: str) -> list[object]:
        return [r.value for r in told.get(verb, {}).get(outcome, [])]

    name, last = history.workflow_id, history.events[-1]
    result = last.body.get("result") if last.type == "WorkflowExecutionCompleted" else None
    numbers = result.get("numbers", []) if isinstance(result, dict) else []
    sent, unknown = values("signal", "ok"), values("signal", "unknown")
    came = Counter(e.body["input"][0] for e in history.of("WorkflowExecutionSignaled"))
    for number, times in came.items():
        if times > 1 and number not in unknown:
            yield Problem("doubled", f"{name}: signal {number} came {times} times")
        if number in values("signal", "refused"):
            yield Problem("doubled", f"{name}: signal {number} was refused, and came")
    for number in sent:
        if number not in came:
            yield Problem("lost", f"{name}: signal {number} was acknowledged, and never came")
    yield from sort(signal_problems(history, sent, unknown, numbers))
    updates = len(history.of("WorkflowExecutionUpdateCompleted"))
    if updates < len(values("update", "ok")):
        yield Problem("lost", f"{name}: its update was answered, and is not in its history")
    for answer in values("result", "ok"):
        if answer != result:
            yield Problem(
                "corrupt", f"{name}: the client was told {answer}, its history says {result}"
            )
