"""The tool that makes the figures of fail-overs works, and finds what is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import orjson
import pytest
from tests.support.histories import History
from tests.topologies.figures import Trial
from tests.topologies.journeys import LATE_MS, Journeys, early_or_late

from luaflow.domain.events import Event


def history(*signals: int, ended: bool = True) -> History:
    """A whole history of a journey, with these items."""
    names = ["WorkflowExecutionStarted", *("WorkflowExecutionSignaled" for _ in signals)]
    bodies = [{}, *({"name": "item", "input": [n]} for n in signals)]
    if ended:
        names, bodies = [*names, "WorkflowExecutionCompleted"], [*bodies, {}]
    told = zip(names, bodies, strict=True)
    events = [Event(i, i, name, orjson.dumps(body)) for i, (name, body) in enumerate(told, 1)]
    return History("journey", "run", events)


def journeys(*acknowledged: int) -> Journeys:
    """A client that was told so."""
    one = Journeys(None, "x")  # type: ignore[arg-type]
    one.started.append("journey")
    one.acknowledged["journey"] += acknowledged
    one.results["journey"] = {"numbers": list(acknowledged)}
    return one


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([history(0, 1)], ""),
        ([history(0)], "acknowledged signal 1 is lost"),
        ([], "acknowledged start is lost"),
        ([history(1, 0)], "acknowledged signals [0, 1]"),
    ],
)
def test_what_was_promised_and_is_missing_is_a_problem(found: list[History], says: str) -> None:
    """Under a level that promises nothing it is counted."""
    one = journeys(0, 1)
    problems = one.verdict(found, [], promised=True)
    assert bool(problems) == bool(says)
    assert not says or any(says in problem for problem in problems)
    assert not journeys(0, 1).verdict(found, [], promised=False)


@pytest.mark.parametrize(
    ("fired", "faults", "says"),
    [
        (1500, [], ""),
        (1499, [], "1 ms early"),
        (1500 + LATE_MS, [], ""),
        (1501 + LATE_MS, [], "late"),
        (7000 + LATE_MS, [(1000, 7000)], ""),
        (7001 + LATE_MS, [(1000, 7000)], "late"),
        (7000, [(4000, 7000)], "late"),
    ],
)
def test_a_timer_is_never_early_and_a_fault_alone_excuses_a_late_one(
    fired: int, faults: list[tuple[int, int]], says: str
) -> None:
    """It was due while servers were away."""
    started = Event(1, 1000, "TimerStarted", b'{"seq": 1, "ms": 500}')
    events = [started, Event(2, fired, "TimerFired", b'{"seq": 1}')]
    problems = early_or_late([History("journey", "run", events)], faults)
    assert bool(problems) == bool(says)
    assert not says or says in problems[0]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("topology", "fault"), [("sentinel", "partition"), ("cluster", "kill"), ("cluster", "slots")]
)
async def test_a_round(tmp_path: Path, topology: str, fault: str) -> None:
    """What was acknowledged under ``replicated`` is there after it, and everything ends."""
    counts = Counter[str]()
    trial = Trial(topology, "replicated", tmp_path, counts)
    await trial.run([fault], 0)
    assert trial.problems == []
    assert (counts["rounds"], counts["lost_signals"], counts["lost_starts"]) == (1, 0, 0)
    assert counts["signals"]
