"""The typed door to the scripts of plain jobs: activities that no workflow asked for.

Taking, keeping, retrying and finishing one is done by the scripts of activities
(``luaflow.store.attempts``): a job is told of there as the run ``j:<job id>``, its only activity
has the number 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from luaflow.store.keys import JOB, Partition
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load

MAX_JOBS = 500
"""Jobs that one script call may start."""
SEQ = "1"
"""The number of a job's activity."""


class NewJob(NamedTuple):
    """A job to start; ``run_id`` is its starter's choice: a repeat is known by it."""

    job_id: str
    run_id: str
    activity: str
    body: bytes


class How(NamedTuple):
    """What jobs that are started together share; times in ms, 0: none."""

    queue: str
    options: bytes
    start_to_close: int
    heartbeat: int
    schedule_to_start: int
    schedule_to_close: int
    start_delay: int
    keep: int


def run_of(job_id: str) -> str:
    """Return what scripts of activities call the run of a job."""
    return JOB + job_id


def start_jobs(*, partition: Partition, how: How, jobs: Sequence[NewJob]) -> Call:
    """Start jobs of one partition and queue, at most ``MAX_JOBS``."""
    p = partition
    keys = [p.meta, p.jobs, p.leases, p.timers, p.activity_queue(how.queue)]
    keys += [p.job(job.job_id) for job in jobs]
    args: list[Arg] = [*how]
    for job in jobs:
        args += job
    return Call(load("start_jobs"), keys, args)


def cancel_job(*, partition: Partition, job_id: str) -> Call:
    """Ask a job to stop."""
    p = partition
    return Call(load("cancel_job"), [p.meta, p.job(job_id), p.leases], [run_of(job_id), SEQ])
