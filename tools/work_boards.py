"""The boards of what users wrote: workflows and activities."""

from __future__ import annotations

from typing import Any

from tools.board import Row, board, heatmap, lines, quantile, quantiles, rate, table

W = '{workflow=~"$workflow"}'
Q = '{queue=~"$queue"}'
A = '{activity=~"$activity"}'


def workflows() -> Any:
    """What workflows do, and what deciding them costs."""
    started, closed = "luaflow_workflow_started_total" + W, "luaflow_workflow_closed_total" + W
    failed = 'luaflow_workflow_closed_total{workflow=~"$workflow", outcome="failed"}'
    hits = rate("luaflow_sticky_cache_hits_total")
    ends = [
        lines(
            "Started by workflow",
            "ops",
            "First decisions.",
            (rate(started, "workflow"), "{{workflow}}"),
        ),
        lines(
            "Closed by workflow",
            "ops",
            "By workers, whatever the outcome.",
            (rate(closed, "workflow"), "{{workflow}}"),
        ),
        lines(
            "Closed by outcome",
            "ops",
            "Timed out: closed by the scheduler, of all types.",
            (rate(closed, "outcome"), "{{outcome}}"),
            (rate("luaflow_workflow_timeouts_total"), "timed_out"),
        ),
        lines(
            "Failed share by workflow",
            "percentunit",
            "Of the workflows that closed; none while none failed.",
            (f"{rate(failed, 'workflow')} / {rate(closed, 'workflow')}", "{{workflow}}"),
        ),
        lines(
            "Time by workflow p95",
            "s",
            "From the start until the close.",
            (quantile(0.95, "luaflow_workflow_seconds", "workflow", W), "{{workflow}}"),
        ),
        heatmap(
            "Time of workflows",
            "s",
            "From the start until the close, all types.",
            "luaflow_workflow_seconds",
        ),
        lines(
            "On the server by status",
            "short",
            "Closed ones are kept until their retention ends.",
            ("max by (status) (luaflow_workflows)", "{{status}}"),
        ),
        lines(
            "Stuck by reason",
            "short",
            "As of the last sweep over the open workflows.",
            ("max by (reason) (luaflow_workflows_stuck)", "{{reason}}"),
        ),
        lines(
            "Waiting for a lock",
            "short",
            "Runs in line for a lock, or for a slot of a limit.",
            ("max(luaflow_lock_waiting_runs)", "runs"),
        ),
    ]
    decisions = [
        lines(
            "Decision time",
            "s",
            "From taking a task until its commit was answered.",
            *quantiles("luaflow_workflow_task_seconds"),
        ),
        lines(
            "Failed decisions",
            "ops",
            "They are tried again; the workflow goes on.",
            (
                rate("luaflow_workflow_task_failures_total" + W, "workflow, reason"),
                "{{workflow}} {{reason}}",
            ),
        ),
        lines(
            "Commits",
            "ops",
            "Fused ones also end an activity; refused ones wrote nothing.",
            (rate("luaflow_commits_total", "kind, outcome"), "{{kind}} {{outcome}}"),
        ),
        lines(
            "Sticky cache hits",
            "percentunit",
            "Tasks whose workflow was in memory.",
            (f"{hits} / ({hits} + {rate('luaflow_replays_total')})", "hits"),
        ),
        lines(
            "Replays",
            "ops",
            "Rebuilt workflows (new ones, too), their events, and what left the cache.",
            (rate("luaflow_replays_total"), "replays"),
            (rate("luaflow_replayed_events_total"), "events"),
            (rate("luaflow_sticky_cache_evictions_total"), "evictions"),
        ),
        lines(
            "Replay time",
            "s",
            "To rebuild a workflow that had decided before.",
            *quantiles("luaflow_replay_seconds"),
        ),
        lines(
            "Workflows in sticky caches",
            "short",
            "By worker.",
            ("sum by (instance) (luaflow_sticky_cache_runs)", "{{instance}}"),
        ),
        lines(
            "Questions",
            "s",
            "Time to answer a query, or to validate an update, p95.",
            (quantile(0.95, "luaflow_question_seconds", "kind"), "{{kind}}"),
        ),
        lines(
            "Events at the close",
            "short",
            "Length of histories.",
            *quantiles("luaflow_history_events"),
        ),
        lines(
            "Bytes at the close", "bytes", "Size of histories.", *quantiles("luaflow_history_bytes")
        ),
        lines(
            "Longest open history",
            "short",
            "Events, as of the last sweep: each replay reads them all.",
            ("max(luaflow_history_longest_events)", "events"),
        ),
        lines(
            "Largest open history",
            "bytes",
            "As of the last sweep.",
            ("max(luaflow_history_longest_bytes)", "bytes"),
        ),
    ]
    rows = [Row("Workflows", ends), Row("Decisions and histories", decisions)]
    text = "What workflows do, how long they take, and what deciding them costs."
    return board("luaflow-workflows", "luaflow workflows", text, ("workflow",), rows)


