"""The processes of one node: found by PID, told of messages, of requests, and of each other's end.

Inside the node letters go in memory. A letter to another node goes through its inbox; workflows are
reached by the client. A process that watches another one (monitor, link) notes it in its ``Bonds``,
and so does the one that is watched.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from luaflow.client.handle import Handle
from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.domain.ids import Pid, new_node_id, parse_pid
from luaflow.errors import (
    InvalidArgument,
    LuaflowError,
    NotFound,
    Unavailable,
    Unknown,
    WorkflowFailed,
)
from luaflow.lua.values import to_json
from luaflow.store import inboxes
from luaflow_worker.attempt import Outcome
from luaflow_worker.inbox import Inbox
from luaflow_worker.names import Names
from luaflow_worker.world import World

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""Pause before the end of a workflow is waited for again, when the server was away for long."""
MODES: Mapping[str, tuple[str, ...]] = {
    "monitor": ("monitor",),
    "link": ("link",),
    "link_monitor": ("link", "monitor"),
}
"""What spawn's variants ask for."""

Letter = dict[str, Any]
"""``to`` and ``from`` (PIDs), ``kind``, and what that needs; JSON between nodes."""


class End(NamedTuple):
    """How a process or workflow ended: its value or failure, as JSON that Lua reads."""

    ok: bool
    value: bytes
    workflow: bool = False


@dataclass(slots=True)
class Watch:
    """What a process wants to hear of another's end; a task waits for that of a workflow."""

    modes: set[str] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Bonds:
    """What ties a process to others, by PID, and the names that go with it (scope, name, PID)."""

    watching: dict[str, Watch] = field(default_factory=dict)
    watchers: dict[str, set[str]] = field(default_factory=dict)
    names: set[tuple[int, str, str]] = field(default_factory=set)


