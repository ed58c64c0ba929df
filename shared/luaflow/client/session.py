"""Request numbers: what makes a repeated request of this client harmless (design 5.10)."""

from __future__ import annotations

import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from luaflow.domain.ids import check_request_id
from luaflow.store.transitions import RequestId


def asked_as(verb: str, request_id: str | None) -> str:
    """A caller's request id as the server knows it: each verb has its own; '' without one."""
    return "" if request_id is None else f"{verb}:{check_request_id(request_id)}"


class Session:
    """Numbers requests, densely for each partition; each names the lowest one not yet answered."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self._last: defaultdict[int, int] = defaultdict(int)
        self._open: defaultdict[int, OrderedDict[int, None]] = defaultdict(OrderedDict)

    @contextmanager
    def request(self, partition: int, asked: str = "") -> Iterator[RequestId]:
        """Give a number to one request, from its first sending to the end of the last repeat.

        ``asked`` is the id that its caller gave it, see ``asked_as``.
        """
        self._last[partition] = number = self._last[partition] + 1
        unanswered = self._open[partition]
        unanswered[number] = None
        try:
            yield RequestId(self.id, number, next(iter(unanswered)), asked)
        finally:
            del unanswered[number]
