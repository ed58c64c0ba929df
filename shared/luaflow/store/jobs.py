"""The typed door to the scripts of plain jobs: activities that no workflow asked for.

Keeping, retrying and queueing one is done by the scripts of activities
(``luaflow.store.attempts``): a job is told of there as the run ``j:<job id>``, its only activity
has the number 1. What is done to every job has scripts for many at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from luaflow.store.attempts import Proof, finish_activity
from luaflow.store.keys import JOB, Partition
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load
from luaflow.store.transitions import Route

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


class Take(NamedTuple):
    """The task of a job as it was read, and the token under which it is taken."""

    job_id: str
    attempt: int
    token: str
    entry: str


def take_jobs(*, partition: Partition, queue: str, worker: str, tasks: Sequence[Take]) -> Call:
    """Start attempts of jobs of one queue; see ``attempts.take_activity``."""
    p = partition
    keys = [p.meta, p.leases, p.activity_queue(queue), *(p.job(t.job_id) for t in tasks)]
    args: list[Arg] = [worker]
    for task in tasks:
        args += task
    return Call(load("take_jobs"), keys, args)


class End(NamedTuple):
    """The outcome of a job: the type and body of what would be an activity's event."""

    job_id: str
    proof: Proof
    type: str
    body: bytes


def finish_jobs(*, partition: Partition, ends: Sequence[End]) -> Call:
    """Keep the outcomes of jobs for a while, and tell who waits; see ``attempts.finish_activity``.

    The answer has a verdict for each.
    """
    p = partition
    keys = [p.meta, p.jobs, p.leases, p.timers, *(p.job(end.job_id) for end in ends)]
    args: list[Arg] = []
    for job_id, proof, type_, body in ends:
        args += [job_id, *proof, type_, body]
    return Call(load("finish_jobs"), keys, args)


def end_activity(*, route: Route, seq: str, proof: Proof, type: str, body: bytes) -> Call:
    """``attempts.finish_activity``, or ``finish_jobs`` with one: whatever has the activity."""
    if not route.run_id.startswith(JOB):
        return finish_activity(route=route, seq=seq, proof=proof, type=type, body=body)
    one = End(route.run_id[len(JOB) :], proof, type, body)
    return finish_jobs(partition=route.partition, ends=[one])


def cancel_job(*, partition: Partition, job_id: str) -> Call:
    """Ask a job to stop."""
    p = partition
    return Call(load("cancel_job"), [p.meta, p.job(job_id), p.leases], [run_of(job_id), SEQ])
