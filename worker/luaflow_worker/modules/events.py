"""The ``events`` module: a bus inside this process, best effort."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.errors import NotFound

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall

BUFFER: Final = 64
"""Events that wait for a subscriber; further ones are lost to it."""
SUBSCRIPTIONS: Final = 100
"""Of one call."""
PATTERN_CHARACTERS: Final = 200
WILDCARDS: Final = 10
"""In one pattern: each costs a look at the whole name, at every event."""
NAME_BYTES: Final = 500

_TOKEN: Final = re.compile(r"\*\*|\*|\([^()]*\)|[^*(]+|\(")


Pattern = tuple[tuple[str, ...], ...]
"""Parts one after the other, each a choice of texts; ("*",) and ("**",) stand for any text."""


@dataclass(slots=True)
class _Subscription:
    system: Pattern
    kind: Pattern | None
    waiting: deque[Any] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, event: dict[str, Any]) -> None:
        wanted = matches(self.system, event["system"])
        if wanted and (self.kind is None or matches(self.kind, event["kind"])):
            if len(self.waiting) < BUFFER:
                self.waiting.append(event)
            self.arrived.set()


# A call that ended is forgotten with its subscriptions.
_calls: WeakKeyDictionary[FunctionCall, dict[int, _Subscription]] = WeakKeyDictionary()


def pattern_of(text: str) -> Pattern:
    """Read a pattern of names with dots.

    ``*`` is any text without a dot, ``**`` any text, ``(a|b)`` one or the other.
    """
    found = _TOKEN.findall(text)
    return tuple(tuple(t[1:-1].split("|")) if t[0] == "(" and t[-1] == ")" else (t,) for t in found)


def _wildcards(pattern: Pattern) -> int:
    return sum(choice in (("*",), ("**",)) for choice in pattern)


def matches(pattern: Pattern, text: str) -> bool:
    """Whether a text keeps to a pattern: by the set of places where it may go on, never back."""
    places = {0}
    for choice in pattern:
        if choice == ("**",):
            places = set(range(min(places), len(text) + 1))
        elif choice == ("*",):
            places = {end for place in places for end in range(place, _stop(text, place) + 1)}
        else:
            places = {p + len(c) for p in places for c in choice if text.startswith(c, p)}
        if not places:
            return False
    return len(text) in places


def _stop(text: str, place: int) -> int:
    """Where the next dot stands, or the end."""
    dot = text.find(".", place)
    return len(text) if dot < 0 else dot


def _subscribe(call: FunctionCall, system: bytes, kind: bytes) -> tuple[Any, ...]:
    mine = _calls.setdefault(call, {})
    if len(mine) >= SUBSCRIPTIONS:
        return _refused(f"a call has at most {SUBSCRIPTIONS} subscriptions: close some")
    if max(len(system), len(kind)) > PATTERN_CHARACTERS:
        return _refused(f"a pattern has at most {PATTERN_CHARACTERS} characters")
    number = max(mine, default=0) + 1
    names = pattern_of(system.decode(errors="replace"))
    kinds = pattern_of(kind.decode(errors="replace")) if kind else None
    if max(_wildcards(names), _wildcards(kinds or ())) > WILDCARDS:
        return _refused(f"a pattern has at most {WILDCARDS} of * and **")
    mine[number] = _Subscription(names, kinds)
    return (number,)


def _refused(why: str) -> tuple[Any, ...]:
    return None, values.encode(Failure("Invalid", f"events: {why}", retryable=False))


def _unsubscribe(call: FunctionCall, number: int) -> tuple[Any, ...]:
    _calls.get(call, {}).pop(number, None)
    return (True,)


def _send(
    _call: FunctionCall, system: bytes, kind: bytes, path: bytes, data: bytes
) -> tuple[Any, ...]:
    if max(len(system), len(kind)) > NAME_BYTES:
        return _refused(f"a system or kind has at most {NAME_BYTES} bytes")
    event: dict[str, Any] = {
        "system": system.decode(errors="replace"),
        "kind": kind.decode(errors="replace"),
        "path": path.decode(errors="replace"),
    }
    given = values.loads(data)
    if given[0] is not None:
        event["data"] = given[0]
    for call, subscriptions in list(_calls.items()):
        if call.outcome is None:
            for one in subscriptions.values():
                one.offer(event)
    return (True,)


async def _next(call: FunctionCall, args: list[Any]) -> Any:
    """Wait for the next event of a subscription."""
    one = _calls.get(call, {}).get(args[0])
    if one is None:
        raise NotFound("the subscription is closed")
    while not one.waiting:
        one.arrived.clear()
        await one.arrived.wait()
    return one.waiting.popleft()


SERVICES: Final[dict[str, Callable[..., tuple[Any, ...]]]] = {
    "events.subscribe": _subscribe,
    "events.unsubscribe": _unsubscribe,
    "events.send": _send,
}
IO: Final[dict[str, Callable[[FunctionCall, list[Any]], Awaitable[Any]]]] = {"events.next": _next}