def activities() -> Any:
    """What activities do, and which of them fail."""
    attempts = "luaflow_activity_attempts_total" + A
    bad = 'luaflow_activity_attempts_total{activity=~"$activity", outcome=~"failed|retried"}'
    panels = [
        lines(
            "Attempts by outcome",
            "ops",
            "retried: it failed, and another attempt follows.",
            (rate(attempts, "outcome"), "{{outcome}}"),
        ),
        lines(
            "Attempts by activity",
            "ops",
            "Whatever their outcome.",
            (rate(attempts, "activity"), "{{activity}}"),
        ),
        lines(
            "Failed share by activity",
            "percentunit",
            "Of the attempts that ended.",
            (f"{rate(bad, 'activity')} / {rate(attempts, 'activity')}", "{{activity}}"),
        ),
        lines(
            "Attempt time p95",
            "s",
            "Of one attempt, by activity.",
            (quantile(0.95, "luaflow_activity_seconds", "activity", A), "{{activity}}"),
        ),
        lines(
            "Attempt time",
            "s",
            "Of one attempt, all activities chosen.",
            *quantiles("luaflow_activity_seconds", matching=A),
        ),
        heatmap(
            "Attempt times", "s", "Of one attempt, all activities.", "luaflow_activity_seconds"
        ),
        lines(
            "Schedule to start",
            "s",
            "How long tasks waited in their queue for a free slot.",
            *quantiles("luaflow_activity_schedule_to_start_seconds", "queue", Q),
        ),
        lines(
            "Backlog",
            "short",
            "Tasks of activities that no worker has taken yet.",
            (
                'max by (queue) (luaflow_queue_backlog_tasks{queue=~"$queue", kind="activity"})',
                "{{queue}}",
            ),
        ),
        lines(
            "Running",
            "short",
            "Attempts that workers work on now.",
            (
                'sum by (queue) (luaflow_queue_in_flight_tasks{queue=~"$queue", kind="activity"})',
                "{{queue}}",
            ),
        ),
        lines(
            "Oldest attempt",
            "s",
            "How long the attempt has run that has run for longest, by worker.",
            ("max by (instance) (luaflow_activity_oldest_seconds)", "{{instance}}"),
        ),
        lines(
            "Time-outs",
            "ops",
            "By the limit that was exceeded.",
            (rate("luaflow_activity_timeouts_total", "type"), "{{type}}"),
        ),
        lines(
            "Ended from outside",
            "ops",
            "Attempts whose time was up or whose worker was lost, and activities parked for that.",
            (rate('luaflow_leases_expired_total{kind="attempt"}'), "ended"),
            (rate("luaflow_activities_parked_total"), "parked"),
        ),
        lines(
            "Plain jobs",
            "short",
            "Activities started by themselves that have not ended.",
            ("max(luaflow_jobs_open)", "open"),
        ),
        table(
            "Failing activities",
            "short",
            "Attempts that failed in the range shown, the ten with most of them.",
            f"topk(10, sum by (activity) (increase({bad}[$__range])) > 0)",
        ),
    ]
    text = "What activities do, how long they wait and take, and which of them fail."
    return board(
        "luaflow-activities",
        "luaflow activities",
        text,
        ("queue", "activity"),
        [Row("Activities", panels)],
    )
