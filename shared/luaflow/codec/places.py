"""Where the payloads stand in what is sent to the server, script by script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

DOCUMENT: Final = "document"
VALUE: Final = "value"
FAILURE: Final = "failure"
TABLE: Final = "table"
RUN: Final = "r"
"""An argument that stays with the run, and goes with it."""
CHAIN: Final = "w"
"""One that may be handed on to the next run of the workflow id."""
INLINE: Final = ""
"""One that is never moved to an object store: nobody would know when it may go."""


class Place(NamedTuple):
    """Where an argument stands, what it is, whose objects it may have, and of which job it is."""

    at: int
    form: str
    scope: str
    job: str = ""


_ONE: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "start": (("started", DOCUMENT, CHAIN),),
    "message": (("body", DOCUMENT, CHAIN),),
    "update": (("body", DOCUMENT, CHAIN),),
    "continue_as_new": (("closing", DOCUMENT, RUN), ("started", DOCUMENT, CHAIN)),
    "finish_activity": (("body", DOCUMENT, RUN),),
    "retry_activity": (("failure", FAILURE, RUN), ("details", VALUE, RUN)),
    "renew_activity": (("details", VALUE, RUN),),
    "change_schedule": (("plan", DOCUMENT, INLINE),),
    "post_inbox": (("letter", DOCUMENT, INLINE),),
}
_OPERATIONS: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "E": (3, (2,)),
    "A": (9, (2,)),
    "L": (9, (2,)),
    "R": (4, ()),
    "T": (4, ()),
    "t": (4, ()),
    "C": (8, (3, 6)),
    "M": (6, (2, 5)),
    "F": (8, (3, 6)),
    "S": (3, (2,)),
    "U": (2, ()),
    "H": (3, ()),
    "I": (2, ()),
    "N": (5, (4,)),
    "Z": (8, (3, 6)),
}
"""An operation of a decision -> how many arguments it has, and which of them are documents."""
WRITERS: Final = frozenset({*_ONE, "commit", "start_jobs", "finish_jobs"})
"""Scripts that bring payloads to the server. What relays and schedulers send is sealed already."""


def places(script: str, names: Sequence[str], args: Sequence[Any]) -> Iterator[Place]:
    """The arguments of a script in which payloads may stand; ``names`` are those of its header."""
    at = {name.partition(":")[0].removesuffix("..."): i - 1 for i, name in enumerate(names)}
    for name, form, scope in _ONE.get(script, ()):
        yield Place(at[name], form, scope)
    if script in ("start", "message"):
        first = at["messages" if script == "start" else "more"]
        yield from (Place(i, DOCUMENT, CHAIN) for i in range(first + 1, len(args), 2))
    elif script == "commit":
        begin = at["ops"]
        end = begin + 5 * int(args[at["results"]])
        yield from (Place(i, DOCUMENT, RUN) for i in range(begin + 3, end, 5))
        yield from _operations(args, end)
    elif script == "continue_as_new":
        yield from _operations(args, at["rest"] + int(args[at["carried"]]))
    elif script in ("start_jobs", "finish_jobs"):
        size = 4 if script == "start_jobs" else 7
        for i in range(at["list"], len(args), size):
            yield Place(i + size - 1, DOCUMENT, RUN, str(args[i]))


def _operations(args: Sequence[Any], i: int) -> Iterator[Place]:
    while i < len(args):
        size, documents = _OPERATIONS[args[i]]
        yield from (Place(i + n, DOCUMENT, RUN) for n in documents)
        if args[i] == "H":
            field = args[i + 1]
            if field == "memo":
                yield Place(i + 2, TABLE, RUN)
            elif field.startswith("v:"):
                yield Place(i + 2, VALUE, RUN)
        i += size
