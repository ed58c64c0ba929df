"""What workflows take, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from tests.unit.test_worker_metrics import value

from luaflow_worker.durations import STICKY, Durations
from luaflow_worker.tallies import NAMES, OTHER


def test_closed_workflow_is_measured() -> None:
    """From its start to its close, by type; and how many bytes it had."""
    registry = CollectorRegistry()
    durations = Durations(registry)
    durations.closed("app:order", 2_000, 7.5)
    assert value(registry, "workflow_seconds_bucket", workflow="app:order", le="10.0") == 1
    assert value(registry, "workflow_seconds_bucket", workflow="app:order", le="1.0") == 0
    assert value(registry, "workflow_seconds_sum", workflow="app:order") == 7.5
    assert value(registry, "history_bytes_bucket", le="1000.0") == 0
    assert value(registry, "history_bytes_bucket", le="10000.0") == 1


def test_first_decision_is_no_replay() -> None:
    """A new workflow counts as started, one that is rebuilt as replayed."""
    registry = CollectorRegistry()
    durations = Durations(registry)
    durations.replayed("app:order", 0.001, first=True)
    durations.replayed("app:order", 0.2, first=False)
    assert value(registry, "workflow_started_total", workflow="app:order") == 1
    assert value(registry, "replay_seconds_count") == 1
    assert value(registry, "replay_seconds_sum") == 0.2


def test_wait_below_zero_counts_as_none() -> None:
    """Two clocks may differ; tasks for one worker alone have a name of their own."""
    registry = CollectorRegistry()
    durations = Durations(registry)
    durations.waited("orders", -0.01)
    durations.waited(STICKY, 0.3)
    name = "workflow_task_schedule_to_start_seconds_sum"
    assert value(registry, name, queue="orders") == 0
    assert value(registry, name, queue=STICKY) == 0.3


def test_names_are_bounded() -> None:
    """Generated names end up in one series."""
    registry = CollectorRegistry()
    durations = Durations(registry)
    for number in range(NAMES + 50):
        durations.closed(f"w{number}", 1, 1)
    assert value(registry, "workflow_seconds_count", workflow=OTHER) == 50
    assert value(registry, "workflow_seconds_count", workflow="w0") == 1
