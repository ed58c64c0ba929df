"""The boards of what lies below workflows and activities: queues, processes, Redis."""

from __future__ import annotations

from typing import Any

from tools.board import Row, board, heatmap, lines, number, quantile, quantiles, rate

Q = '{queue=~"$queue"}'
WAIT = "luaflow_workflow_task_schedule_to_start_seconds"


def queues_and_workers() -> Any:
    """Who waits for whom."""
    rows = [_queues(), _workers(), _processes(), _http()]
    text = "What waits in which queue, who works on it, how the processes are, how HTTP is served."
    return board("luaflow-queues", "luaflow queues and workers", text, ("queue",), rows)


def _queues() -> Row:
    by = "by (queue, kind)"
    legend = "{{queue}} {{kind}}"
    panels = [
        lines(
            "Backlog by queue",
            "short",
            "Tasks that no worker has taken yet.",
            (f"max {by} (luaflow_queue_backlog_tasks{Q})", legend),
        ),
        lines(
            "Oldest task",
            "s",
            "How long the oldest of them has waited.",
            (f"max {by} (luaflow_queue_oldest_task_seconds{Q})", legend),
        ),
        lines(
            "In flight",
            "short",
            "Tasks that workers work on now.",
            (f"sum {by} (luaflow_queue_in_flight_tasks{Q})", legend),
        ),
        lines(
            "Served by",
            "short",
            "Worker processes that read the queue.",
            (f"sum {by} (luaflow_worker_serves{Q})", legend),
        ),
        lines(
            "Activities: schedule to start",
            "s",
            "How long tasks waited for a free slot.",
            *quantiles("luaflow_activity_schedule_to_start_seconds", "queue", Q),
        ),
        lines(
            "Workflows: schedule to start",
            "s",
            "The same for workflow tasks; (sticky): in the stream of one worker.",
            *quantiles(WAIT, "queue"),
        ),
    ]
    return Row("Queues", panels)


def _workers() -> Row:
    panels = [
        lines(
            "Slots used",
            "percentunit",
            "Of the tasks that a worker takes at the same time.",
            ("luaflow_worker_slots_used / luaflow_worker_slots", "{{kind}} {{instance}}"),
        ),
        lines(
            "Free slots",
            "short",
            "Of all workers.",
            ("sum by (kind) (luaflow_worker_slots - luaflow_worker_slots_used)", "{{kind}}"),
        ),
        lines(
            "Workers",
            "short",
            "Processes that take tasks, and those that drain.",
            ("count(luaflow_worker_draining == 0)", "working"),
            ("sum(luaflow_worker_draining)", "draining"),
        ),
        lines(
            "Lost",
            "ops",
            "Workers that went silent, and tasks that were queued again.",
            (rate("luaflow_workers_removed_total"), "workers"),
            (rate("luaflow_tasks_requeued_total"), "tasks"),
        ),
    ]
    return Row("Workers", panels, 6)


def _processes() -> Row:
    panels = [
        lines(
            "Event loop",
            "s",
            "How late it came back, p99: above 0.1 a process has too much to do.",
            (quantile(0.99, "luaflow_event_loop_late_seconds", "instance"), "{{instance}}"),
        ),
        lines(
            "CPU",
            "short",
            "Cores used.",
            (rate("process_cpu_seconds_total", "job, instance"), "{{job}} {{instance}}"),
        ),
        lines(
            "Memory",
            "bytes",
            "Resident.",
            ("sum by (job, instance) (process_resident_memory_bytes)", "{{job}} {{instance}}"),
        ),
        lines(
            "Age",
            "s",
            "Since the process started.",
            (
                "time() - max by (job, instance) (process_start_time_seconds)",
                "{{job}} {{instance}}",
            ),
        ),
        lines(
            "Garbage collections",
            "ops",
            "Of Python, by generation.",
            (rate("python_gc_collections_total", "generation"), "{{generation}}"),
        ),
        lines(
            "Connected",
            "short",
            "Processes with a connection to the server.",
            ("sum by (job) (luaflow_redis_connected)", "{{job}}"),
        ),
    ]
    return Row("Processes", panels)


