"""Repeating a request changes nothing and gets the same answer (design 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luaflow.store import scripts

DONE = {b"ok", b"started", b"known"}
"""Verdicts that say: it is done, by this request or by one that was the same."""
NAMED_BY = {
    "commit": ("run_id", "cid"),
    "continue_as_new": ("run_id", "cid"),
    "start": ("session", "request"),
    "message": ("session", "request"),
    "end_run": ("session", "request"),
    "update": ("run_id", "update_id"),
}
"""What makes two calls of a script the same request."""


class Repeats:
    """Remembers what was done, and finds the repeat that is told something else."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.seen = 0
        self._done: set[tuple[str, ...]] = set()
        self._failed_over = False
        self._messages: dict[tuple[bytes, ...], tuple[Any, ...]] = {}
        self._last: dict[str, str] = {}

    def _look_at_number(self, name: str, command: Sequence[bytes]) -> None:
        """Two messages of one pair of partitions never have one number under one epoch (5.6)."""
        fields = (field.partition(":")[0] for field in scripts.load(name).args)
        found = dict(zip(fields, command[3 + int(command[2]) :], strict=False))
        stamp = (found["sender"], found["sender_epoch"], found["number"], command[3])
        message = (name, *(found.get(field) for field in ("seq", "body", "started", "member")))
        other = self._messages.setdefault(stamp, message)
        if self._failed_over and other != message and other[0] == name:
            self.problems.append(f"after a fail-over {message} has the number {stamp} of {other}")

    def look(self, name: str, command: Sequence[bytes], answer: Any) -> None:
        """Look at one call of the script ``name``."""
        if name.startswith("deliver_"):
            self._look_at_number(name, command)
        named = NAMED_BY.get(name)
        if named is None or not isinstance(answer, list):
            return
        fields = (field.partition(":")[0] for field in scripts.load(name).args)
        found = dict(zip(fields, command[3 + int(command[2]) :], strict=False))
        scope, number = (found[key].decode() for key in named)
        if named[0] == "session" and number == "0":
            return  # a scheduler's: its date is what counts
        # (sessions count for each partition)
        scope = f"{command[3].decode()} {scope}"
        key = ("commit" if named[1] == "cid" else name, scope, number)
        done = answer[0] in DONE
        if key in self._done:
            self.seen += 1
            # (of commits only the last one is kept)
            kept = named[1] != "cid" or self._last.get(scope) == number
            if kept and not done:
                self.problems.append(f"the repeat of {name} {scope} {number} was told {answer[:2]}")
        if done:
            self._done.add(key)
            if named[1] == "cid":
                self._last[scope] = number

    def forget(self) -> None:
        """A fail-over lost some of what was done."""
        self._failed_over = True
        self._done.clear()
        self._last.clear()
