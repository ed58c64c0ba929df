"""What happens in one seed: which workflows there are, what each does, what clients do to them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

DAY_MS = 86_400_000
PID = "{app:client@app:worker|%s}"


@dataclass
class Op:
    """One thing a client does, after a pause; ``target`` is a workflow id, or a job's."""

    kind: str
    target: str
    pause: float
    how: dict[str, Any] = field(default_factory=dict)


@dataclass
class Plan:
    """A whole scenario."""

    partitions: int
    lease_ms: int
    sticky_ms: int
    workers: list[dict[str, Any]]
    schedulers: int
    sweep: float
    clients: list[list[Op]]
    features: Counter[str]


class Writer:
    """Draws stories; ``features`` counts what is in them."""

    def __init__(self, chance: random.Random, *, crowded: bool = False) -> None:
        """``crowded``: much of the same kind is under way together."""
        self.chance = chance
        self.crowded = crowded
        self.features: Counter[str] = Counter()
        self.ids: list[str] = []
        self._values = 0
        self._children = 0

    def value(self) -> int:
        """A number nobody else has."""
        self._values += 1
        return self._values

    def spec(self) -> dict[str, Any]:
        """What an activity does."""
        chance = self.chance
        found: dict[str, Any] = {"v": self.value()}
        if chance.random() < 0.4:
            found["ms"] = chance.choice((5, 30, 300, 1500))
        if self.crowded:
            found["ms"] = 1500
        if chance.random() < 0.2:
            found["fails"] = chance.randint(1, 2)
            self.features["retry"] += 1
        if chance.random() < 0.05:
            found["wrong"] = True
        if chance.random() < 0.05:
            found |= {"ms": 3000, "beat": True}
            self.features["heartbeat"] += 1
        return found

    def options(self) -> dict[str, Any] | None:
        """Options of an activity, mostly none."""
        kind = self.chance.choice(["none"] * 6 + ["s2c", "attempts", "beat", "s2e"])
        self.features[f"options {kind}"] += 1
        found: dict[str, dict[str, Any]] = {
            "s2c": {"activity.start_to_close_timeout": "1s"},
            "attempts": {"activity.retry_policy": {"maximum_attempts": 2, "initial_interval": 200}},
            "beat": {"activity.heartbeat_timeout": "2s"},
            "s2e": {"activity.schedule_to_close_timeout": "20s"},
        }
        return found.get(kind)

    def call(self, fn: str = "") -> dict[str, Any]:
        """The part of a step that calls an activity."""
        fn = fn or self.chance.choice(("app:work", "app:work", "app:work", "app:quick"))
        found: dict[str, Any] = {"fn": fn, "spec": self.spec()}
        if fn == "app:work" and (options := self.options()):
            # without these a timeout would be repeated for ever
            options.setdefault("activity.retry_policy", {"maximum_attempts": 4})
            found["options"] = options
        return found

    def step(self, depth: int) -> dict[str, Any]:
        """One step of a story."""
        chance = self.chance
        ops = (
            ["call"] * 3
            + ["chain"] * 3
            + [
                "all",
                "race",
                "sleep",
                "take",
                "take",
                "poll",
                "self",
                "send",
                "side",
            ]
        )
        ops += ["version", "attrs", "fork", "lock"]
        if depth < 1:
            ops += ["child", "spawn", "again", "again"]
        op = chance.choice(ops)
        self.features[op] += 1
        return {"op": op, **self._part(op, depth)}

    def _part(self, op: str, depth: int) -> dict[str, Any]:
        """What a step has besides its name."""
        chance = self.chance
        if op in {"self", "side", "attrs"}:
            return {"value": self.value()}
        if op == "sleep":
            return {"ms": chance.choice((0, 10, 300, 2000, DAY_MS, 40 * DAY_MS))}
        if op == "take":
            return {"count": chance.randint(1, 3), "ms": chance.choice((300, 4000))}
        if op == "send":
            more = [self.value() for _ in range(3 if self.crowded else 0)]
            return {"to": PID % chance.choice(self.ids), "values": [self.value(), *more]}
        if op in {"child", "spawn"}:
            return self._child(op, depth)
        return self._calls(op)

    def _calls(self, op: str) -> dict[str, Any]:
        """The activities of a step."""
        chance = self.chance
        match op:
            case "call":
                return self.call()
            case "chain":
                # at once, one after the other: each is a fused step
                specs = [{"v": self.value()} for _ in range(chance.randint(3, 6))]
                return {"specs": [s | {"ms": 1500} for s in specs] if self.crowded else specs}
            case "all":
                specs = [self.spec() for _ in range(chance.randint(2, 4))]
                return {"fn": "app:work", "specs": specs}
            case "race":
                return self.call("app:work") | {"ms": chance.choice((20, 400))}
            case "fork":
                kinds = ("", "app:quick", "")
                sides = [kinds[: chance.randint(1, 3)] for _ in range(2)]
                return {"sides": [[{"op": "call", **self.call(fn)} for fn in s] for s in sides]}
            case "lock":
                waits = chance.choice((500, 30_000))
                release = chance.random() < 0.7
                return {"key": "desk", "ms": waits, "spec": self.spec(), "release": release}
        return {}

    def _child(self, op: str, depth: int) -> dict[str, Any]:
        story = self.story(depth + 1)
        if op == "child":
            return {"story": story}
        self._children += 1
        policy = self.chance.choice(("terminate", "abandon", "request_cancel"))
        self.features[f"close policy {policy}"] += 1
        return {"id": f"child{self._children}", "story": story, "policy": policy}

    def story(self, depth: int = 0) -> dict[str, Any]:
        """The input of a workflow."""
        chance = self.chance
        steps = [self.step(depth) for _ in range(chance.randint(1, 4 if depth else 7))]
        if chance.random() < 0.6:
            steps.append({"op": "drain"})
            self.features["drain"] += 1
        elif chance.random() < 0.2:
            steps.append({"op": "fail"})
        return {"steps": steps, "interrupt": chance.random() < 0.3}


