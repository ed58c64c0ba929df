"""Activities that leave a trace outside Redis: one line an attempt, in the file of the effects."""

from __future__ import annotations

import json
import os
from typing import Any

from luaflow import activity


def book(name: str) -> dict[str, Any]:
    """Leave the trace."""
    return _trace(name)


async def flaky(name: str) -> dict[str, Any]:
    """Leave the trace; the first attempt fails."""
    told = _trace(name)
    if told["attempt"] == 1:
        raise RuntimeError("not at the first attempt")
    return told


def _trace(name: str) -> dict[str, Any]:
    info = activity.info()
    told = {
        "name": name,
        "workflow_id": info.workflow_id,
        "run_id": info.run_id,
        "seq": info.seq,
        "attempt": info.attempt,
        "key": info.idempotency_key,
        "process": os.getpid(),
    }
    log = os.open(os.environ["CRASH_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(log, json.dumps(told).encode() + b"\n")
    finally:
        os.close(log)
    return told
