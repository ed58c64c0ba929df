"""Activities that leave a trace outside Redis: one line an attempt, in the file of the effects."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from luaflow import activity


def work(name: str) -> dict[str, Any]:
    """Leave the trace; runs on a thread."""
    return trace(name)


async def work_on_loop(name: str) -> dict[str, Any]:
    """Leave the trace; runs on the event loop."""
    return trace(name)


def hold(name: str) -> dict[str, Any]:
    """Leave the trace, say so, and wait until the test opens the gate for one attempt."""
    told = trace(name)
    name = "first" if told["attempt"] == 1 else "later"
    with Path(f"{os.environ['CRASH_GATE']}.{name}").open("rb", buffering=0) as gate:
        gate.read(1)
    return told


def hang(name: str) -> dict[str, Any]:
    """Leave the trace; the first attempt then keeps the interpreter to itself, for years."""
    told = trace(name)
    if told["attempt"] == 1:
        re.match(r"(a+)+$", "a" * 64 + "b")
    return told


def trace(name: str) -> dict[str, Any]:
    """Append the line to the file in one write, then say it aloud, so that the test hears of it."""
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
    line = json.dumps(told) + "\n"
    log = os.open(os.environ["CRASH_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(log, line.encode())
    finally:
        os.close(log)
    os.write(1, f"effect {name} {info.workflow_id} {info.attempt}\n".encode())
    return told