def _http() -> Row:
    panels = [
        lines(
            "Requests",
            "ops",
            "That luaflow serve answered; only routers with the middleware metrics count them.",
            (rate("luaflow_http_requests_total", "code"), "{{code}}"),
        ),
        lines(
            "Request time",
            "s",
            "Of the same requests: from the head to the end of the response.",
            *quantiles("luaflow_http_request_seconds", "route"),
        ),
        lines(
            "Requests in flight",
            "short",
            "Those to the app's services that a process is answering now.",
            ("sum by (instance) (luaflow_http_requests_in_flight)", "{{instance}}"),
        ),
    ]
    return Row("HTTP", panels)


def timers_and_scheduler() -> Any:
    """Is everything done when it is due?"""
    timers = [
        lines(
            "Timers fired",
            "ops",
            "Timers of workflows.",
            (rate("luaflow_scheduler_timers_fired_total"), "fired"),
        ),
        lines(
            "Timer lateness",
            "s",
            "Between the moment a timer was due and its event.",
            *quantiles("luaflow_timer_lateness_seconds"),
        ),
        heatmap(
            "Lateness of timers", "s", "How late how many were.", "luaflow_timer_lateness_seconds"
        ),
        lines(
            "Overdue",
            "s",
            "How long the date has been due that is due for longest.",
            ("max by (set) (luaflow_scheduler_overdue_seconds)", "{{set}}"),
        ),
        lines(
            "Due now",
            "short",
            "At the last look, a slice a partition at most.",
            ("sum by (set) (luaflow_scheduler_due)", "{{set}}"),
        ),
        lines(
            "Dates",
            "short",
            "To come and due: timers, leases of work, ends of retention.",
            ("max by (set) (luaflow_scheduler_dates)", "{{set}}"),
        ),
        lines(
            "Schedules",
            "ops",
            "Workflows they started, and times missed: later than the catch-up window.",
            (rate("luaflow_schedule_actions_total"), "started"),
            (rate("luaflow_schedule_missed_total"), "missed"),
        ),
        number("Schedules there are", "short", "Paused ones, too.", "max(luaflow_schedules)"),
    ]
    recovery = [
        lines(
            "Recovered work",
            "ops",
            "Leases that ended, tasks queued again, workers lost.",
            (rate("luaflow_leases_expired_total", "kind"), "lease {{kind}}"),
            (rate("luaflow_tasks_requeued_total"), "requeued"),
            (rate("luaflow_workers_removed_total"), "workers lost"),
        ),
        lines(
            "Outbox",
            "short",
            "Messages on their way between partitions.",
            ("max(luaflow_outbox_messages)", "waiting"),
        ),
        lines(
            "Outbox stands still",
            "s",
            "How long an outbox has had the same first message.",
            ("max(luaflow_outbox_stuck_seconds)", "longest"),
        ),
        lines(
            "Relayed messages",
            "ops",
            "Brought to another partition.",
            (rate("luaflow_outbox_relayed_total"), "relayed"),
        ),
        lines(
            "Closed runs",
            "ops",
            "Packed, removed after their retention; failures to archive.",
            (rate("luaflow_runs_packed_total"), "packed"),
            (rate("luaflow_runs_removed_total"), "removed"),
            (rate("luaflow_archive_failures_total"), "not archived"),
        ),
        lines(
            "Leading scheduler",
            "short",
            "The one that exports what is read from the server; others work as well.",
            ("max by (instance) (luaflow_scheduler_leader)", "{{instance}}"),
        ),
    ]
    rows = [Row("Timers and schedules", timers), Row("Recovery and housekeeping", recovery)]
    text = "Whether timers and schedules are in time, and what schedulers recover."
    return board("luaflow-scheduler", "luaflow timers and scheduler", text, (), rows)


