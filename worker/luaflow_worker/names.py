"""Registered names: of processes of this node, and (other scopes) of the namespace.

A name is free again when the process ends that it belongs to, or the one that registered it for
somebody elsewhere; those of the namespace, too, when the heartbeat of its node stays away.
"""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING

from luaflow.domain.ids import parse_pid
from luaflow.errors import AlreadyExists, InvalidArgument, LuaflowError, NotFound, Unavailable
from luaflow.store import inboxes
from luaflow_worker.world import World

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall

log = logging.getLogger(__name__)

LOCAL, EVENTUAL = 0, 1
"""Scopes: names that only this node knows, and those of the namespace; the others are as EVENTUAL,
but only their owner frees them."""

_HERE: weakref.WeakSet[Names] = weakref.WeakSet()


def known_here(namespace: str, name: str) -> str | None:
    """The PID of a name that a node of this OS process has: workflows that run here see it, too."""
    found = (names.local.get(name) for names in _HERE if names.namespace == namespace)
    return next(filter(None, found), None)


class Names:
    """The names that processes of this node hold."""

    def __init__(self, world: World) -> None:
        self._world = world
        _HERE.add(self)
        self.local: dict[str, str] = {}
        self.shared: dict[str, str] = {}

    @property
    def namespace(self) -> str | None:
        """The namespace of this node, once it has a client."""
        return self._world.namespace

    async def lookup(self, name: str) -> str | None:
        """The PID a name belongs to, in this node or else in the namespace.

        A node that never needed a server, and finds none now, knows its own names.
        """
        if found := self.local.get(name):
            return found
        try:
            store = await self._world.store()
        except Unavailable as error:
            log.warning("the name %r is looked for in this process only: %s", name, error.message)
            return None
        (pid,) = await store.read(("HGET", inboxes.home(store, name).name(name), "pid"))
        return None if pid is None else bytes(pid).decode()

    def claim(self, name: str, pid: str, holder: FunctionCall) -> None:
        """Give a name of this node to a process; AlreadyExists when another one has it."""
        owner = self.local.setdefault(name, pid)
        if owner != pid:
            raise AlreadyExists(f"the name {name!r} is registered already, by {owner}")
        holder.bonds.names.add((LOCAL, name, pid))

    async def register(self, name: str, pid: str, scope: int, holder: FunctionCall) -> None:
        """Register a name, for ``holder`` or for somebody whom its end frees the name of."""
        if parse_pid(pid) is None:
            raise InvalidArgument(f"{pid!r} is no PID")
        if scope == LOCAL:
            self.claim(name, pid, holder)
            return
        store = await self._world.store()
        call = inboxes.register_name(partition=inboxes.home(store, name), name=name, pid=pid)
        word, *owner = await store.one(call)
        if word != b"ok":
            other = bytes(owner[0]).decode()
            raise AlreadyExists(f"the name {name!r} is registered already, by {other}")
        if holder.outcome is not None:  # it ended meanwhile
            await self._free(name, pid)
            return
        self.shared[name] = pid
        holder.bonds.names.add((scope, name, pid))

    async def unregister(self, name: str, scope: int, pid: str) -> bool:
        """Free a name; False when nobody has it, or (CONSISTENT, STRONG) another than ``pid``."""
        if scope == LOCAL:
            return self.local.pop(name, None) is not None
        done = await self._free(name, pid if scope > EVENTUAL else "")
        if done:
            self.shared.pop(name, None)
        return done

    async def _free(self, name: str, pid: str) -> bool:
        store = await self._world.store()
        call = inboxes.unregister_name(partition=inboxes.home(store, name), name=name, pid=pid)
        return bool((await store.one(call))[1])

    def drop(self, holder: FunctionCall) -> list[tuple[str, str]]:
        """Let the names of a process go that ended; those of the namespace are for ``free``."""
        left = []
        for scope, name, pid in holder.bonds.names:
            held = self.local if scope == LOCAL else self.shared
            if held.get(name) != pid:
                continue  # it went to somebody else meanwhile
            del held[name]
            if scope != LOCAL:
                left.append((name, pid))
        return left

    async def free(self, names: list[tuple[str, str]]) -> None:
        """Free names of the namespace; where that fails they go when they expire."""
        for name, pid in names:
            try:
                await self._free(name, pid)
            except LuaflowError as error:
                log.warning("the name %r stays until it expires: %s", name, error)

    async def renew(self) -> None:
        """Keep the names of the namespace; those that somebody else has by now are not ours."""
        if not self.shared:
            return
        store = await self._world.store()
        held = list(self.shared.items())
        calls = [
            inboxes.register_name(partition=inboxes.home(store, name), name=name, pid=pid)
            for name, pid in held
        ]
        for (name, pid), answer in zip(held, await store.run(*calls), strict=True):
            if answer[0] != b"ok" and self.shared.get(name) == pid:
                del self.shared[name]
                log.error("the name %r went to another process while this one was away", name)

    async def resolve(self, dest: str) -> str:
        """The PID of a destination: a PID, or a registered name. Raises NotFound."""
        if dest[:1] == "{":
            pid = dest if parse_pid(dest) else None
        else:
            pid = await self.lookup(dest)
        if pid is None:
            raise NotFound(f"could not resolve '{dest}' as PID or registered name")
        return pid
