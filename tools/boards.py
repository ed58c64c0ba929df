"""The dashboards: python -m tools.boards writes them to grafana/dashboards/.

Gauges that one scheduler reads from the server are asked for by max: two that believe to lead for a
moment must not double them. Gauges of workers are summed.
"""

from __future__ import annotations

import json
from typing import Any

from tools.board import Row, board, lines, number, quantile, quantiles, rate, table
from tools.check_dashboards import FOLDER
from tools.system_boards import queues_and_workers, redis, timers_and_scheduler
from tools.work_boards import activities, workflows

W = '{workflow=~"$workflow"}'
Q = '{queue=~"$queue"}'
ALERTS = 'sum by (alertname, severity, alertstate) (ALERTS{alertname=~"Luaflow.+"})'
"""Firing and pending alerts of grafana/alerts/luaflow.rules.yml."""


def boards() -> dict[str, Any]:
    """All boards by file name without suffix."""
    made = (
        overview(),
        workflows(),
        activities(),
        queues_and_workers(),
        timers_and_scheduler(),
        redis(),
    )
    return {one["uid"]: one for one in made}


def overview() -> Any:
    """Is all well? If not, which board says more?"""
    started = "luaflow_workflow_started_total" + W
    closed = "luaflow_workflow_closed_total" + W
    failed = 'luaflow_workflow_closed_total{workflow=~"$workflow", outcome="failed"}'
    share = (
        f"(sum(increase({failed}[$__range])) or vector(0))"
        f" / clamp_min(sum(increase({closed}[$__range])), 1)"
    )
    numbers = [
        number(
            "Running workflows",
            "short",
            "Workflows that are open now, also those that only sleep.",
            "max(luaflow_workflows_running)",
        ),
        number(
            "Closed per second",
            "ops",
            "Workflows that workers closed, whatever their outcome.",
            rate(closed),
        ),
        number(
            "Failed share",
            "percentunit",
            "Of the workflows that closed in the range shown.",
            share,
            0.05,
        ),
        number(
            "Backlog",
            "short",
            "Tasks that no worker has taken yet.",
            f"sum(max by (queue, kind) (luaflow_queue_backlog_tasks{Q}))",
        ),
        number(
            "Oldest task",
            "s",
            "How long the task has waited that no worker has taken for longest.",
            f"max(luaflow_queue_oldest_task_seconds{Q})",
            60,
        ),
        number(
            "Stuck workflows",
            "short",
            "Workflows whose next decision cannot be made, or whose activity is parked.",
            "sum(max by (reason) (luaflow_workflows_stuck))",
            1,
        ),
        number(
            "Timer lateness p99",
            "s",
            "Between the moment a timer was due and its event.",
            quantile(0.99, "luaflow_timer_lateness_seconds"),
            5,
        ),
        number(
            "Workers",
            "short",
            "Worker processes that take tasks.",
            "count(luaflow_worker_draining == 0)",
            1,
            below=True,
        ),
        number(
            "Schedulers",
            "short",
            "Scheduler processes; all are active.",
            "count(luaflow_scheduler_leader)",
            1,
            below=True,
        ),
        number(
            "Redis memory",
            "percentunit",
            "Of what the server may use; without a limit there is none.",
            "max(luaflow_redis_memory_used_bytes / (luaflow_redis_memory_max_bytes > 0))",
            0.7,
        ),
        number(
            "Evicted keys",
            "short",
            "In the range shown. Each one is lost data.",
            "max(increase(luaflow_redis_evicted_keys_total[$__range]))",
            1,
        ),
        number(
            "Slots used",
            "percentunit",
            "Of the tasks that all workers take at the same time.",
            "sum(luaflow_worker_slots_used) / sum(luaflow_worker_slots)",
            0.9,
        ),
    ]
    charts = [
        lines(
            "Started and closed",
            "ops",
            "Workflows per second.",
            (rate(started), "started"),
            (rate(closed, "outcome"), "{{outcome}}"),
            (rate("luaflow_workflow_timeouts_total"), "timed_out"),
        ),
        lines(
            "Backlog by queue",
            "short",
            "Tasks that no worker has taken yet.",
            (f"max by (queue, kind) (luaflow_queue_backlog_tasks{Q})", "{{queue}} {{kind}}"),
        ),
        lines(
            "Schedule to start p95",
            "s",
            "How long tasks waited in their queue for a worker.",
            (
                quantile(0.95, "luaflow_workflow_task_schedule_to_start_seconds", "queue"),
                "{{queue}} workflow",
            ),
            (
                quantile(0.95, "luaflow_activity_schedule_to_start_seconds", "queue", Q),
                "{{queue}} activity",
            ),
        ),
        lines(
            "Workflow time",
            "s",
            "From the start of a workflow until it closed.",
            *quantiles("luaflow_workflow_seconds", matching=W),
        ),
        lines(
            "Redis round trip p99",
            "s",
            "As each kind of process sees it.",
            (quantile(0.99, "luaflow_redis_round_trip_seconds", "job"), "{{job}}"),
        ),
        table(
            "Alerts",
            "short",
            "Alerts of luaflow that fire or are about to; each has a runbook.",
            ALERTS,
        ),
    ]
    rows = [Row("Now", numbers, 4), Row("In time", charts)]
    text = "Workflows, queues, timers and the server of luaflow at a glance."
    return board("luaflow-overview", "luaflow overview", text, ("queue", "workflow"), rows)


def text_of(made: Any) -> str:
    """The file of a board."""
    return json.dumps(made, indent=2) + "\n"


if __name__ == "__main__":
    for name, made in boards().items():
        (FOLDER / f"{name}.json").write_text(text_of(made))