def redis() -> Any:
    """The server as luaflow sees it."""
    used, most = "luaflow_redis_memory_used_bytes", "luaflow_redis_memory_max_bytes"
    scripts, seconds = (
        rate("luaflow_redis_scripts_total"),
        rate("luaflow_redis_script_seconds_total"),
    )
    numbers = [
        number(
            "Memory used",
            "percentunit",
            "Of what the server may use; without a limit there is none.",
            f"max({used} / ({most} > 0))",
            0.7,
        ),
        number(
            "Pressure",
            "short",
            "0: there is room; 1: histories are packed; 2: runs archived; 3: starts refused.",
            "max(luaflow_memory_pressure_stage)",
            1,
        ),
        number(
            "Evicted keys",
            "short",
            "In the range shown. Each one is lost data.",
            "max(increase(luaflow_redis_evicted_keys_total[$__range]))",
            1,
        ),
        number(
            "Log written",
            "short",
            "1 if the last write of the AOF went well.",
            "min(luaflow_redis_aof_last_write_ok)",
            1,
            below=True,
        ),
        number(
            "Snapshot written",
            "short",
            "1 if the last RDB snapshot went well.",
            "min(luaflow_redis_rdb_last_save_ok)",
            1,
            below=True,
        ),
        number(
            "Unfit",
            "short",
            "Findings for which processes are not ready; /readyz has words.",
            'sum(max by (check) (luaflow_server_findings{level="refuse"}))',
            1,
        ),
    ]
    memory = [
        lines(
            "Memory",
            "bytes",
            "Used, taken of the machine, and the limit.",
            (f"max({used})", "used"),
            ("max(luaflow_redis_memory_rss_bytes)", "resident"),
            (f"max({most})", "limit"),
        ),
        lines(
            "Memory of the namespace",
            "bytes",
            "Estimated from samples.",
            ("max by (kind) (luaflow_namespace_bytes)", "{{kind}}"),
        ),
        lines(
            "Findings",
            "short",
            "What is wrong with the server: refuse (not ready) or warn. Processes log the words.",
            ("sum by (level) (max by (check, level) (luaflow_server_findings))", "{{level}}"),
        ),
    ]
    work = [
        lines(
            "CPU",
            "short",
            "Cores used: beyond 0.8 one server is full.",
            ("max(rate(luaflow_redis_cpu_seconds_total[$__rate_interval]))", "cores"),
        ),
        lines(
            "Commands and scripts",
            "ops",
            "What the server ran, also for others.",
            ("max(rate(luaflow_redis_commands_total[$__rate_interval]))", "commands"),
            (scripts, "scripts"),
        ),
        lines("Time in scripts", "percentunit", "Nothing else runs meanwhile.", (seconds, "share")),
        lines(
            "Mean script",
            "s",
            "Time of one script on the server.",
            (f"{seconds} / ({scripts} > 0)", "mean"),
        ),
        lines(
            "Round trip",
            "s",
            "As processes see it, their event loops included.",
            *quantiles("luaflow_redis_round_trip_seconds"),
        ),
        lines(
            "Connections",
            "short",
            "All, and those that wait in a blocking read.",
            ("max(luaflow_redis_clients)", "all"),
            ("max(luaflow_redis_blocked_clients)", "blocked"),
        ),
        lines(
            "Slow disk and refusals",
            "ops",
            "Writes that waited for an fsync; connections refused for maxclients.",
            (
                "max(rate(luaflow_redis_aof_delayed_fsyncs_total[$__rate_interval]))",
                "delayed fsyncs",
            ),
            ("max(rate(luaflow_redis_rejected_connections_total[$__rate_interval]))", "rejected"),
        ),
        lines(
            "Replicas", "short", "That are connected.", ("max(luaflow_redis_replicas)", "replicas")
        ),
        lines(
            "Replica lag",
            "bytes",
            "What the replica furthest behind has not had.",
            ("max(luaflow_redis_replica_lag_bytes)", "lag"),
        ),
    ]
    rows = [Row("Now", numbers, 4), Row("Memory", memory), Row("Work", work)]
    return board("luaflow-redis", "luaflow Redis", "The server as luaflow sees it.", (), rows)
