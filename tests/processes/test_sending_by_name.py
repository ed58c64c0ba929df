"""A workflow sends to a registered name (contract 7.2): found when it sends, and recorded."""

from __future__ import annotations

from tests.processes.conftest import Stage
from tests.support.engine import within
from tests.support.mutants import mutant, proves, replaced

from luaflow_worker import engines, others

SENDER = """
local name, what = ...
local ok, err
if what == "cancel" then ok, err = process.cancel(name, "enough")
elseif what == "terminate" then ok, err = process.terminate(name)
else ok, err = process.send(name, "said", what, 2) end
if err then return nil, err end
return ok
"""


@proves(
    mutant(
        "includes/outbox_operations", "post(KEYS[tonumber(ARGV[i + 3])]", "(function() end)(KEYS[1]"
    ),
    replaced(others, "_LETTERS", {}),
)
async def test_a_process_is_told_by_its_name(stage: Stage) -> None:
    """A message, a cancel request and a terminate reach the process that has the name."""
    await stage.app(
        {
            "p_named": """
            local parent, name = ...
            local _, err = process.registry.register(name, nil, process.registry.EVENTUAL)
            if err then return nil, err end
            process.send(parent, "there")
            local got, events = process.listen("said"):receive(), process.events()
            local e = events:receive()
            process.send(parent, "cancelled", got, e.kind, e.reason)
            events:receive()
            """,
            "f": """
            local there, cancelled = process.listen("there"), process.listen("cancelled")
            local pid = process.spawn_monitored("app:p_named", HOST, process.pid(), "joe")
            there:receive()
            local out = {}
            for i, what in ipairs({ "hello", "cancel", "terminate" }) do
              local ok, err = process.exec("app:sender", "app:worker", "joe", what)
              if err then return nil, err end
              out[i] = ok
              if what == "cancel" then out.heard = cancelled:receive() end
            end
            local e = process.events():receive()
            local _, gone = process.exec("app:sender", "app:worker", "nobody", "hello")
            return { out[1], out[2], out[3], out.heard, e.result.error:kind(), gone:kind(),
              gone:message() }
            """,
        },
        workflows={"sender": SENDER},
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == [
        True,
        True,
        True,
        [["hello", 2], "pid.cancel", "enough"],
        "Canceled",
        "NotFound",
        "could not resolve 'nobody' as PID or registered name",
    ]


async def test_a_workflow_is_told_by_its_name(stage: Stage) -> None:
    """A name may be a workflow's, too."""
    await stage.app(
        {
            "f": """
            local pid = process.spawn_monitored("app:wf", "app:worker")
            local _, err = process.registry.register("flow", pid, process.registry.STRONG)
            if err then return nil, err end
            local _, failed = process.exec("app:sender", "app:worker", "flow", "hello")
            if failed then return nil, failed end
            return process.events():receive().result.value
            """
        },
        workflows={"sender": SENDER, "wf": 'return process.listen("said"):receive()'},
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == ["hello", 2]


@proves(replaced(engines, "known_here", lambda _namespace, _name: None))
async def test_a_name_of_this_os_process_is_known_to_its_workflows(stage: Stage) -> None:
    """LOCAL is the scope that a name has unless another is given."""
    await stage.app(
        {
            "f": """
            local said = process.listen("said")
            local _, err = process.registry.register("me")
            if err then return nil, err end
            local _, failed = process.exec("app:sender", "app:worker", "me", "hello")
            if failed then return nil, failed end
            return said:receive()
            """
        },
        workflows={"sender": SENDER},
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == ["hello", 2]
