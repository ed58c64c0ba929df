"""Metrics that were released are promises: boards and alerts of users ask for them."""

from __future__ import annotations

from tools.metrics import exported

RELEASED = """
luaflow_activities_parked_total
luaflow_activity_attempts_total activity outcome
luaflow_activity_schedule_to_start_seconds queue
luaflow_activity_seconds activity
luaflow_activity_timeouts_total type
luaflow_archive_failures_total
luaflow_build_info version lua
luaflow_commits_total kind outcome
luaflow_history_events
luaflow_http_request_seconds route
luaflow_http_requests_in_flight
luaflow_http_requests_total route code
luaflow_jobs_open
luaflow_leases_expired_total kind
luaflow_lock_waiting_runs
luaflow_memory_pressure_stage
luaflow_namespace_bytes kind
luaflow_outbox_messages
luaflow_outbox_relayed_total
luaflow_question_seconds kind
luaflow_queue_backlog_tasks queue kind
luaflow_redis_aof_last_write_ok
luaflow_redis_evicted_keys_total
luaflow_redis_memory_max_bytes
luaflow_redis_memory_used_bytes
luaflow_replayed_events_total
luaflow_replays_total
luaflow_runs_packed_total
luaflow_runs_removed_total
luaflow_schedule_actions_total
luaflow_schedule_missed_total
luaflow_scheduler_due set
luaflow_scheduler_leader
luaflow_scheduler_timers_fired_total
luaflow_schedules
luaflow_server_findings check level
luaflow_sticky_cache_evictions_total
luaflow_sticky_cache_hits_total
luaflow_sticky_cache_runs
luaflow_tasks_requeued_total
luaflow_timer_lateness_seconds
luaflow_worker_slots kind
luaflow_worker_slots_used kind
luaflow_workers_removed_total
luaflow_workflow_closed_total workflow outcome
luaflow_workflow_task_failures_total workflow reason
luaflow_workflow_task_seconds
luaflow_workflow_timeouts_total
luaflow_workflows_running
luaflow_workflows_stuck reason
"""
"""A metric a line, then its labels. Lines are added at a release, and never changed."""


def test_released_metrics_are_there() -> None:
    """None is gone, none has other labels."""
    today = {metric.name: list(metric.labels) for metric in exported()}
    released = [line.split() for line in RELEASED.split("\n") if line]
    assert [line for line in released if today.get(line[0]) != line[1:]] == []
