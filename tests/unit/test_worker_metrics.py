"""What a worker counts, read back as Prometheus would read it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from luaflow_worker.metrics import NAMES, OTHER, WorkerMetrics


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of this test only."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> WorkerMetrics:
    """The metrics of one worker."""
    return WorkerMetrics(registry)


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(registry: CollectorRegistry) -> Samples:
    """Every sample of the text format: name and labels -> value."""
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return scrape(registry).get((f"luaflow_{name}", frozenset(labels.items())))


def test_workflow_side(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    """Each helper moves its metric, under the name and labels that dashboards ask for."""
    metrics.closed("app:order", "completed", events=12)
    metrics.task_done(0.004)
    metrics.task_failed("app:order", "nondeterminism")
    metrics.commit("fused", ok=True)
    metrics.commit("plain", ok=False)
    metrics.replay(events=40)
    metrics.sticky_hit()
    metrics.evicted(3)
    metrics.sticky_runs(lambda: 7)
    assert value(registry, "workflow_closed_total", workflow="app:order", outcome="completed") == 1
    assert value(registry, "history_events_bucket", le="10.0") == 0
    assert value(registry, "history_events_bucket", le="50.0") == 1
    assert value(registry, "workflow_task_seconds_sum") == 0.004
    failed = {"workflow": "app:order", "reason": "nondeterminism"}
    assert value(registry, "workflow_task_failures_total", **failed) == 1
    assert value(registry, "commits_total", kind="fused", outcome="ok") == 1
    assert value(registry, "commits_total", kind="plain", outcome="refused") == 1
    assert value(registry, "replays_total") == 1
    assert value(registry, "replayed_events_total") == 40
    assert value(registry, "sticky_cache_hits_total") == 1
    assert value(registry, "sticky_cache_evictions_total") == 3
    assert value(registry, "sticky_cache_runs") == 7


def test_activity_side(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    """Attempts, their time and their wait, and the slots."""
    metrics.attempt("app:charge", "retried", 0.5)
    metrics.attempt("app:charge", "completed", 20)
    metrics.waited("orders", -0.01)
    metrics.slots("activity", 100)
    metrics.slots_used("activity", lambda: 4)
    attempts = {"activity": "app:charge", "outcome": "retried"}
    assert value(registry, "activity_attempts_total", **attempts) == 1
    assert value(registry, "activity_seconds_bucket", activity="app:charge", le="10.0") == 1
    assert value(registry, "activity_seconds_bucket", activity="app:charge", le="30.0") == 2
    assert value(registry, "activity_schedule_to_start_seconds_sum", queue="orders") == 0
    assert value(registry, "worker_slots", kind="activity") == 100
    assert value(registry, "worker_slots_used", kind="activity") == 4


def test_what_has_few_labels_is_there_before_it_happens(registry: CollectorRegistry) -> None:
    """rate() misses the first increment of a series that begins with it."""
    WorkerMetrics(registry, lua="lua55")
    for kind in ("plain", "fused"):
        for outcome in ("ok", "refused"):
            assert value(registry, "commits_total", kind=kind, outcome=outcome) == 0
    assert value(registry, "worker_slots_used", kind="workflow") == 0
    assert value(registry, "workflow_task_seconds_count") == 0
    (build,) = [dict(labels) for name, labels in scrape(registry) if name == "luaflow_build_info"]
    assert build["lua"] == "lua55"
    assert build["version"]


def test_no_series_says_when_it_was_created(
    registry: CollectorRegistry, metrics: WorkerMetrics
) -> None:
    """The _created series of the library would double what Prometheus has to keep."""
    metrics.attempt("app:charge", "completed", 1)
    assert not [name for name, _ in scrape(registry) if name.endswith("_created")]


def test_names_are_bounded(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    """Generated names of workflows end up in one series; those known before keep theirs."""
    for number in range(NAMES + 50):
        metrics.closed(f"w{number}", "completed", 1)
    metrics.closed("w0", "failed", 1)
    names = {
        dict(labels)["workflow"]
        for name, labels in scrape(registry)
        if name == "luaflow_workflow_closed_total"
    }
    assert len(names) == NAMES + 1
    assert value(registry, "workflow_closed_total", workflow=OTHER, outcome="completed") == 50
    assert value(registry, "workflow_closed_total", workflow="w0", outcome="failed") == 1


def test_two_workers_need_two_registries(
    registry: CollectorRegistry, metrics: WorkerMetrics
) -> None:
    """Sharing a registry would add up what belongs to two workers; it is refused."""
    with pytest.raises(ValueError, match="Duplicated"):
        WorkerMetrics(registry)
