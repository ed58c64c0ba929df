"""The tool itself: a plan is repeated by its seed, a short run is well, what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.chaos import plan
from tests.chaos.faults import FAULTS
from tests.chaos.run import NAMESPACE, Order, remains, run
from tests.chaos.server import faketime_library


def test_a_seed_repeats_its_plan() -> None:
    """The same seed plans the same, another one something else; each fault has its own draw."""
    faults = plan.parse("worker_kills=9, server_kills,lost_replies")
    one = plan.make(1, 60, faults)
    assert one == plan.make(1, 60, faults)
    assert one != plan.make(2, 60, faults)
    kills = plan.make(1, 60, plan.parse("worker_kills=9"))
    assert kills.moments == [p for p in one.moments if p.name == "worker_kills"]
    assert (one.ambient, one.wanted["worker_kills"]) == (["lost_replies"], 9)
    assert one.needs == {"network"}


def test_a_fault_nobody_knows_is_refused() -> None:
    """The text names those that there are."""
    with pytest.raises(ValueError, match=r"there is no fault 'rain'.*worker_kills"):
        plan.parse("rain=3")
    assert plan.parse("") == plan.parse("all") == dict.fromkeys(FAULTS)


@pytest.mark.heavy
async def test_a_short_run_is_well(tmp_path: Path, server_binary: Path | None) -> None:
    """Workers, a scheduler and the server are killed, replies get lost: nothing else does."""
    order = Order(
        seconds=4,
        seed=1,
        faults=plan.parse("worker_kills=3,scheduler_kills=1,server_kills=1,lost_replies=1"),
        at_once=10,
        folder=tmp_path / "chaos",
        binary=server_binary,
    )
    verdict = (await run(order)).verdict
    assert verdict.problems == []
    assert verdict.invalid == []
    for name in ("runs", "worker_kills", "scheduler_kills", "server_kills_always", "lost_replies"):
        assert verdict.counts[name] > 0


@pytest.mark.heavy
@pytest.mark.timeout(400)
@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_all_faults_together(tmp_path: Path, server_binary: Path | None, fsync: str) -> None:
    """A minute of all of them: nothing is lost, doubled or corrupt, and all of them happened."""
    faults = plan.parse("all")
    if faketime_library() is None:
        faults = {name: n for name, n in faults.items() if "clocks" not in FAULTS[name].needs}
    order = Order(
        seconds=45,
        seed=2,
        faults=faults,
        fsync=fsync,
        at_once=40,
        folder=tmp_path / "chaos",
        binary=server_binary,
    )
    verdict = (await run(order)).verdict
    assert verdict.problems == []
    assert verdict.invalid == []


@pytest.mark.parametrize("key", ["run:r1", "hist:r1", "pend:r1", "wf:job-1", "vis"])
def test_what_is_left_after_the_retention_is_found(redis_url: str, key: str) -> None:
    """A key of a run that is still there when all runs are removed."""
    name = f"lf:{{{NAMESPACE}:3}}:{key}"
    with redis.Redis.from_url(redis_url) as server:
        server.zadd(name, {"member": 1})
        try:
            assert any(name in text for text in remains(redis_url))
        finally:
            server.delete(name)
    assert remains(redis_url) == []
