"""The client log: what clients asked for, and what they were told, in the order of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Literal, NamedTuple

Outcome = Literal["ok", "unknown", "refused", "failed"]


class Request(NamedTuple):
    """One request of a client: of which workflow, what, and how it ended.

    ``verb``: start, signal, update or result; ``value`` is the number it carried, or the result it
    brought. ``begin`` and ``end`` are seconds of the machine's monotonic clock. Of the outcomes,
    ``unknown`` may have happened or not, ``refused`` has not, ``failed`` is an answer that nobody
    expects.
    """

    workflow_id: str
    verb: str
    value: object
    outcome: Outcome
    begin: float
    end: float
    detail: str = ""


class ClientLog:
    """Keeps the requests, and writes each to a file when it is answered."""

    def __init__(self, path: Path) -> None:
        self.requests: list[Request] = []
        self._file: IO[str] = path.open("a")

    def add(self, request: Request) -> None:
        """Note one."""
        self.requests.append(request)
        self._file.write(json.dumps(request._asdict()) + "\n")

    def close(self) -> None:
        """No more will come."""
        self._file.close()


def read_log(path: Path) -> list[Request]:
    """The requests of a log that was written."""
    return [Request(**json.loads(line)) for line in path.read_text().splitlines()]


def by_workflow(requests: Iterable[Request]) -> dict[str, list[Request]]:
    """The requests by workflow id, in the order they were answered."""
    found: dict[str, list[Request]] = {}
    for request in requests:
        found.setdefault(request.workflow_id, []).append(request)
    return found
