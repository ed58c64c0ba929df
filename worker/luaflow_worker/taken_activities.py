"""Activity tasks as they were read from a stream, and the attempts they become once taken."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from luaflow.domain import values
from luaflow.domain.retry import RetryPolicy
from luaflow.store.keys import Partition
from luaflow_worker.attempt import Attempt


class ActivityEntry(NamedTuple):
    """An activity task as it was read from a stream."""

    partition: Partition
    queue: str
    entry: str
    run_id: str
    workflow_id: str
    seq: str
    attempt: int


def attempt_of(e: ActivityEntry, token: str, a: list[Any]) -> Attempt:
    """Return the attempt that an answer of ``take_activity`` has started."""
    event, options = orjson.loads(a[1]), orjson.loads(a[2] or b"{}")
    return Attempt(
        partition=e.partition,
        workflow_id=e.workflow_id,
        run_id=e.run_id,
        seq=int(e.seq),
        activity=event["activity"],
        input=orjson.dumps(event["input"]),
        token=token,
        queue=e.queue,
        workflow_type=bytes(a[7] or b"").decode(),
        number=int(a[4]),
        start_to_close=int(a[8]),
        heartbeat=int(a[9]),
        heartbeat_details=values.loads(a[3]) if a[3] else None,
        policy=RetryPolicy.from_json(options["retry"]) if "retry" in options else RetryPolicy(),
        context=event.get("context") or {},
        job=event.get("job", ""),
    )
