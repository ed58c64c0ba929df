"""Every key name of luaflow, spelled once.

A run's keys carry the hash tag ``{namespace:partition}``, so that each script touches one slot
and runs unchanged on one server, on Sentinel and on Redis Cluster (design 4).

=======================  ===========  ======================================================
key (after the prefix)   type         holds
=======================  ===========  ======================================================
``wf:<workflow id>``     hash         current run, status, queue, sticky worker; request ids
``run:<run id>``         hash         mutable state of the run (see ``scripts/includes/run.lua``)
``hist:<run id>``        stream       the events, ids ``1-0 2-0 …``
``pend:<run id>``        hash         what the run waits for, by command number
``timers``               sorted set   what users see, in namespace time
``leases``               sorted set   attempts, tasks, sticky deadlines, in server time
``gc``                   sorted set   closed runs and when their retention ends
``tq:<queue>:wf|act``    stream       queued tasks, one consumer group
``sticky:<worker>``      stream       workflow tasks for the worker that has the run cached
``outbox:<p>``           stream       messages to partition p, ids dense
``mark:<p>``             hash         the last message applied from partition p
``lock:<key>``           hash         of a lock or slot: who has it or waits, and the answers
``held:<key>``           sorted set   who has the lock, in the order of their requests
``line:<key>``           sorted set   who waits for the lock, in the order of their requests
``rate:<key>``           hash         of a rate limit: when the next start is free
``vis``                  sorted set   one lexicographic index for list and count
``inbox:<node>``         stream       letters to functions and processes of one OS process
``name:<name>``          hash         PID of the process that has the registered name
``job:<job id>``         hash         a plain job: its state, its record, its outcome
``jobs``                 sorted set   open jobs by the time they were asked for (ms)
``schedule:<id>``        hash         a schedule: its version, its plan, where it stands (JSON)
``schedules``            sorted set   the ids of the schedules of this partition
``sess:<session>``       hash         request numbers of a client session
``meta``                 hash         settings, clock, epoch, wake-up time of this partition
=======================  ===========  ======================================================

The last 1,000 request ids that callers gave are fields of ``wf``: ``q:<verb>:<id>`` says what was
done, ``q#`` how many there were, ``q#0`` to ``q#999`` name them (``scripts/includes/asked.lua``).

Once a closed run has settled its packed history is fields of ``run``: ``past`` and ``0``, ``1`` …
(``past:0`` … in format 1), and fields that say nothing new are gone from ``run`` and ``wf``.
When that is to be done stands in ``gc``, too, as ``p|<run id>``.

Outside partitions: ``lf:namespaces`` (hash: name -> settings), ``lf:<ns>:types``,
``lf:<ns>:hosts``, ``lf:<ns>:lanes``, ``lf:<ns>:builds``, ``lf:<ns>:bundle:<hash>``; and under one
hash tag, because scripts write them: ``lf:{<ns>}:workers``, ``lf:{<ns>}:worker:<id>``,
``lf:{<ns>}:leader``, ``lf:{<ns>}:asks:<queue>``. A bundle that nothing names has a time to live.
"""

from __future__ import annotations

NAMESPACES = "lf:namespaces"
GROUP = "w"
JOB = "j:"
"""Where scripts of activities are told of a run, a job is told of by its id with this before it."""


