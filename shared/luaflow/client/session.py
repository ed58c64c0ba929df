"""Request numbers: what makes a repeated request of this client harmless (design 5.10)."""

from __future__ import annotations

import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from luaflow.store.transitions import RequestId


class Session:
    """Numbers requests, densely for each partition; each names the lowest one not yet answered."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self._last: defaultdict[int, int] = defaultdict(int)
        self._open: defaultdict[int, OrderedDict[int, None]] = defaultdict(OrderedDict)

    @contextmanager
    def request(self, partition: int) -> Iterator[RequestId]:
        """Give a number to one request, from its first sending to the end of the last repeat."""
        self._last[partition] = number = self._last[partition] + 1
        unanswered = self._open[partition]
        unanswered[number] = None
        try:
            yield RequestId(self.id, number, next(iter(unanswered)))
        finally:
            del unanswered[number]
