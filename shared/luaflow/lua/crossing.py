"""What crosses: the events that are fed to a run, and in people's words how one is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from luaflow.lua.values import to_json


def _outcomes(*flat: Any) -> tuple[Any, ...]:
    """Six values an outcome, the last of which is what came of it."""
    texts = list(flat)
    texts[5::6] = map(to_json, flat[5::6])
    return tuple(texts)


PREPARE: Final[dict[bytes, Callable[..., tuple[Any, ...]]]] = {
    b"start": lambda args, ctx: (to_json(args), to_json(ctx)),
    b"ahead": lambda rows: (to_json(rows),),
    b"resolve": lambda seq, ok, value: (seq, ok, to_json(value)),
    b"outcomes": _outcomes,
    b"child_started": lambda seq, pid, failure: (
        seq,
        pid.encode() if isinstance(pid, str) else pid,
        None if failure is None else to_json(failure),
    ),
    b"exit": lambda pid, ok, value: (
        pid.encode() if isinstance(pid, str) else pid,
        ok,
        to_json(value),
    ),
    b"reply": lambda *values: (to_json(list(values)),),
}

FAULTS: Final = {
    "cpu": "the code ran too long without waiting: move heavy work to an activity",
    "memory": "the code used too much memory: keep large data outside, pass references",
    "weak": (
        "a metatable got __mode after setmetatable: weak tables are not available, because what "
        "they lose differs from run to run; remove entries yourself"
    ),
}
