"""metrics: what an app counts, bounded, in names of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.modules.support_modules import in_function, no_world, write_function

from luaflow_worker.modules.app_metrics import LABELS, METRICS, SERIES, AppMetrics
from luaflow_worker.node import Node

MODULES = ("metrics",)


def exposed(metrics: AppMetrics) -> str:
    """What Prometheus is shown."""
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


async def test_what_prometheus_sees(tmp_path: Path) -> None:
    """Counters, gauges and histograms, under the prefix of apps."""
    body = """metrics.counter_inc("orders", { kind = "new" }) metrics.counter_add("orders", 2, {
        kind = "new" })
    metrics.counter_inc("plain") metrics.gauge_set("depth", 1.5) metrics.gauge_inc("depth")
    metrics.gauge_dec("open", { pool = 1 }) metrics.histogram("seconds", 0.2, { ok = true })
    return metrics.counter_inc("plain")"""
    app = write_function(tmp_path, body, MODULES)
    node = Node(app, no_world)
    outcome = await node.run("app:f", [])
    await node.close()
    assert outcome.result == b"true"
    shown = exposed(node.host.modules.metrics)
    for line in (
        'luaflow_app_orders_total{kind="new"} 3.0',
        "luaflow_app_plain_total 2.0",
        "luaflow_app_depth 2.5",
        'luaflow_app_open{pool="1"} -1.0',
        'luaflow_app_seconds_count{ok="true"} 1.0',
    ):
        assert line in shown


async def test_refusals(tmp_path: Path) -> None:
    """What Prometheus cannot hold is Invalid, and says why."""
    body = """local function why(f, ...) local v, e = f(...) return v == nil and e:kind() .. " "
        .. e:message() end
    metrics.counter_inc("c", { a = "1" })
    return { why(metrics.counter_inc, ""), why(metrics.counter_inc, "a b"),
        why(metrics.counter_add, "n"),
        why(metrics.counter_add, "d", -1), why(metrics.gauge_set, "c", 1),
            why(metrics.counter_inc, "c"),
        why(metrics.counter_inc, "l", 5), why(metrics.counter_inc, "l", { ["a-b"] = 1 }),
        why(metrics.gauge_set, "g", 0 / 0), why(metrics.counter_inc, "l", { __x = 1 }) }"""
    found = await in_function(tmp_path, body, modules=MODULES)
    assert all(text.startswith("Invalid metrics") for text in found), found
    assert "never goes down" in found[3]
    assert "is a counter already" in found[4]
    assert "has the labels a already" in found[5]


def test_labels_and_names_are_bounded() -> None:
    """A label from data cannot fill the memory of Prometheus."""
    metrics = AppMetrics()
    for i in range(SERIES + 50):
        metrics.report("counter", "c", 1, {"id": str(i)})
    shown = exposed(metrics)
    assert shown.count("luaflow_app_c_total{") == SERIES + 1
    assert 'luaflow_app_c_total{id="other"} 50.0' in shown
    with pytest.raises(ValueError, match=f"the limit is {LABELS}"):
        metrics.report("counter", "w", 1, {f"l{i}": "x" for i in range(LABELS + 1)})
    for i in range(METRICS - 1):
        metrics.report("counter", f"m{i}", 1, {})
    with pytest.raises(ValueError, match=f"there are {METRICS} metrics already"):
        metrics.report("counter", "more", 1, {})
