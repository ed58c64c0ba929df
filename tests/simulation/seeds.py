"""Playing many seeds, and summing up what happened in them."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from luaflow.embedded import EmbeddedServer, find_server
from tests.simulation.faults import WIRE, WORLD
from tests.simulation.wire import Server
from tests.simulation.world import Outcome, World

REPEAT = "python -m tests.simulation --seed {} -v"
EVENTS = (
    "ActivityTaskCompleted",
    "ActivityTaskFailed",
    "ActivityTaskTimedOut",
    "ActivityTaskCanceled",
    "TimerFired",
    "TimerCanceled",
    "MarkerRecorded",
    "WorkflowExecutionSignaled",
    "WorkflowExecutionCancelRequested",
    "WorkflowExecutionUpdateAdmitted",
    "WorkflowExecutionUpdateCompleted",
    "ExternalWorkflowExecutionSignaled",
    "SignalExternalWorkflowExecutionFailed",
    "ChildWorkflowExecutionStarted",
    "ChildWorkflowExecutionCompleted",
    "StartChildWorkflowExecutionInitiated",
    "LockGranted",
    "ConcurrencySlotGranted",
    "UpsertWorkflowSearchAttributes",
    "WorkflowExecutionCompleted",
    "WorkflowExecutionFailed",
    "WorkflowExecutionCanceled",
    "WorkflowExecutionTerminated",
    "WorkflowExecutionTimedOut",
    "WorkflowExecutionContinuedAsNew",
)
"""What must have happened in a batch of seeds: else it says nothing about it."""
COMMITS = ("commit", "continue_as_new")


@dataclass
class Sum:
    """What a batch of seeds came to."""

    seeds: int = 0
    failed: list[Outcome] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    lost_replies: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    virtual_seconds: float = 0.0
    digests: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count a seed in."""
        self.seeds += 1
        if outcome.problems:
            self.failed.append(outcome)
        self.faults += outcome.faults
        self.calls += outcome.calls
        self.lost_replies += outcome.lost_replies
        self.told += outcome.told
        self.events += outcome.events
        self.virtual_seconds += outcome.seconds
        self.digests[outcome.seed] = f"{outcome.digest} {outcome.histories}"

    def missing(self) -> list[str]:
        """What happened too rarely for the batch to mean anything."""
        least = max(1, self.seeds // 100)
        found = [f"{kind} ({self.faults[kind]} times)" for kind in (*WIRE, *WORLD)]
        found = [
            text
            for text, kind in zip(found, (*WIRE, *WORLD), strict=True)
            if self.faults[kind] < least
        ]
        found += [
            f"{e} ({self.events[e]} times)"
            for e in EVENTS
            if self.events[e] < max(1, self.seeds // 200)
        ]
        done = sum(n for what, n in self.told.items() if what.endswith(" ok"))
        unknown = sum(n for what, n in self.told.items() if what.endswith(" unknown"))
        if unknown > done / 10:
            found.append(f"{done} requests were answered, and {unknown} were not")
        return found

    def counts(self) -> dict[str, float]:
        """Figures that can be summed over batches."""
        found: dict[str, float] = {
            "seeds": self.seeds,
            "seeds_failed": len(self.failed),
            "server_calls": sum(self.calls.values()),
            "commits": sum(self.calls[name] for name in COMMITS),
            "commits_with_lost_reply": sum(self.lost_replies[name] for name in COMMITS),
            "calls_with_lost_reply": sum(self.lost_replies.values()),
            "events": sum(self.events.values()),
            "virtual_seconds": round(self.virtual_seconds),
            "clock_jumps": self.faults["clock forward"] + self.faults["clock back"],
        }
        return found | {
            f"fault_{kind.replace(' ', '_')}": n for kind, n in sorted(self.faults.items())
        }


@contextmanager
def server_of_our_own(binary: Path | None = None) -> Iterator[Server]:
    """A server that nobody else uses: it is emptied and reconfigured."""
    with (
        tempfile.TemporaryDirectory(prefix="luaflow-simulation-") as folder,
        EmbeddedServer(Path(folder), appendfsync="no", binary=binary) as real,
    ):
        server = Server(real.url)
        try:
            yield server
        finally:
            server.close()


def play(
    seeds: Iterable[int], server: Server, told: Callable[[Outcome], None] = lambda _: None
) -> Sum:
    """Play seeds one after the other; ``told`` hears of each."""
    total = Sum()
    for seed in seeds:
        outcome = World(seed, server).run()
        told(outcome)
        total.add(outcome)
    return total


def report(outcome: Outcome) -> str:
    """What is wrong with a seed, and how to see it again."""
    lines = [f"seed {outcome.seed} fails; again: {REPEAT.format(outcome.seed)}", *outcome.problems]
    return "\n  ".join(lines)


def version(binary: Path | None = None) -> str:
    """The kind and version of the server."""
    text = subprocess.check_output([str(binary or find_server()), "--version"], text=True)
    return " ".join(text.split()[:3])


def timed() -> Callable[[], float]:
    """CPU seconds from now on."""
    began = time.process_time()
    return lambda: time.process_time() - began
