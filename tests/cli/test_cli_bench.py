"""luaflow bench: it measures, says so to people and programs, and leaves nothing behind."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from tests.support.commands import Commands

from luaflow_cli import bench
from luaflow_cli.load import histogram, percentile

ALL = ("start", "order", "timer", "job")
FEW = ("--runs", "10", "--at-once", "5")

pytestmark = pytest.mark.one_server("looks at all keys of it")


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    with Redis.from_url(redis_url) as client:
        yield client


def left_behind(server: Any) -> list[bytes]:
    """What of namespaces of measurements is there: their keys, and their names."""
    names = [name for name in server.hkeys("lf:namespaces") if name.startswith(b"bench-")]
    return [*names, *server.keys("lf:*bench-*")]


def test_it_measures_in_a_namespace_of_its_own_which_goes(luaflow: Commands, server: Any) -> None:
    """Also where a variable names another one; each scenario has its rate, times and histogram."""
    words = [word for name in ALL for word in ("--scenario", name)]
    found = luaflow("bench", *FEW, *words, "--partitions", "4", "--json")
    assert found.code == 0, found.err
    assert found.json["namespace"].startswith("bench-")
    assert found.json["partitions"] == 4
    assert list(found.json["scenarios"]) == list(ALL)
    for one in found.json["scenarios"].values():
        assert (one["done"], one["failed"]) == (10, 0)
        assert one["per_second"] > 0
        assert one["ms"]["p50"] <= one["ms"]["p90"] <= one["ms"]["p99"] <= one["ms"]["max"]
        assert sum(count for _, count in one["histogram"]) == 10
    assert found.json["scenarios"]["start"]["ended_per_second"] > 0
    assert left_behind(server) == []
    assert luaflow("workflow", "count").out.strip() == "0"


def test_people_read_words(luaflow: Commands) -> None:
    """What it ran on, a line for each scenario, percentiles and bars; for a time, not a number."""
    found = luaflow("bench", "--seconds", "0.5", "--at-once", "2", "--scenario", "order")
    assert found.code == 0, found.err
    assert "durability  fast" in found.out
    assert "per s" in found.out
    assert "each: p50" in found.out
    assert "###" in found.out


def test_a_namespace_with_other_work_is_refused(luaflow: Commands) -> None:
    """Nothing is deployed there; who says so may."""

    assert luaflow("workflow", "start", "-t", "app:pay", "-w", "w-1").code == 0
    words = ("bench", *FEW, "--scenario", "job", "--namespace", luaflow.namespace)
    found = luaflow(*words)
    assert found.code == 5
    assert "has other work in it (1 workflow)" in found.err
    assert "bench:order" not in luaflow("workflow", "start", "-t", "nope").err
    found = luaflow(*words, "--among-others")
    assert found.code == 0, found.err
    assert f"its runs stay in '{luaflow.namespace}'" in found.out


def test_without_workers_it_says_how_to_start_one(
    luaflow: Commands, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for somebody to do it, and gives up."""
    monkeypatch.setattr(bench, "WORKER_SECONDS", 0.5)
    found = luaflow("bench", *FEW, "--workers", "0")
    assert found.code == 5
    assert "\n  luaflow-worker --redis" in found.err
    assert "--workers 1" in found.err
    assert left_behind(server) == []


def test_workers_of_others_are_used_and_waited_for(luaflow: Commands, server: Any) -> None:
    """The command that it says works; the namespace goes after they have gone."""
    words = ["bench", *FEW, "--scenario", "job", "--workers", "0", "--redis", luaflow.url]
    with subprocess.Popen(
        [sys.executable, "-m", "luaflow_cli.main", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        command = next(line for line in process.stderr if "luaflow-worker" in line)
        arguments = shlex.split(command)[1:]
        with subprocess.Popen(
            [sys.executable, "-m", "luaflow_worker.cli", *arguments], stdout=subprocess.DEVNULL
        ) as worker:
            assert any("stop the workers" in line for line in process.stderr)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
        assert process.wait(30) == 0
    assert left_behind(server) == []


def test_what_a_killed_measurement_left_is_cleaned(luaflow: Commands, server: Any) -> None:
    """Namespaces that are named so and have no worker; nothing else."""
    for name in ("bench-0123abcd", "bench-89abcdef", "bench-mine"):
        assert luaflow("namespace", "create", name, "--partitions", "2").code == 0
    server.zadd("lf:{bench-89abcdef}:workers", {"w1": 1})
    server.set("lf:{bench-89abcdef}:worker:w1", "lives")
    try:
        found = luaflow("bench", "--clean")
        assert "bench-0123abcd: removed" in found.out
        assert "bench-89abcdef: a worker is at work there" in found.out
        assert "bench-mine" not in found.out
        server.delete("lf:{bench-89abcdef}:worker:w1")
        assert luaflow("bench", "--clean", "-o", "json").json == {"removed": ["bench-89abcdef"]}
    finally:
        for key in server.keys("lf:*bench-mine*"):
            server.delete(key)
        server.hdel("lf:namespaces", "bench-mine")
    assert left_behind(server) == []


def test_stopped_in_the_middle_it_cleans_up(luaflow: Commands, server: Any) -> None:
    """SIGTERM is an end like any other; somebody who looks sees a bar meanwhile."""
    ours, theirs = pty.openpty()
    words = ["bench", "--seconds", "60", "--scenario", "order", "--redis", luaflow.url]
    with subprocess.Popen(
        [sys.executable, "-m", "luaflow_cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as process:
        os.close(theirs)
        said = ""
        while "order" not in said:
            said += os.read(ours, 10_000).decode()
        assert left_behind(server)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    os.close(ours)
    assert left_behind(server) == []


def test_without_a_server_it_says_so(luaflow: Commands) -> None:
    """Exit code 3, as everywhere."""
    found = luaflow("bench", "--redis", "redis://127.0.0.1:1")
    assert (found.code, "cannot reach Redis" in found.err) == (3, True), found


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        ([0.0], [(0.0625, 1)]),
        ([3.0, 3.9, 4.0], [(4.0, 2), (8.0, 1)]),
        ([1.0, 20.0], [(2.0, 1), (4.0, 0), (8.0, 0), (16.0, 0), (32.0, 1)]),
    ],
)
def test_a_histogram_has_every_value_once(
    values: list[float], bounds: list[tuple[float, int]]
) -> None:
    """It begins with the least."""
    assert histogram(values) == bounds


def test_a_percentile_is_one_of_the_values() -> None:
    """The greatest at the end."""
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]
