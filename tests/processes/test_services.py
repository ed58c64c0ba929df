"""``process.service`` entries: started in order, kept, stopped (contract 1.5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.processes.conftest import Stage
from tests.support.engine import within
from tests.support.mutants import proves, replaced

from luaflow.errors import AlreadyExists, InvalidArgument, NotFound
from luaflow.registry.app import load_app
from luaflow_worker.node import Node
from luaflow_worker.process_services import ProcessServices, Restart, services_of

RUNS = """
local name = ...
process.send("top", "up", name, process.pid(), process.registry.lookup("app:" .. name))
local case = channel.select({process.events():case_receive(), process.inbox():case_receive()})
if case.channel == process.inbox() then
  if case.value:topic() == "give up" then return nil, "for good" end
  error("asked to fail")
end
process.send("top", "down", name)
"""
TOP = """
process.registry.register("top")
local inbox, out = process.inbox(), {}
for i = 1, ... do
  local m = inbox:receive()
  local p = m:payload()
  if m:topic() == "up" then
    process.send("gate", "up")
    out[i] = "up " .. p[1]:data()
    if p[2]:data() ~= p[3]:data() then out[i] = "its name is another's" end
  elseif m:topic() == "kill" then
    process.send("app:b", "fail")
    out[i] = "kill"
  else
    out[i] = "down " .. p:data()
  end
end
return out
"""
GATE = """
process.registry.register("gate")
local inbox = process.inbox()
for _ = 1, ... do inbox:receive() end
"""
CODE = {"p_runs": RUNS, "top": TOP, "gate": GATE}


def service(name: str, **lifecycle: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "process.service",
        "process": "p_runs",
        "host": "processes",
        "input": [name],
        "lifecycle": {"auto_start": True, **lifecycle},
    }


async def _begin(node: Node, name: str, n: int) -> asyncio.Task[Any]:
    """A function of the node that has registered its name."""
    task = asyncio.create_task(node.call(f"app:{name}", [n]))
    for _ in range(3):  # the call, its command, the answer
        await asyncio.sleep(0)
    assert name in node.processes.names.local
    return task


async def test_services_start_in_order_and_stop_in_reverse(stage: Stage) -> None:
    """Those others depend on first; without auto_start only where one depends on it."""
    entries = [
        service("c", depends_on=["b"]),
        service("b", depends_on=["app:a"]),
        service("a", auto_start=False),
        service("never", auto_start=False),
    ]
    await stage.app(CODE, entries=entries)
    node = await stage.node()
    top, gate = await _begin(node, "top", 6), await _begin(node, "gate", 3)
    services = ProcessServices(node)
    await services.start()
    await services.start()
    assert list(services.running) == ["app:a", "app:b", "app:c"]
    await within(gate)
    await services.stop()
    await services.stop()
    assert await within(top) == ["up a", "up b", "up c", "down c", "down b", "down a"]
    assert not services.running


def _gives_up(self: Restart, failures: int) -> float | None:
    return None


@proves(replaced(Restart, "pause", _gives_up))
async def test_a_service_that_fails_is_started_again(stage: Stage) -> None:
    """A new process with the service's name, after the pause of its policy."""
    again = {"initial_delay": "1ms", "max_delay": "2ms"}
    await stage.app(CODE, entries=[service("b", restart=again)])
    node = await stage.node()
    top, gate = await _begin(node, "top", 5), await _begin(node, "gate", 1)
    services = ProcessServices(node)
    await services.start()
    try:
        first = services.running["app:b"]
        await within(gate)
        (me,) = (c for c in node.processes.calls.values() if c.entry.id == "app:top")
        for _ in range(2):
            gate = await _begin(node, "gate", 1)
            await node.processes.post(
                {"kind": "message", "to": me.pid, "from": "", "topic": "kill", "input": []}
            )
            await within(gate)
        assert await within(top) == ["up b", "kill", "up b", "kill", "up b"]
        assert services.running["app:b"] is not first
    finally:
        await services.stop()


async def test_a_service_that_gives_up_stays_down(stage: Stage) -> None:
    """An error that is not retryable, and a termination, end it for good."""
    again = {"initial_delay": "1ms"}
    names = ["b", "c", "d"]
    code = {**CODE, "end": 'process.terminate("app:c") process.terminate("app:d")'}
    await stage.app(code, entries=[service(name, restart=again) for name in names])
    node = await stage.node()
    gate, top = await _begin(node, "gate", 3), await _begin(node, "top", 3)
    services = ProcessServices(node)
    await services.start()
    await within(top)
    await within(gate)
    made = services.running["app:b"]
    await node.processes.post(
        {"kind": "message", "to": made.pid, "from": "", "topic": "give up", "input": []}
    )
    await node.call("app:end", [])
    await within(made.ending())
    await within(asyncio.gather(*services._tasks.values()))
    assert not services.running
    await services.stop()


@pytest.mark.parametrize(
    ("failures", "options", "pause"),
    [
        (1, {}, 1.0),
        (3, {}, 4.0),
        (99, {}, 90.0),
        (2, {"factor": 3.0, "initial_ms": 10}, 0.03),
        (4, {"max_attempts": 4}, 8.0),
        (5, {"max_attempts": 4}, None),
    ],
)
def test_restart_policy(failures: int, options: dict[str, Any], pause: float | None) -> None:
    """1 s, doubled, up to 90 s, without end unless it is told."""
    assert Restart(jitter=0, **options).pause(failures) == pytest.approx(pause)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "x", "kind": "process.service", "host": "processes"}, "process is required"),
        ({**service("x"), "lifecycle": {"auto_start": True, "stop_timeout": "z"}}, "stop_timeout"),
        ({**service("x"), "lifecycle": []}, None),
        ({**service("x"), "lifecycle": "yes"}, "must be mappings"),
        ({**service("x"), "lifecycle": {"restart": {"jitter": "much"}}}, "jitter|float"),
        (service("x", depends_on=["x"]), "wait for each other: app:x -> app:x"),
    ],
)
async def test_entries_that_cannot_be_read(stage: Stage, entry: Any, words: str | None) -> None:
    """Refused with the place and the reason before anything starts."""
    await stage.app({"p_runs": RUNS}, entries=[entry])
    app = load_app(stage.engine.folder)
    if words is None:
        assert services_of(app) == []
        return
    with pytest.raises(InvalidArgument, match=words):
        services_of(app)


async def test_a_service_that_cannot_start_stops_the_others(stage: Stage) -> None:
    """Unknown process or host, a taken name: an error, and nothing runs."""
    broken = {**service("z"), "process": "nothing"}
    await stage.app(CODE, entries=[service("a"), broken])
    node = await stage.node()
    services = ProcessServices(node)
    with pytest.raises(NotFound, match="app:nothing"):
        await services.start()
    assert not services.running
    node.spawn("app:p_runs", "app:processes", ["x"], name="n")
    with pytest.raises(AlreadyExists, match="'n' is registered"):
        node.spawn("app:p_runs", "app:processes", ["x"], name="n")
