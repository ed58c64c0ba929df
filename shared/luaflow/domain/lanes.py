"""Lanes: a queue's tasks by priority. Workers look into the lane of the urgent ones first.

A lane is a queue of its own, named after its queue; names of queues have no ``!``. Runs and
activities of the usual priority are in the queue itself, so nothing changes where nobody asks for
another one.
"""

from __future__ import annotations

from typing import Final

from luaflow.domain.options import ActivityOptions

USUAL: Final = 3
"""The priority of what has none; smaller ones go first."""
HIGH: Final = "!hi"
LOW: Final = "!lo"


def lane_of(queue: str, priority: int) -> str:
    """The lane of a queue for a priority; 0 is none, and so the usual one."""
    if priority in (0, USUAL):
        return queue
    return queue + (HIGH if priority < USUAL else LOW)


def activity_lane(options: ActivityOptions, queue: str) -> str:
    """Where an activity goes: ``queue`` is its run's, whose lane it shares if it names none."""
    level = options.priority.priority_key if options.priority else 0
    if level:
        return lane_of(options.task_queue or base_of(queue), level)
    return options.task_queue or queue


def base_of(lane: str) -> str:
    """The queue that a lane belongs to, as people know it."""
    return lane.partition("!")[0]


def suffix_of(lane: str) -> str:
    """What makes a lane of a queue: '' for the queue itself."""
    return lane[len(base_of(lane)) :]