class Partition:
    """The key names of one partition of one namespace."""

    __slots__ = ("gc", "jobs", "leases", "meta", "number", "prefix", "schedules", "timers", "vis")

    def __init__(self, namespace: str, number: int) -> None:
        """Build the names that every script of the partition needs, once."""
        self.number = number
        self.prefix = prefix = f"lf:{{{namespace}:{number}}}:"
        self.meta = prefix + "meta"
        self.timers = prefix + "timers"
        self.leases = prefix + "leases"
        self.gc = prefix + "gc"
        self.vis = prefix + "vis"
        self.jobs = prefix + "jobs"
        self.schedules = prefix + "schedules"

    def wf(self, workflow_id: str) -> str:
        """Return the key of a workflow id."""
        return f"{self.prefix}wf:{workflow_id}"

    def run(self, run_id: str) -> str:
        """Return the key of a run's state."""
        return f"{self.prefix}run:{run_id}"

    def hist(self, run_id: str) -> str:
        """Return the key of a run's history."""
        return f"{self.prefix}hist:{run_id}"

    def pend(self, run_id: str) -> str:
        """Return the key of what a run waits for."""
        return f"{self.prefix}pend:{run_id}"

    def job(self, job_id: str) -> str:
        """Return the key of a plain job."""
        return f"{self.prefix}job:{job_id}"

    def owner(self, run_id: str) -> str:
        """Return the key of the state of whatever has an activity: a run, or a job by itself."""
        return self.job(run_id[len(JOB) :]) if run_id.startswith(JOB) else self.run(run_id)

    def waits(self, run_id: str) -> str:
        """Return the key of an activity's record: a job keeps it with its state."""
        return self.job(run_id[len(JOB) :]) if run_id.startswith(JOB) else self.pend(run_id)

    def of_run(self, workflow_id: str, run_id: str) -> list[str]:
        """Return the keys that most transitions of a run begin with: meta wf run hist pend."""
        own = (self.wf(workflow_id), self.run(run_id), self.hist(run_id), self.pend(run_id))
        return [self.meta, *own]

    def workflow_queue(self, queue: str) -> str:
        """Return the stream of workflow tasks of a queue."""
        return f"{self.prefix}tq:{queue}:wf"

    def activity_queue(self, queue: str) -> str:
        """Return the stream of activity tasks of a queue."""
        return f"{self.prefix}tq:{queue}:act"

    def sticky(self, worker: str) -> str:
        """Return the stream of workflow tasks kept for one worker incarnation."""
        return f"{self.prefix}sticky:{worker or '-'}"

    def outbox(self, receiver: int) -> str:
        """Return the stream of messages to another partition (or to this one)."""
        return f"{self.prefix}outbox:{receiver}"

    def mark(self, sender: int) -> str:
        """Return the hash that remembers what arrived from a partition."""
        return f"{self.prefix}mark:{sender}"

    def session(self, session: str) -> str:
        """Return the key of a client session's request numbers."""
        return f"{self.prefix}sess:{session}"

    def inbox(self, node: str) -> str:
        """Return the stream of letters to the processes of a node; it expires with the node."""
        return f"{self.prefix}inbox:{node}"

    def name(self, name: str) -> str:
        """Return the key of a registered name; it expires with the node of its owner."""
        return f"{self.prefix}name:{name}"

    def lock(self, key: str) -> str:
        """Return the hash of a lock: who has it, who waits, with which answer."""
        return f"{self.prefix}lock:{key}"

    def held(self, key: str) -> str:
        """Return the sorted set of those who have a lock."""
        return f"{self.prefix}held:{key}"

    def line(self, key: str) -> str:
        """Return the sorted set of those who wait for a lock."""
        return f"{self.prefix}line:{key}"

    def rate(self, key: str) -> str:
        """Return the hash of a rate limit."""
        return f"{self.prefix}rate:{key}"

    def schedule(self, schedule_id: str) -> str:
        """Return the key of a schedule."""
        return f"{self.prefix}schedule:{schedule_id}"

    def bell(self) -> str:
        """Return the channel that wakes schedulers: something is due earlier than they think."""
        return self.prefix + "bell"

    def updated(self, run_id: str, update_id: str) -> str:
        """Return the channel on which the steps of an update are told."""
        return f"{self.prefix}update:{run_id}:{update_id}"

    def done(self, run_id: str) -> str:
        """Return the channel on which a run's closing is told."""
        return f"{self.prefix}done:{run_id}"


def types(namespace: str) -> str:
    """Return the hash: workflow type or entry id -> where its code and queue are."""
    return f"lf:{namespace}:types"


def builds(namespace: str) -> str:
    """Return the hash: deployment, build id and workflow type -> what that build registered."""
    return f"lf:{namespace}:builds"


def hosts(namespace: str) -> str:
    """Return the hash: worker entry id -> its client entry and task queue."""
    return f"lf:{namespace}:hosts"


def lanes(namespace: str) -> str:
    """Return the set of lanes in use, and the channel that tells of a new one."""
    return f"lf:{namespace}:lanes"


def bundle(namespace: str, name: str) -> str:
    """Return the key of a code bundle, named by the hash of its content."""
    return f"lf:{namespace}:bundle:{name}"


def workers(namespace: str) -> str:
    """Return the sorted set: worker incarnation -> server time of its last heartbeat (ms)."""
    return f"lf:{{{namespace}}}:workers"


def leader(namespace: str) -> str:
    """Return the hash that names the scheduler whose gauges count; a hint with a time to live."""
    return f"lf:{{{namespace}}}:leader"


def worker(namespace: str, incarnation: str) -> str:
    """Return the hash of what a worker says of itself; it expires when the worker is gone."""
    return f"lf:{{{namespace}}}:worker:{incarnation}"


def asks(namespace: str, queue: str) -> str:
    """Return the list of questions that wait for the workers of a queue; it has a time to live."""
    return f"lf:{{{namespace}}}:asks:{queue}"


def answer(namespace: str, ask_id: str) -> str:
    """Return the channel on which the answer to a question is told."""
    return f"lf:{{{namespace}}}:answer:{ask_id}"
