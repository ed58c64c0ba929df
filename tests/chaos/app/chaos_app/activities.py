"""Activities that leave a line of each attempt in the effect log, outside Redis."""

from __future__ import annotations

import json
import os
import select
import time
import zlib
from typing import Any

from luaflow import activity

FAILING = 20
"""One in so many shaky calls fails at its first attempt."""
MOMENT = 0.03
"""Seconds that work takes."""


def work(name: str) -> int:
    """Leave the line and take a moment, to be found at work; runs on a thread."""
    told = trace(name)
    select.select([], [], [], MOMENT)  # libfaketime breaks time.sleep
    return int(told["attempt"])


async def work_on_loop(name: str) -> int:
    """Leave the line; runs on the event loop."""
    return int(trace(name)["attempt"])


def shaky(name: str) -> int:
    """Leave the line; one in twenty calls then fails at its first attempt."""
    told = trace(name)
    if told["attempt"] == 1 and zlib.crc32(told["key"].encode()) % FAILING == 0:
        raise RuntimeError("it had to fail once")
    return int(told["attempt"])


def trace(name: str) -> dict[str, Any]:
    """Append the line in one write; ``at`` is the clock of all processes of the machine (s)."""
    info = activity.info()
    told = {
        "name": name,
        "workflow_id": info.workflow_id,
        "run_id": info.run_id,
        "seq": info.seq,
        "attempt": info.attempt,
        "key": info.idempotency_key,
        "process": os.getpid(),
        "at": time.clock_gettime(time.CLOCK_MONOTONIC),
    }
    log = os.open(os.environ["CHAOS_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(log, (json.dumps(told) + "\n").encode())
    finally:
        os.close(log)
    return told
