"""Orphans: objects of payloads that nothing refers to any more, or never did.

An object is an orphan when its owner is gone: the run, the workflow id, the job. Of a workflow id
that lives on and on (a chain that continues as new) those go, too, that no kept run of it names.
Either must be so for a while: an object is there before what refers to it is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from luaflow.domain import packing
from luaflow.errors import LuaflowError, Unavailable
from luaflow.store.keys import Partition
from luaflow.store.link import Arg
from luaflow.store.objects_of import object_prefix, owner_of
from luaflow.store.store import Store

GRACE_SECONDS: Final = 600.0
"""How long nothing may refer to an object: a client repeats its start for two minutes at most."""
FEW: Final = 32
"""Objects of a workflow id that lives which nobody looks at one by one."""
PAGE: Final = 500
MOST_MESSAGES: Final = 500
"""Messages on their way to a partition that are looked through; with more, nothing is deleted."""
Owner = tuple[int, str, str]


async def _never(_kind: str, _name: str) -> bool:
    return False


class Orphans:
    """Finds objects that nothing refers to, and deletes them after a while."""

    def __init__(
        self,
        store: Store,
        archived: Callable[[str, str], Awaitable[bool]] = _never,
        grace: float = GRACE_SECONDS,
    ) -> None:
        """``archived`` says whether a run (kind ``r``), or any of a workflow id, is archived."""
        self._store = store
        self._archived = archived
        self._grace = grace
        self._since: dict[str, float] = {}

    async def sweep(self) -> int:
        """Look at all objects once; how many were deleted. Raises LuaflowError: look again."""
        store, objects = self._store, self._store.objects
        if objects is None:
            return 0
        owned: dict[Owner, list[str]] = {}
        for key in await objects.keys(f"{store.namespace}/"):
            if owner := owner_of(key):
                owned.setdefault(owner, []).append(key)
        now, since, due = time.monotonic(), dict[str, float](), list[tuple[Owner, str]]()
        for owner, keys in owned.items():
            for key in await self._unnamed(owner, keys):
                since[key] = self._since.get(key, now)
                if now - since[key] >= self._grace:
                    due.append((owner, key))
        self._since = since
        going = await self._not_under_way(due)
        for key in going:
            await objects.delete(key)
            del since[key]
        return len(going)

    async def _unnamed(self, owner: Owner, keys: list[str]) -> list[str]:
        """Those of an owner's objects to which nothing that is kept refers."""
        number, kind, name = owner
        if number >= len(self._store.partitions):
            return []  # not ours to judge
        p = self._store.partitions[number]
        place = {"r": p.run, "w": p.wf, "j": p.job}.get(kind)
        if place is None:
            return []
        (exists,) = await _raw(self._store, ("EXISTS", place(name)))
        if exists and (kind != "w" or len(keys) <= FEW):
            return []
        if await self._archived(kind, name):
            return []
        if not exists:
            return keys
        prefix = object_prefix(self._store.namespace, number, kind, name)
        named: set[str] = set()
        for run_id in await _runs(self._store, p, name):
            named.update(await _named_by(self._store, p, run_id, prefix))
        return [key for key in keys if key not in named]

    async def _not_under_way(self, due: list[tuple[Owner, str]]) -> list[str]:
        """Those to which no message refers that is still on its way to their partition."""
        store, under_way = self._store, dict[int, list[bytes]]()
        for number in {owner[0] for owner, _ in due}:
            boxes = (p.outbox(number) for p in store.partitions)
            commands = (("XRANGE", box, "-", "+", "COUNT", MOST_MESSAGES) for box in boxes)
            answers = await _raw(store, *commands)
            if any(len(entries) >= MOST_MESSAGES for entries in answers):
                raise Unavailable(f"too many messages are on their way to the partition {number}")
            under_way[number] = list(_texts(answers))
        return [
            key
            for owner, key in due
            if not any(key.encode() in text for text in under_way[owner[0]])
        ]


async def _raw(store: Store, *commands: tuple[Arg, ...]) -> list[Any]:
    """What stands on the server, with nothing opened: what is opened refers to nothing."""
    answers = await store.link.batch(commands)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer if isinstance(answer, LuaflowError) else LuaflowError(str(answer))
    return list(answers)


async def _runs(store: Store, p: Partition, workflow_id: str) -> list[str]:
    """All runs of a workflow id that are kept, by the index of all runs of its partition."""
    found, after = list[str](), "[status\0"
    while True:
        command = ("ZRANGEBYLEX", p.vis, after, "(status\x01", "LIMIT", 0, PAGE)
        (members,) = await _raw(store, command)
        if not members:
            return found
        ids = [bytes(member).rpartition(b"\0")[2].decode() for member in members]
        names = await _raw(store, *(("HGET", p.run(run_id), "wid") for run_id in ids))
        wanted = workflow_id.encode()
        found += [i for i, name in zip(ids, names, strict=True) if name == wanted]
        after = f"({bytes(members[-1]).decode()}"


async def _named_by(store: Store, p: Partition, run_id: str, prefix: str) -> set[str]:
    """The objects below a prefix to which a run refers: its state, what it waits for, history."""
    pattern, named = re.compile(re.escape(prefix.encode()) + rb"[0-9a-f-]+"), set[str]()
    state, pend = await _raw(store, ("HGETALL", p.run(run_id)), ("HGETALL", p.pend(run_id)))
    texts = [*_texts(state), *_texts(pend)]
    fields = dict(zip(state[::2], state[1::2], strict=True))
    if b"past" in fields:
        format_, count = packing.parse_head(fields[b"past"])
        data = b"".join(fields[name.encode()] for name in packing.names(format_, count))
        about = packing.about(run_id, [fields.get(name.encode()) for name in packing.STATED])
        texts += [event.raw for event in packing.unpack(data, about, format_)]
    first = "-"
    while True:
        (entries,) = await _raw(store, ("XRANGE", p.hist(run_id), first, "+", "COUNT", PAGE))
        texts += _texts(entries)
        for text in texts:
            named.update(found.decode() for found in pattern.findall(text))
        if len(entries) < PAGE:
            return named
        first, texts = f"({bytes(entries[-1][0]).decode()}", []


def _texts(answer: Any) -> Iterator[bytes]:
    if isinstance(answer, list):
        for one in answer:
            yield from _texts(one)
    elif isinstance(answer, bytes):
        yield answer