def draw(chance: random.Random, *, crowded: bool = False) -> Plan:
    """Draw the scenario of a seed."""
    writer = Writer(chance, crowded=crowded)
    writer.ids = [f"w{n}" for n in range(chance.randint(2, 5))]
    workers = [{"role": "all", "cache": chance.choice((1000, 1000, 2, 0))} for _ in range(2)]
    if chance.random() < 0.2:
        workers[0]["role"], workers[1]["role"] = "workflow", "activity"
        workers.append({"role": "all", "cache": 1000})
    clients: list[list[Op]] = [[], []]
    for workflow in writer.ids:
        clients[chance.randrange(2)] += _life(writer, workflow)
    clients = [ops + list(_more(writer)) for ops in clients]
    return Plan(
        partitions=chance.choice((1, 1, 2, 4)),
        lease_ms=chance.choice((2000, 3000, 6000)),
        sticky_ms=chance.choice((400, 2000)),
        workers=workers,
        schedulers=chance.choice((1, 1, 2)),
        sweep=chance.choice((3.0, 8.0)),
        clients=clients,
        features=writer.features,
    )


def _life(writer: Writer, workflow: str) -> list[Op]:
    """A start, and perhaps what follows it at once."""
    chance = writer.chance
    type_ = chance.choice(("story", "story", "story", "story", "narrow"))
    how: dict[str, Any] = {"type": type_, "story": writer.story(), "options": {}}
    writer.features[f"type {type_}"] += 1
    if chance.random() < 0.15:
        how["options"]["workflow.id_conflict_policy"] = chance.choice(("use_existing", "fail"))
    if chance.random() < 0.1:
        how["options"]["workflow.retry_policy"] = {"maximum_attempts": 2, "initial_interval": 300}
        writer.features["run retried"] += 1
    if chance.random() < 0.1:
        how["options"]["workflow.run_timeout"] = "3s"
        writer.features["run timeout"] += 1
    if chance.random() < 0.3:
        how["messages"] = [writer.value() for _ in range(chance.randint(1, 2))]
        writer.features["start with messages"] += 1
    return [Op("start", workflow, chance.uniform(0, 0.3), how)]


def _more(writer: Writer) -> Iterator[Op]:
    """What a client does to the workflows, in some order."""
    chance = writer.chance
    kinds = (
        ["signal"] * 5
        + ["burst"] * 4
        + ["update"] * 3
        + ["query", "cancel", "cancel", "terminate", "job", "again"]
    )
    for _ in range(chance.randint(4, 10)):
        kind, target = chance.choice(kinds), chance.choice(writer.ids)
        pause = chance.choice((0.0, 0.0, chance.uniform(0, 0.3), chance.uniform(0, 2)))
        how: dict[str, Any] = {"value": writer.value()}
        if kind == "terminate" and chance.random() < 0.4:
            kind = "signal"
        if kind == "update":
            how["slow"] = chance.random() < 0.3
            how["refused"] = chance.random() < 0.1
            how["times"] = 3 if writer.crowded else 1
        if kind == "burst":
            how["values"] = {
                str(writer.value()): chance.choice(writer.ids) for _ in range(chance.randint(2, 5))
            }
        if kind == "job":
            how["spec"] = writer.spec() | {"wrong": False}
            target = f"job{how['value']}"
        if kind == "again":
            how |= {"story": writer.story(1), "type": "story"}
            policy = chance.choice(("terminate_existing", "use_existing"))
            how["options"] = {"workflow.id_conflict_policy": policy}
            how["messages"] = [writer.value()]
            writer.features[f"conflict {policy}"] += 1
        writer.features[f"client {kind}"] += 1
        yield Op(kind, target, pause, how)