class Processes:
    """All functions and processes that run in this node."""

    def __init__(self, world: World) -> None:
        self.node = new_node_id()
        self.world = world
        self.names = Names(world)
        self.calls: dict[str, FunctionCall] = {}
        self.inbox = Inbox(world, self.node, self._from_outside, self._beat)
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- who there is ----------------------------------------------------------------------------

    def add(self, call: FunctionCall, host: str) -> str:
        """Register a call and return its PID; ``host`` is the function, or its process host."""
        call.uniq = f"{next(self._numbers):x}"
        self.calls[call.uniq] = call
        return f"{{{self.node}@{host}|{call.uniq}}}"

    def find(self, pid: str) -> FunctionCall | None:
        """The process of a PID, if it runs in this node."""
        found = parse_pid(pid)
        if found is None or found.node != self.node:
            return None
        return self.calls.get(found.uniq)

    def is_here(self, pid: str) -> bool:
        """Whether a PID is of this node, whether its process still runs or not."""
        found = parse_pid(pid)
        return found is not None and found.node == self.node

    def ended(self, call: FunctionCall, outcome: Outcome) -> None:
        """A process ended: whoever watches it is told, its names are free."""
        del self.calls[call.uniq]
        bonds = call.own_bonds
        if bonds is None:
            return
        failure = outcome.failure
        end = End(True, outcome.result) if failure is None else End(False, _error(failure))
        for pid in list(bonds.watchers):
            self._tell(self._ended_letter(call.pid, pid, end))
        for pid, watch in list(bonds.watching.items()):
            if watch.task:
                watch.task.cancel()
            elif pid not in bonds.watchers:
                self._tell({"kind": "unwatch", "to": pid, "from": call.pid, "modes": ["monitor"]})
        if left := self.names.drop(call):
            self.spawn(self.names.free(left))

    async def reachable(self) -> None:
        """See that letters from outside come in: before a PID of this node leaves it."""
        if not self.inbox.open_:
            await self.inbox.start()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in the background of this node."""
        task = asyncio.create_task(work, name="luaflow-process")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a process failed in the machinery: %s", error, exc_info=error)

    # -- what processes do to others -------------------------------------------------------------

    async def send(self, call: FunctionCall, dest: str, topic: str, payloads: bytes) -> None:
        """Send a message to a process or a workflow; NotFound where there is none."""
        to, pid = await self._resolve(dest)
        if pid.is_process:
            if pid.node != self.node:
                await self.world.check_size(payloads, f"the message {topic!r}")
            letter = {"kind": "message", "topic": topic, "input": orjson.Fragment(payloads)}
            await self.post({**letter, "to": to, "from": call.pid})
        else:
            await self.reachable()
            await self.world.send(pid, topic, values.loads(payloads), call.pid)

    async def cancel(self, call: FunctionCall, dest: str, reason: str) -> None:
        """Ask a process or a workflow to end."""
        to, pid = await self._resolve(dest)
        if pid.is_process:
            await self.post({"kind": "cancel", "reason": reason, "to": to, "from": call.pid})
        else:
            await self.world.cancel(pid, reason or None)

    async def terminate(self, call: FunctionCall, dest: str) -> None:
        """End a process or a workflow where it stands."""
        to, pid = await self._resolve(dest)
        if pid.is_process:
            await self.post({"kind": "terminate", "to": to, "from": call.pid})
        else:
            await self.world.terminate(pid)

    async def watch(self, call: FunctionCall, dest: str, mode: str) -> None:
        """Monitor or link; what ended already is told at once where it is a workflow."""
        to, pid = await self._resolve(dest)
        if to == call.pid:
            raise InvalidArgument(f"a process cannot {mode} itself")
        if not pid.is_process:
            await self.watch_workflow(call, to, (mode,))
            return
        call.bonds.watching.setdefault(to, Watch()).modes.add(mode)
        if mode == "link":
            call.bonds.watchers.setdefault(to, set()).add(mode)
        try:
            await self.post({"kind": "watch", "modes": [mode], "to": to, "from": call.pid})
        except LuaflowError:
            _unwatch(call, to, {"link", "monitor"})
            raise

    async def unwatch(self, call: FunctionCall, dest: str, mode: str) -> None:
        """Take a monitor or link back: nothing is told any more."""
        to, pid = await self._resolve(dest)
        watch = call.bonds.watching.get(to)
        if watch is None or mode not in watch.modes:
            return
        _unwatch(call, to, {mode})
        if pid.is_process:
            self._tell({"kind": "unwatch", "modes": [mode], "to": to, "from": call.pid})

    async def watch_workflow(
        self, call: FunctionCall, pid: str, modes: tuple[str, ...], handle: Handle | None = None
    ) -> None:
        """Watch the run that a workflow has now, and those that continue it; NotFound without."""
        target = parse_pid(pid)
        if call.bonds.watching.get(pid) is None and handle is None and target is not None:
            handle = await self.world.attach(target)
        if call.outcome is not None:
            return
        watch = call.bonds.watching.setdefault(pid, Watch())
        watch.modes.update(modes)
        if watch.task is None and handle is not None:
            watch.task = self.spawn(self._follow(call, pid, watch, handle))

    async def _follow(self, call: FunctionCall, pid: str, watch: Watch, handle: Handle) -> None:
        end = await end_of(handle)
        watch.task = None
        if call.bonds.watching.get(pid) is watch:
            del call.bonds.watching[pid]
            _tell_end(call, pid, end, watch.modes)

    async def _resolve(self, dest: str) -> tuple[str, Pid]:
        to = await self.names.resolve(dest)
        pid = parse_pid(to)
        assert pid is not None
        return to, pid

    # -- letters ---------------------------------------------------------------------------------

    async def workflow(self, dest: str) -> Pid:
        """The PID of a workflow by PID or name; Invalid for one of a process."""
        text, pid = await self._resolve(dest)
        if pid.is_process:
            raise InvalidArgument(f"{text} is a process: only workflows answer updates and queries")
        return pid

    async def post(self, letter: Letter) -> None:
        """Bring a letter to its process; NotFound when that, or its node, is not there."""
        pid = parse_pid(letter["to"])
        if pid is None or pid.node == self.node:
            if not self._receive(letter):
                raise NotFound(f"the process {letter['to']} is not running")
            return
        await self.reachable()
        store = await self.world.store()
        p = inboxes.home(store, pid.node)
        with self.world.session.request(p.number) as request:
            (word, *_) = await store.one(
                inboxes.post_inbox(
                    partition=p, node=pid.node, letter=orjson.dumps(letter), request=request
                )
            )
        if word != b"ok":
            raise NotFound(f"the process {letter['to']} is not running: its node is gone")

    def _tell(self, letter: Letter) -> None:
        """The same where nobody waits for it, and it does not matter who is not there."""
        pid = parse_pid(letter["to"])
        if pid is not None and pid.node == self.node:
            self._receive(letter)
        else:
            self.spawn(self._try(letter))

    async def _try(self, letter: Letter) -> None:
        try:
            await self.post(letter)
        except LuaflowError as error:
            log.info("a letter to %s was not delivered: %s", letter["to"], error)

    def _from_outside(self, letter: Letter) -> None:
        if not self._receive(letter) and letter["kind"] == "watch":
            gone = Failure("NotFound", f"the process {letter['to']} is not running", False)
            end = End(False, _error(gone))
            self._tell(self._ended_letter(letter["to"], letter["from"], end))

    def _receive(self, letter: Letter) -> bool:
        call = self.find(letter["to"])
        if call is None:
            return False
        sender, kind = str(letter.get("from") or ""), letter["kind"]
        if kind == "message":
            payloads = orjson.dumps(letter.get("input", []))
            call.soon(b"deliver", letter["topic"].encode(), sender.encode(), payloads)
        elif kind == "cancel":
            call.soon(b"cancel", sender.encode(), str(letter.get("reason") or "").encode())
        elif kind == "terminate":
            call.end(Outcome(failure=Failure("Canceled", "process terminated", retryable=False)))
        elif kind == "watch":
            call.bonds.watchers.setdefault(sender, set()).update(letter["modes"])
            if "link" in letter["modes"]:
                call.bonds.watching.setdefault(sender, Watch()).modes.add("link")
        elif kind == "unwatch":
            _unwatched(call, sender, set(letter["modes"]))
        elif kind == "ended":
            call.bonds.watchers.pop(sender, None)
            if watch := call.bonds.watching.pop(sender, None):
                end = End(letter["ok"], orjson.dumps(letter["value"]))
                _tell_end(call, sender, end, watch.modes)
        return True

    @staticmethod
    def _ended_letter(pid: str, to: str, end: End) -> Letter:
        value = orjson.Fragment(end.value)
        return {"kind": "ended", "to": to, "from": pid, "ok": end.ok, "value": value}

    # -- the node --------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Keep the names, and look whether the nodes of watched processes are there."""
        await self.names.renew()
        watched: dict[str, list[tuple[FunctionCall, str]]] = {}
        for call in self.calls.values():
            for pid in call.own_bonds.watching if call.own_bonds else ():
                found = parse_pid(pid)
                if found and found.is_process and found.node != self.node:
                    watched.setdefault(found.node, []).append((call, pid))
        if not watched:
            return
        store = await self.world.store()
        keys = [inboxes.home(store, node).inbox(node) for node in watched]
        there = await store.read(*(("EXISTS", key) for key in keys))
        for node, exists in zip(watched, there, strict=True):
            for call, pid in watched[node] if not exists else ():
                gone = Failure("Unavailable", f"the node of the process {pid} is gone")
                self._receive(self._ended_letter(pid, call.pid, End(False, _error(gone))))

    async def close(self) -> None:
        """End what runs here, and leave nothing behind."""
        for call in list(self.calls.values()):
            call.end(Outcome(failure=Failure("Canceled", "the node stops", retryable=False)))
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self.inbox.stop()


