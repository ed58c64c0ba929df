"""Slots of a Redis Cluster: that of a command, and which primary has it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError

from luaflow.store.address import Place

if TYPE_CHECKING:
    from luaflow.store.link import Arg

_KEYLESS: Final = frozenset(
    {
        *("ACL", "ASKING", "AUTH", "BGREWRITEAOF", "BGSAVE", "CLIENT", "CLUSTER", "COMMAND"),
        *("CONFIG", "DBSIZE", "FLUSHALL", "INFO", "LASTSAVE", "LATENCY", "PING", "ROLE", "SCAN"),
        *("SCRIPT", "SELECT", "SLOWLOG", "TIME", "WAIT", "WAITAOF"),
    }
)
_KEY_AT: Final = {"EVAL": 3, "EVALSHA": 3, "MEMORY": 2, "OBJECT": 2, "XGROUP": 2, "XINFO": 2}
_STREAMS: Final = frozenset({"XREAD", "XREADGROUP"})


@lru_cache(maxsize=4096)
def _slot(hashed: str) -> int:
    return key_slot(hashed.encode())


def slot_of_key(key: Arg) -> int:
    """The slot of a key; of the text between its first braces, where it has some."""
    text = key.decode() if isinstance(key, bytes) else str(key)
    start = text.find("{")
    end = text.find("}", start + 1) if start >= 0 else -1
    if end > start + 1:
        return _slot(text[start + 1 : end])
    return key_slot(text.encode())


def slot_of(command: Sequence[Arg]) -> int | None:
    """The slot of a command's keys; None for one without keys. A channel counts as a key."""
    verb = str(command[0]).upper()
    if verb in _KEYLESS:
        return None
    at = _KEY_AT.get(verb, 1)
    if verb in _STREAMS:
        at = next(i for i, word in enumerate(command) if word in {"STREAMS", b"STREAMS"}) + 1
    if verb in {"EVAL", "EVALSHA"} and not int(command[2]):
        return None
    return slot_of_key(command[at])


class Redirection(NamedTuple):
    """What a node answers that has not (or no longer) what was asked for."""

    slot: int
    place: Place
    asking: bool
    """Only this once: the slot is on its way (ASK); not so with MOVED."""


def redirection(answer: object, asked: Place) -> Redirection | None:
    """Where an answer of ``asked`` sends us; None for one that sends nowhere."""
    if not isinstance(answer, AskError):  # MovedError is one, too
        return None
    host = answer.host if answer.host not in {"", "?"} else asked.host
    place = Place(host, int(answer.port))
    return Redirection(int(answer.slot_id), place, not isinstance(answer, MovedError))


class SlotMap:
    """Which primary has which slot, as one node of the cluster told it."""

    def __init__(self, ranges: Sequence[tuple[int, int, Place]]) -> None:
        self._owners: list[Place | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, place in ranges:
            self._owners[first : last + 1] = [place] * (last + 1 - first)
        self._primaries: list[Place] | None = None

    def owner(self, slot: int) -> Place | None:
        """The primary of a slot; None for one that nobody has."""
        return self._owners[slot]

    def move(self, slot: int, place: Place) -> None:
        """Note what a node has said."""
        if self._owners[slot] != place:
            self._owners[slot] = place
            self._primaries = None

    @property
    def primaries(self) -> list[Place]:
        """The primaries that have slots, in one order always."""
        if self._primaries is None:  # each batch asks; there are 16,384 slots
            self._primaries = sorted({place for place in self._owners if place})
        return self._primaries

    def __eq__(self, other: object) -> bool:
        """Whether both say the same."""
        return isinstance(other, SlotMap) and self._owners == other._owners

    __hash__ = None  # type: ignore[assignment]


def read_slots(answer: Sequence[Any], asked: Place) -> SlotMap:
    """The map that CLUSTER SLOTS answers; a node without a name of its own is the one asked."""
    ranges = []
    for first, last, primary, *_ in answer:
        host = bytes(primary[0] or b"").decode()
        place = Place(host if host not in {"", "?"} else asked.host, int(primary[1]))
        ranges.append((int(first), int(last), place))
    return SlotMap(ranges)
