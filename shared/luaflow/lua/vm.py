"""The only room that imports lupa: one engine a bundle, one run a workflow, one event a step.

Everything that crosses is bytes, integers and booleans; JSON text carries all other values, and
Lua reads and writes it itself. Python keeps three kinds of Lua functions (configure/load, open,
step) and never a table of the user.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

from lupa import lua54 as _lupa

from luaflow.errors import LuaflowError
from luaflow.lua import files
from luaflow.lua.crossing import FAULTS, PREPARE
from luaflow.lua.values import PURE_SERVICES, to_json

MEMORY_BYTES: Final = 64 * 1024 * 1024
TOTAL_BYTES: Final = 256 * 1024 * 1024
CPU_SECONDS: Final = 1.0
ANSWERING_SECONDS: Final = 2.0
"""Of CPU time, for all that one activation asks Python and does with the answers."""

# native empties the real globals, so it comes first; each file uses only those before it.
ORDER: Final = """
native budget guard stable order patterns matcher strings packing tables maths libs
base errors decode shapes text objects codec run explain scheduler cancel queues channel mailbox
durations calendar zones layouts calls modules/logger modules/msgpack modules/json modules/time
modules/os modules/uuid modules/funcs modules/process modules/spawn modules/linking modules/lock
modules/saga modules/handlers modules/workflow load processes door
""".split()  # noqa: SIM905


class LoadError(LuaflowError):
    """The code of a bundle cannot be loaded."""


class ActivationFault(LuaflowError):
    """An activation was stopped from outside: the task fails, never the run.

    `reason` is "cpu", "memory", "weak" (a metatable asked for a weak table) or "kernel". The run
    must be thrown away and rebuilt by replay; after "memory" and "kernel" the engine too
    (`Engine.broken`).
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep why it was stopped."""
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class BundleSource:
    """The source of one entry and of the libraries it imports.

    `chunkname` is the file name that messages show; `modules` what `require` may find;
    `imports` maps an alias to a library. `method` is the exported function to run.
    """

    entry_id: str
    source: str | bytes
    chunkname: str = ""
    method: str = "main"
    modules: tuple[str, ...] = ()
    imports: Mapping[str, BundleSource] = field(default_factory=dict)


_new = tuple.__new__


class Command(NamedTuple):
    """What the code asks for: operation, number (per run, from 1), and its particulars.

    `data` is JSON (None while replaying), `extra` JSON of options; see the list of operations in
    `luaflow.replay`.
    """

    op: str
    seq: int
    name: bytes | None
    data: bytes | None
    extra: bytes | None


class Activation(NamedTuple):
    """What one step did.

    `status`: wait | more | again | done | failed | continued | service | ended.
    `more`: the decision is full (500 commands); the code goes on in the next one, fed b"more".
    `again`: of several outcomes some are left, to be fed by b"again".

    `result` (done) and `failure` (failed) are JSON; `service` is (name, values...) to be answered
    by `step(b"reply", ...)`; `ahead` counts the batch's messages not fed yet; `unread` the event
    ids of messages nobody took (done and failed).
    """

    status: str
    commands: list[Command]
    result: bytes | None = None
    failure: bytes | None = None
    service: tuple[Any, ...] | None = None
    ahead: int = 0
    unread: Sequence[int] = ()


Log = Callable[[str, bytes, bytes], None]
"""Takes a line of print or logger: level, message, fields as JSON."""


class Engine:
    """One Lua runtime for the code of one bundle; it holds any number of runs.

    An activation may use `cpu_seconds` of its thread and add `memory_bytes` to what is in use;
    the one after which all runs together keep more than `total_bytes` ends with a fault, too.
    Not thread safe. Raises LoadError with file and line for code that does not compile, or that
    lists a module its kind may not use.
    """

    def __init__(
        self,
        source: BundleSource,
        *,
        kind: str = "workflow",
        cpu_seconds: float = CPU_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        total_bytes: int = TOTAL_BYTES,
    ) -> None:
        self.source = source
        self.kind = kind
        self.broken = False
        runtime = _lupa.LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_filter=_refuse,
            max_memory=0,
        )
        self.disarm = runtime.set_max_memory
        self._door, self._run_file = _boot(
            runtime, kind, source, (cpu_seconds, memory_bytes, total_bytes)
        )
        self._files: set[str] = set()
        self._load(source)

    def open(self, info: Mapping[str, Any], *, log_replay: bool = False) -> Run:
        """Open a run with globals of its own.

        `info`: workflow_id, run_id (also the seed of math.random), workflow_type, task_queue,
        namespace, attempt, pid, entry_id, local_activities (entry ids run inside the task), trace
        (remember where commands are given, for `Run.line`).
        """
        run_id, locals_ = str(info["run_id"]).encode(), info.get("local_activities")
        ids = to_json(locals_) if locals_ else None
        text, trace = to_json(dict(info)), bool(info.get("trace"))
        return Run(self, self._door.open(run_id, text, ids, trace, log_replay))

    def check(self) -> None:
        """Run the top level of the code once; raise LoadError if it fails or has no `method`."""
        message = self._door.check()
        if message is not None:
            raise LoadError(_text(message))

    def _load(self, source: BundleSource) -> None:
        units: dict[int, BundleSource] = {}
        numbers: dict[int, int] = {}

        def visit(unit: BundleSource) -> int:
            if id(unit) in numbers:
                return numbers[id(unit)]
            number = numbers[id(unit)] = len(numbers) + 1
            units[number] = unit
            self._compile(number, unit)
            for alias, target in sorted(unit.imports.items()):
                self._door.bind(number, alias.encode(), visit(target))
            return number

        visit(source)

    def _compile(self, number: int, unit: BundleSource) -> None:
        code = unit.source if isinstance(unit.source, bytes) else unit.source.encode()
        name = unit.chunkname or unit.entry_id
        message = self._door.compile(
            number, unit.entry_id.encode(), name.encode(), code, unit.method.encode()
        )
        for module in unit.modules:
            for file in files.LATER.get(module, ()):
                if file not in self._files:
                    self._files.add(file)
                    self._run_file(f"modules/{file}")
            message = message or self._door.allow(number, module.encode())
        if message is not None:
            raise LoadError(_text(message))


class Run:
    """One run inside an engine.

    `replaying` mutes logs and leaves `Command.data` unwritten; `fresh` is to be set when a decision
    begins.
    """

    __slots__ = (
        "_since",
        "_step",
        "engine",
        "fresh",
        "log",
        "replaying",
    )

    def __init__(self, engine: Engine, step: Callable[..., Any]) -> None:
        self.engine = engine
        self.replaying = False
        self.fresh = True
        self.log: Log | None = None
        self._since = 0.0
        self._step = step

    def step(self, op: bytes, now_ms: int, length: int, size: int, *args: Any) -> Activation:
        """Feed one event (or the answer to a service) and run until every coroutine waits.

        Values are JSON text (bytes) or JSON-shaped Python values. Raises ActivationFault.
        """
        if op == b"reply":
            self._answered()
        else:
            self._since = 0.0
        prepare = PREPARE.get(op)
        if prepare is not None:
            args = prepare(*args)
        commands: list[Command] = []
        while True:
            try:
                out = self._step(op, now_ms, length, size, self.replaying, self.fresh, *args)
            except _lupa.LuaError as error:
                starved = isinstance(error, _lupa.LuaMemoryError)
                self._broken("memory" if starved else "kernel", str(error))
            self.fresh = False
            status, ahead, text, unread, count, values = out[:6]
            if not (type(ahead) is int and type(count) is int and type(values) is int):
                self._smuggled()
            end = 6 + 5 * count
            if count:
                self._read(out, end, commands)
            if status == b"wait" and len(out) == end:
                return Activation("wait", commands, None, None, None, ahead)
            if not _PLAIN.issuperset(map(type, (status, text, unread, *out[end:]))):
                self._smuggled()
            if len(out) > end + values:
                self._write_logs(out[end + values :])
            if status != b"service":
                return self._ended(status, commands, text, unread, ahead)
            name, *rest = out[end : end + values]
            if name not in PURE_SERVICES:
                return Activation("service", commands, None, None, (_text(name), *rest), ahead)
            self._answered()
            op, args = b"reply", (to_json(list(PURE_SERVICES[name](*rest))),)

    def stack(self) -> str:
        """Where every coroutine waits, one line each: file, line, what for."""
        return _text(self._step(b"stack"))

    def line(self, seq: int) -> str:
        """Where command `seq` was given (file:line), else the last one; '' in an untraced run."""
        return _text(self._step(b"line", seq))

    def unread(self) -> list[int] | None:
        """The event ids of messages nobody has taken; None when they are those of the last time."""
        text = self._step(b"unread")
        return None if text is None else [int(part) for part in text.split(b",") if part]

    def close(self) -> None:
        """Forget the run; its memory goes with the next collection."""
        self._step, self.log = _closed, None  # (whoever logs for it keeps it, too)

    def _answered(self) -> None:
        # Each answer begins a new budget, and making it is in none.
        now = time.thread_time()
        self._since = self._since or now
        if now - self._since > ANSWERING_SECONDS:
            self._fault(b"cpu", None)

    def _read(self, out: tuple[Any, ...], end: int, commands: list[Command]) -> None:
        for i in range(6, end, 5):
            name, seq, target, data, extra = out[i : i + 5]
            word = _WORDS.get(name) or (type(name) is bytes and _word(name))
            plain = type(target) in _TEXT and type(data) in _TEXT and type(extra) in _TEXT
            if not (word and plain and type(seq) is int):
                self._smuggled()
            # (a history has thousands: past the constructor, which is written in Python)
            commands.append(_new(Command, (word, seq, target, data, extra)))

    def _ended(
        self, status: bytes, commands: list[Command], text: Any, unread: Any, ahead: int
    ) -> Activation:
        if status == b"fault":
            self._fault(text, unread)
        if status in (b"wait", b"more", b"again"):
            return Activation(_text(status), commands, None, None, None, ahead)
        ids = [int(part) for part in unread.split(b",")] if unread else []
        if status == b"failed":
            return Activation("failed", commands, None, text, None, ahead, ids)
        return Activation(status.decode(), commands, text, None, None, ahead, ids)

    def _write_logs(self, flat: tuple[Any, ...]) -> None:
        if self.log is not None:
            for i in range(0, len(flat), 3):
                self.log(_text(flat[i]), flat[i + 1], flat[i + 2])

    def _fault(self, reason: bytes, message: bytes | None) -> NoReturn:
        word = _text(reason)
        text = FAULTS.get(word) or f"the engine failed: {_text(message or b'')}"
        if word in {"cpu", "weak"}:
            self.close()
            raise ActivationFault(word, f"{self.engine.source.entry_id}: {text}")
        self._broken(word, text)

    def _smuggled(self) -> NoReturn:
        # A Lua object would run its methods wherever Python touches it.
        self._broken("kernel", "the engine failed: what left it is no plain value")

    def _broken(self, reason: str, message: str) -> NoReturn:
        self.engine.disarm(0, True)
        self.engine.broken = True
        self.close()
        raise ActivationFault(reason, f"{self.engine.source.entry_id}: {message}")


_PLAIN: Final = frozenset((bytes, int, bool, type(None)))
_TEXT: Final = frozenset((bytes, type(None)))

_WORDS: Final[dict[bytes, str]] = {}


def _word(op: bytes) -> str:
    return _WORDS.setdefault(op, op.decode())


class _Door(NamedTuple):
    """The Lua functions that Python keeps of an engine."""

    compile: Callable[..., Any]
    allow: Callable[..., Any]
    bind: Callable[..., Any]
    open: Callable[..., Any]
    check: Callable[..., Any]


_DOOR: Final = b"""
local K, listed = ...
for name in K.native.string.gmatch(listed, "%S+") do K.load.later(name) end
return K.load.compile, K.load.allow, K.load.import, K.open, K.check
"""


# The only Python functions that Lua gets, for the kernel alone: code cannot reach them.
_LEND: Final = b"""
local K, arm, clock = ...
K.native.set_max_memory, K.native.thread_time = arm, clock
"""


def _boot(
    runtime: Any, kind: str, source: BundleSource, limits: tuple[float, int, int]
) -> tuple[_Door, Callable[[str], None]]:
    kernel = runtime.table()

    def run_file(name: str) -> None:
        runtime.execute(files.prelude_file(name), kernel, name=b"=luaflow/" + name.encode())

    for name in ORDER:
        run_file(name)
        if name == "native":
            runtime.execute(_LEND, kernel, runtime.set_max_memory, time.thread_time)
    configure = b"local K = ...; return K.configure"
    runtime.execute(configure, kernel)(kind.encode(), source.entry_id.encode(), *limits)
    return _Door(*runtime.execute(_DOOR, kernel, files.LISTED)), run_file


def _refuse(_object: object, _name: object, _setting: bool) -> NoReturn:
    raise AttributeError("access denied")


def _closed(*_args: object) -> NoReturn:
    raise LuaflowError("this run was closed: rebuild it by replay")


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
