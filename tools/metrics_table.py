"""The page of metrics in docs/reference, from what the processes export."""

from __future__ import annotations

from collections.abc import Iterable

from tools.metrics import Metric

INTRO = """
Counters are `_total`, times are seconds, no label holds a workflow id or the text of an error. A
metric tells at most 200 workflow types, activities or queues apart; further ones count under the
name `other`. Names and labels are promises: there will be more of them, and none is renamed.

`from`: the worker, the scheduler, or `luaflow serve`. What a scheduler reads from the server
(backlog, workflows, `luaflow_redis_…` and so on) is exported by the one scheduler for which
`luaflow_scheduler_leader` is 1; ask for its `max`, as two may believe so for a moment. Of a
server that cannot write its log, every scheduler tells.

Beside these, each process exports `process_…` (processor time, memory, files, start time) and
`python_gc_…` of the Python client library of Prometheus.
"""


def lines(metrics: Iterable[Metric]) -> list[str]:
    """The page; a metric that two processes export is one row."""
    processes: dict[str, list[str]] = {}
    rows: dict[str, Metric] = {}
    for metric in metrics:
        if metric.name.startswith("luaflow_"):
            processes.setdefault(metric.name, []).append(metric.process)
            rows.setdefault(metric.name, metric)
    found = [INTRO, "| metric | type | labels | from | meaning |", "|---|---|---|---|---|"]
    for name, metric in sorted(rows.items()):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        where = ", ".join(processes[name])
        found.append(f"| `{name}` | {metric.type} | {labels} | {where} | {metric.help} |")
    found += ["", "## Buckets", "", "Upper bounds of the histograms; each has one more, `+Inf`."]
    found += ["", "| histogram | buckets |", "|---|---|"]
    for name, metric in sorted(rows.items()):
        if metric.buckets:
            bounds = " ".join(f"{bound:.15g}" for bound in metric.buckets)
            found.append(f"| `{name}` | {bounds} |")
    return found
