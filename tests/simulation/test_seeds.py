"""Seeds of the simulation hold every invariant, and are the same wherever they are played."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools import figures

from tests.simulation.seeds import Sum, play, report, timed, version
from tests.simulation.wire import Server
from tests.simulation.world import World

ROOT = Path(__file__).parents[2]
CHUNK = 25
LIGHT = range(0, 300, CHUNK)
HEAVY = range(1000, 3000, 200)
DIGESTS = """
import sys
from tests.simulation.seeds import play, server_of_our_own
from pathlib import Path
with server_of_our_own(Path(sys.argv[1]) if sys.argv[1] else None) as server:
    for seed, digest in play(range(6), server).digests.items():
        print(seed, digest)
"""


pytestmark = [
    # what a killed actor left half done ends with it
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def _hold(seeds: range, server: Server) -> Sum:
    total = play(seeds, server)
    assert not total.failed, "\n\n".join(map(report, total.failed))
    return total


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", LIGHT)
def test_seeds_hold(first: int, server: Server) -> None:
    """Whatever is lost, repeated, late, killed or frozen: every invariant holds, every run ends."""
    total = _hold(range(first, first + CHUNK), server)
    assert total.faults["reply lost"] >= CHUNK
    assert total.events["WorkflowExecutionCompleted"] >= CHUNK


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", HEAVY)
def test_more_seeds_hold(first: int, server: Server, server_binary: Path | None) -> None:
    """2,000 other seeds; of each 200 every fault and every feature happened often enough."""
    spent, seeds = timed(), range(first, first + 200)
    total = _hold(seeds, server)
    assert not total.missing()
    repeat = f"make sim SEEDS={seeds[0]}-{seeds[-1]}"
    figures.record(
        "simulation", total.counts(), repeat=repeat, server=version(server_binary), seconds=spent()
    )


@pytest.mark.heavy
@pytest.mark.timeout(120)
def test_a_seed_is_the_same_in_every_process(server_binary: Path | None) -> None:
    """Calls, faults and histories are the same to the byte, whatever sets and hashes are."""
    found = []
    for salt in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": salt}
        found.append(
            subprocess.check_output(
                [sys.executable, "-c", DIGESTS, str(server_binary or "")],
                cwd=ROOT,
                env=environment,
                text=True,
            )
        )
    assert found[0] == found[1]
    assert len(set(found[0].split())) == 3 * 6


def test_a_failing_seed_says_how_to_see_it_again(server: Server) -> None:
    outcome = World(3, server).run()
    outcome.problems.append("something")
    assert "python -m tests.simulation --seed 3 -v" in report(outcome)
    assert "something" in report(outcome)


def test_what_happens_is_told(server: Server) -> None:
    """Every call, fault and end of an actor: a line each, with its time and its actor."""
    lines: list[str] = []
    outcome = World(3, server, lines.append).run()
    assert not outcome.problems
    assert sum("fault: " in line for line in lines) >= sum(outcome.faults.values()) // 2
    assert any("take_workflow" in line and "worker" in line for line in lines)
    # listening changes nothing
    assert World(3, server).run().digest == outcome.digest