async def end_of(handle: Handle) -> End:
    """How a workflow ends, however long that takes and however often the server is away."""
    while True:
        try:
            return End(True, values.dumps(await handle.result()), workflow=True)
        except WorkflowFailed as error:
            failure = Failure(error.kind, error.message, error.retryable, error.details)
            return End(False, _error(failure), workflow=True)
        except NotFound as error:
            failure = Failure("NotFound", error.message, retryable=False)
            return End(False, _error(failure), workflow=True)
        except (Unavailable, Unknown) as error:
            log.warning("waiting on for the end of %s: %s", handle.workflow_id, error.message)
            await asyncio.sleep(AGAIN_SECONDS)


def _error(failure: Failure) -> bytes:
    """An error object, as Lua reads it."""
    return to_json({"$lf": "error", "v": failure.to_json()})


def _tell_end(call: FunctionCall, pid: str, end: End, modes: set[str]) -> None:
    """Feed what a watcher hears: EXIT of a monitor, LINK_DOWN of a link that broke.

    A linked workflow that ended well is an EXIT, too (contract 7.7); a linked process is nothing.
    """
    slot = "value" if end.ok else "error"
    body = {"from": pid, "result": {slot: orjson.Fragment(end.value)}}
    if "monitor" in modes or (end.workflow and end.ok):
        call.soon(b"event", orjson.dumps({"kind": "pid.exit", **body}))
    if "link" in modes and not end.ok:
        call.soon(b"link_down", orjson.dumps({"kind": "pid.link.down", **body}))


def _unwatch(call: FunctionCall, pid: str, modes: set[str]) -> None:
    """The watcher's side of an end of watching."""
    watch = call.bonds.watching.get(pid)
    if watch:
        watch.modes -= modes
        if not watch.modes:
            del call.bonds.watching[pid]
            if watch.task:
                watch.task.cancel()
    if "link" in modes:
        _forget_watcher(call, pid, {"link"})


def _unwatched(call: FunctionCall, pid: str, modes: set[str]) -> None:
    """The same for the one that was watched; a link goes on both sides."""
    _forget_watcher(call, pid, modes)
    if "link" in modes:
        _unwatch(call, pid, {"link"})


def _forget_watcher(call: FunctionCall, pid: str, modes: set[str]) -> None:
    left = call.bonds.watchers.get(pid)
    if left:
        left -= modes
        if not left:
            del call.bonds.watchers[pid]
