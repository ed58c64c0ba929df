"""A run driven by hand: feed events, read commands, answer services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.lua.services import RECORDED
from luaflow.lua.vm import Activation, BundleSource, Command, Engine, Run

MODULES = ("funcs", "time", "workflow", "json", "uuid", "logger", "ctx", "payload")
PID = "{client@app:worker|w1}"
INFO = {
    "workflow_id": "w1",
    "run_id": "r1",
    "workflow_type": "app:flow",
    "task_queue": "main",
    "namespace": "default",
    "attempt": 1,
    "pid": PID,
    "entry_id": "app:flow",
}
START_MS = 1_700_000_000_000


def source(
    code: str,
    *,
    modules: Sequence[str] = MODULES,
    imports: Mapping[str, BundleSource] | None = None,
    name: str = "flow.lua",
) -> BundleSource:
    """A bundle of one file."""
    return BundleSource("app:flow", code, name, "main", tuple(modules), dict(imports or {}))


def marker(name: bytes, *args: Any) -> tuple[Any, ...]:
    """What a worker answers, but for names of random values: those are foreseeable."""
    make = RECORDED.get(name.decode())
    if make is None:
        return (f"<{name.decode()}>",)
    value = make(*args)
    return (values.encode(value) if isinstance(value, (Failure, bytes)) else value,)


class Play:
    """A run of `code`, started; commands pile up in `commands`, the last step is in `last`."""

    def __init__(
        self,
        code: str | BundleSource,
        *args: Any,
        engine: Engine | None = None,
        kind: str = "workflow",
        info: Mapping[str, Any] | None = None,
        ctx: Mapping[str, Any] | None = None,
        replaying: bool = False,
        services: Mapping[str, Callable[..., tuple[Any, ...]]] | None = None,
        start: bool = True,
    ) -> None:
        bundle = code if isinstance(code, BundleSource) else source(code)
        self.engine = engine or Engine(bundle, kind=kind)
        self.run: Run = self.engine.open({**INFO, **(info or {})})
        self.run.replaying = replaying
        self.now, self.length, self.size = START_MS, 1, 100
        self.commands: list[Command] = []
        self.logs: list[tuple[str, str]] = []
        self.run.log = lambda level, text, _fields: self.logs.append((level, text.decode()))
        self.services: dict[str, Callable[..., tuple[Any, ...]]] = {
            "version": lambda _change, _low, high: (high, True),
            "marker": marker,
            "side_effect_lookup": lambda _seq: (False, None),
            "now": lambda: (self.now * 1_000_000,),
            **(services or {}),
        }
        self.asked: list[tuple[Any, ...]] = []
        if start:
            self.last: Activation = self.step(b"start", list(args), dict(ctx or {}))

    def step(self, op: bytes, *args: Any) -> Activation:
        """Feed one event one second later, answering services."""
        self.now += 1000
        self.length += 1
        self.size += 10
        out = self.run.step(op, self.now, self.length, self.size, *args)
        self.commands += out.commands
        while out.status == "service":
            assert out.service is not None
            self.asked.append(out.service)
            answer = self.services[out.service[0]](*out.service[1:])
            out = self.run.step(b"reply", self.now, self.length, self.size, *answer)
            self.commands += out.commands
        self.last = out
        return out

    def resolve(self, seq: int, value: Any = None) -> Activation:
        """Command `seq` ended well."""
        return self.step(b"resolve", seq, True, value)

    def fail(self, seq: int, **failure: Any) -> Activation:
        """Command `seq` failed."""
        return self.step(b"resolve", seq, False, failure)

    def row(
        self,
        topic: str,
        *payloads: Any,
        kind: str = "signal",
        update: str | None = None,
        sender: str = "{n@h|me}",
    ) -> list[Any]:
        """One message of a batch."""
        self.now += 1
        self.length += 1
        self.size += 50
        return [self.now, self.length, self.size, kind, topic, sender, list(payloads), update]

    def ahead(self, *rows: list[Any]) -> Activation:
        """Hand over a batch of messages without feeding them."""
        return self.step(b"ahead", list(rows))

    def message(self, topic: str, *payloads: Any, **how: Any) -> Activation:
        """Hand over one message and feed it."""
        self.ahead(self.row(topic, *payloads, **how))
        return self.step(b"message")

    def cancel(self, reason: str = "stop") -> Activation:
        """Ask the run to cancel."""
        return self.message("", reason, kind="cancel")

    @property
    def result(self) -> Any:
        """The decoded result; the run must be done."""
        assert self.last.status == "done", self.last
        return orjson.loads(self.last.result) if self.last.result else None

    @property
    def failure(self) -> dict[str, Any]:
        """The decoded failure; the run must have failed."""
        assert self.last.status == "failed", self.last
        assert self.last.failure is not None
        value: dict[str, Any] = orjson.loads(self.last.failure)
        return value

    def ops(self) -> list[str]:
        """The operations of all commands so far."""
        return [command.op for command in self.commands]


def result_of(code: str, *args: Any, **how: Any) -> Any:
    """The result of a workflow body that waits for nothing."""
    return Play("return function(...) " + code + "\nend", *args, **how).result
