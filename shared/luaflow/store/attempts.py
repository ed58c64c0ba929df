"""The typed door to the scripts of activities: taking, finishing, retrying, keeping an attempt."""

from __future__ import annotations

from typing import NamedTuple

from luaflow.store.keys import Partition
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load
from luaflow.store.transitions import Route


class Proof(NamedTuple):
    """Who ends an attempt: its worker by ``token``, or a scheduler naming what it read."""

    token: str = ""
    state: str = ""
    member: str = ""
    score: str = ""


class Record(NamedTuple):
    """The record of a pending activity, as ``includes/activity.lua`` writes it (times in ms)."""

    state: str
    attempt: int
    token: str
    worker: str
    started: int
    event: int
    scheduled: int
    start_to_close: int
    heartbeat: int
    beat: int

    @property
    def deferred(self) -> bool:
        """Whether no worker holds the attempt: somebody outside has its token."""
        return self.state in ("r", "c") and self.worker == "@"

    @property
    def proof(self) -> str:
        """Return what a scheduler must find unchanged: state and attempt."""
        return f"{self.state}/{self.attempt}"


def parse_record(text: bytes) -> Record:
    """Return the record of a pending activity."""
    state, attempt, token, worker, *numbers = text.decode().split("|")
    return Record(state, int(attempt), token, worker, *map(int, numbers))


def take_activity(
    *,
    partition: Partition,
    run_id: str,
    queue: str,
    seq: str,
    attempt: int,
    worker: str,
    token: str,
    entry: str,
) -> Call:
    """Start an attempt: from here on only its token speaks for it."""
    p = partition
    keys = [
        p.meta,
        p.owner(run_id),
        p.hist(run_id),
        p.waits(run_id),
        p.leases,
        p.activity_queue(queue),
    ]
    return Call(load("take_activity"), keys, [run_id, seq, attempt, worker, token, entry])


def finish_activity(*, route: Route, seq: str, proof: Proof, type: str, body: bytes) -> Call:
    """Make the outcome of an activity an event of its run."""
    p, wid, rid, queue, sticky = route
    keys = [*p.of_run(wid, rid), p.leases, p.timers]
    keys += [p.workflow_queue(queue), p.sticky(sticky)]
    return Call(load("finish_activity"), keys, [rid, seq, *proof, queue, sticky, type, body])


def retry_activity(
    *,
    partition: Partition,
    run_id: str,
    seq: str,
    proof: Proof,
    delay: int,
    failure: bytes,
    details: bytes = b"",
    parked: bool = False,
) -> Call:
    """Let a failed attempt be followed by another one after ``delay`` ms of namespace time.

    ``details`` are those of its last heartbeat (JSON), which may not have been told yet; ``parked``
    notes at its run that its workers died under it (``domain.poison``).
    """
    p = partition
    keys = [p.meta, p.owner(run_id), p.waits(run_id), p.leases, p.timers]
    args: list[Arg] = [run_id, seq, *proof, delay, failure, details, int(parked)]
    return Call(load("retry_activity"), keys, args)


def postpone_activity(
    *, partition: Partition, run_id: str, seq: str, token: str, delay: int
) -> Call:
    """Give back an attempt that must wait ``delay`` ms for its moment; it is the same one then."""
    p = partition
    keys = [p.meta, p.owner(run_id), p.waits(run_id), p.leases, p.timers]
    return Call(load("postpone_activity"), keys, [run_id, seq, token, delay])


def queue_activity(
    *,
    partition: Partition,
    run_id: str,
    queue: str,
    seq: str,
    attempt: int,
    state: str,
    schedule_to_start: int = 0,
    entry: str = "",
) -> Call:
    """Put an activity whose retry is due, or whose task was lost, into its queue.

    ``entry`` is what was found of it in the stream; it goes, whatever became of the attempt.
    """
    p = partition
    keys = [p.meta, p.owner(run_id), p.waits(run_id), p.leases, p.timers, p.activity_queue(queue)]
    args: list[Arg] = [run_id, seq, attempt, state, schedule_to_start, entry]
    return Call(load("queue_activity"), keys, args)


def defer_activity(*, partition: Partition, run_id: str, seq: str, token: str) -> Call:
    """Leave an attempt open that no worker holds any more: its token ends it, or its time."""
    p = partition
    keys = [p.meta, p.owner(run_id), p.waits(run_id), p.leases]
    return Call(load("defer_activity"), keys, [run_id, seq, token])


def renew_activity(
    *,
    partition: Partition,
    run_id: str,
    seq: str,
    token: str,
    beat: bool = False,
    details: bytes = b"",
) -> Call:
    """Keep an attempt; with ``beat`` it is a heartbeat and may carry details (JSON)."""
    p = partition
    keys = [p.meta, p.owner(run_id), p.waits(run_id), p.leases]
    return Call(load("renew_activity"), keys, [run_id, seq, token, int(beat), details])
