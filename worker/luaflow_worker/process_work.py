"""What functions and processes do to others: spawn, exec, messages, monitors, links, names.

One coroutine for each operation of a command; ``function_work.WORK`` lists them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from luaflow.domain import values
from luaflow.errors import InvalidArgument, LuaflowError, NotFound, Refused
from luaflow.lua.vm import Command, LoadError
from luaflow.registry.app import App
from luaflow.registry.entries import CallableEntry, Entry, FunctionEntry
from luaflow_worker.attempt import Attempt, Outcome, failure_of_call
from luaflow_worker.function_calls import attempt_of
from luaflow_worker.processes import MODES, Watch, end_of

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall, FunctionHost

log = logging.getLogger(__name__)

MOST = 20_000
"""Functions and processes of one node; a spawn beyond is refused."""
HOSTS = ("process.host", "terminal.host")
"""Kinds of entries that processes run on."""


async def child(call: FunctionCall, command: Command) -> None:
    """Start a process or a workflow; wait for its end if the code does."""
    extra = orjson.loads(command.extra or b"{}")
    name = _text(command.name)
    entry = call.host.app.functions.get(name)
    try:
        if entry is None:
            await _workflow(call, command, extra)
        else:
            await _process(call, command, extra, entry)
    except (LuaflowError, ValueError) as error:
        failure = failure_of_call(error).to_json()
        call.feed(b"child_started", command.seq, None, failure)
        call.forget(command.seq)


async def _workflow(call: FunctionCall, command: Command, extra: dict[str, Any]) -> None:
    processes = call.host.processes
    check_no_host(call.host.app, str(extra.get("host")), _text(command.name))
    extra["context"] = {**call.attempt.context, **(extra.get("context") or {})}
    await processes.reachable()
    handle = await processes.world.spawn(command, extra, call.pid)
    pid = handle.pid or ""
    if watch := extra.get("watch"):
        await processes.watch_workflow(call, pid, MODES[watch], handle)
    call.feed(b"child_started", command.seq, pid, None)
    if extra.get("wait"):
        end = await end_of(handle)
        call.resolve(command.seq, end.ok, end.value)
    else:
        call.forget(command.seq)


async def _process(
    call: FunctionCall, command: Command, extra: dict[str, Any], entry: CallableEntry
) -> None:
    host, processes = call.host, call.host.processes
    check_host(host.app, call.entry, str(extra.get("host")), entry)
    assert isinstance(entry, FunctionEntry)
    if processes.world.connected:
        # its PID may leave as the result of an activity, or in a reply to somebody
        with contextlib.suppress(LuaflowError):
            await processes.reachable()
    mail = [(str(topic), rest) for topic, *rest in extra.get("messages") or [] if topic]
    name = extra.get("name")
    running = processes.names.local.get(name) if name else None
    if running is not None:
        await _join(call, command, extra, running, mail)
        return
    if len(processes.calls) >= MOST:
        raise Refused(f"{MOST} functions and processes run here already: wait for some of them")
    attempt = attempt_of(call.attempt, entry.id, command.data or b"[]", extra.get("context") or {})
    made = new_process(host, entry, attempt, str(extra["host"]), name=name)
    for mode in MODES.get(extra.get("watch") or "", ()):
        _bind(call, made, mode)
    end = processes.spawn(run_process(made, mail, call.pid))
    call.feed(b"child_started", command.seq, made.pid, None)
    if not extra.get("wait"):
        call.forget(command.seq)
        return
    _resolve(call, command.seq, await asyncio.shield(end))


async def _join(
    call: FunctionCall,
    command: Command,
    extra: dict[str, Any],
    pid: str,
    mail: list[tuple[str, list[Any]]],
) -> None:
    """The name is taken: the process that has it gets the messages, and is what was asked for."""
    processes = call.host.processes
    for topic, payloads in mail:
        await processes.send(call, pid, topic, orjson.dumps(payloads))
    for mode in MODES.get(extra.get("watch") or "", ()):
        await processes.watch(call, pid, mode)
    call.feed(b"child_started", command.seq, pid, None)
    found = processes.find(pid)
    if not extra.get("wait") or found is None:
        call.forget(command.seq)
        return
    _resolve(call, command.seq, await found.ending())


def _resolve(call: FunctionCall, seq: int, outcome: Outcome) -> None:
    if outcome.failure:
        call.resolve(seq, False, outcome.failure.to_json())
    else:
        call.resolve(seq, True, outcome.result)


def _bind(call: FunctionCall, other: FunctionCall, mode: str) -> None:
    """Let a process watch one that has not begun."""
    call.bonds.watching.setdefault(other.pid, Watch()).modes.add(mode)
    other.bonds.watchers.setdefault(call.pid, set()).add(mode)
    if mode == "link":
        other.bonds.watching.setdefault(call.pid, Watch()).modes.add(mode)
        call.bonds.watchers.setdefault(other.pid, set()).add(mode)


def check_no_host(app: App, host: str, name: str) -> None:
    """Refuse what is no process on a host of processes; `host` may be a task queue, too."""
    found = app.entries.get(host)
    if found is None or found.kind not in HOSTS:
        return
    if name in app.workflows:
        raise NotFound(
            f"{name} is a workflow and cannot run on {host!r}, which is a {found.kind}: name its"
            " worker"
        )
    raise NotFound(f"there is no process {name!r} in this app: {host!r} runs those of the app only")


def check_host(app: App, near: Entry, host: str, entry: Entry) -> None:
    """Refuse an entry that cannot run as a process, and a host that runs none."""
    if not isinstance(entry, FunctionEntry):
        raise InvalidArgument(f"{entry.id} is no Lua code: call it with funcs.call")
    found = app.entries.get(host if ":" in host else f"{near.namespace}:{host}")
    if found is None:
        raise NotFound(f"there is no host {host!r}: add an entry of kind process.host, or name it")
    if found.kind not in HOSTS:
        raise NotFound(
            f"{entry.id} is a process and cannot run on {host!r}, which is a {found.kind}: name an"
            " entry of kind process.host"
        )


def new_process(
    host: FunctionHost,
    entry: FunctionEntry,
    attempt: Attempt,
    place: str,
    *,
    name: str | None = None,
) -> FunctionCall:
    """A process that has not begun, registered under its name; LuaflowError when it cannot be."""
    made = host.new(entry, attempt, place)
    try:
        if name:
            host.processes.names.claim(name, made.pid, made)
        made.prepare()
    except LoadError as error:
        made.end(Outcome())
        raise InvalidArgument(error.message) from error
    except LuaflowError:
        made.end(Outcome())
        raise
    return made


async def run_process(
    made: FunctionCall, mail: Sequence[tuple[str, list[Any]]] = (), sender: str = ""
) -> Outcome:
    """Let a process live: its startup messages first, then its code, to its end."""
    for topic, payloads in mail:
        made.feed(b"deliver", topic.encode(), sender.encode(), orjson.dumps(payloads))
    made.start()
    outcome = made.outcome or await made.wait()
    failure = outcome.failure
    if failure and failure.kind != "Canceled":
        log.warning("process %s of %s failed: %s", made.pid, made.entry.id, failure.message)
    return outcome


async def signal(call: FunctionCall, command: Command) -> None:
    """Send a message to a process or a workflow."""
    topic = orjson.loads(command.extra or b"{}").get("topic", "")
    await call.host.processes.send(call, _text(command.name), topic, command.data or b"[]")
    call.resolve(command.seq, True, True)


async def cancel(call: FunctionCall, command: Command) -> None:
    """Ask a process or a workflow to end."""
    reason = orjson.loads(command.extra or b"{}").get("reason") or ""
    await call.host.processes.cancel(call, _text(command.name), reason)
    call.resolve(command.seq, True, True)


async def update(call: FunctionCall, command: Command) -> None:
    """Send an update to a workflow, or ask it a query; the code waits for the answer."""
    processes, name = call.host.processes, orjson.loads(command.extra or b"{}")["name"]
    pid, args = await processes.workflow(_text(command.name)), values.loads(command.data or b"[]")
    if command.op == "query":
        answer = await processes.world.query(pid, name, args)
    else:
        answer = await processes.world.update(pid, name, args, call.pid)
    call.resolve(command.seq, True, values.dumps(answer))


async def terminate(call: FunctionCall, command: Command) -> None:
    """End a process or a workflow at once."""
    await call.host.processes.terminate(call, _text(command.name))
    call.resolve(command.seq, True, True)


def _watching(op: str) -> Callable[[FunctionCall, Command], Coroutine[Any, Any, None]]:
    mode = op.removeprefix("un")

    async def work(call: FunctionCall, command: Command) -> None:
        processes, dest = call.host.processes, _text(command.name)
        if op == mode:
            await processes.watch(call, dest, mode)
        else:
            await processes.unwatch(call, dest, mode)
        call.resolve(command.seq, True, True)

    return work


async def register(call: FunctionCall, command: Command) -> None:
    """Give a name to a process."""
    extra, processes = orjson.loads(command.extra or b"{}"), call.host.processes
    pid, scope = str(extra["pid"]), int(extra["scope"])
    holder = processes.find(pid)
    if holder is None and processes.is_here(pid):
        raise NotFound(f"the process {pid} is not running")
    if scope:
        await processes.reachable()
    await processes.names.register(_text(command.name), pid, scope, holder or call)
    call.resolve(command.seq, True, True)


async def lookup(call: FunctionCall, command: Command) -> None:
    """Find who has a name."""
    pid = await call.host.processes.names.lookup(_text(command.name))
    call.resolve(command.seq, True, pid or False)


async def unregister(call: FunctionCall, command: Command) -> None:
    """Free a name."""
    scope = int(orjson.loads(command.extra or b"{}")["scope"])
    done = await call.host.processes.names.unregister(_text(command.name), scope, call.pid)
    call.resolve(command.seq, True, done)


PROCESS_WORK: dict[str, Callable[[FunctionCall, Command], Coroutine[Any, Any, None]]] = {
    "child": child,
    "signal": signal,
    "cancel": cancel,
    "update": update,
    "query": update,
    "terminate": terminate,
    "register": register,
    "lookup": lookup,
    "unregister": unregister,
    **{op: _watching(op) for op in ("monitor", "unmonitor", "link", "unlink")},
}
"""Operation of a command -> what carries it out."""


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")
