"""What is not there any more, or never was: hosts, closed workflows, updates answered too early."""

from __future__ import annotations

from tests.processes.conftest import Stage
from tests.support.engine import within
from tests.support.mutants import kernel_mutant, proves, replaced

from luaflow.client.messages import Closed
from luaflow_worker import attempt, children


@proves(replaced(children, "check_name", lambda name, _: name))
async def test_a_host_that_is_no_worker_and_no_queue_is_refused(stage: Stage) -> None:
    """A workflow gets an error at once, and a function, too; nobody waits for such a child."""
    await stage.app(
        {
            "f": """
            local out = {}
            local pid, err = process.spawn("app:wf", "app:nobody", "x")
            out[1], out[2] = pid == nil, err:kind()
            for i, host in ipairs({ "app:nobody", "no name" }) do
              local kind, e = process.exec("app:parent", "app:worker", host)
              if e then return nil, e end
              out[2 + i] = kind
            end
            return out
            """
        },
        workflows={
            "wf": "return 1",
            "parent": """
            local pid, err = process.spawn("app:wf", ..., 1)
            if pid then return "started" end
            return err:kind()
            """,
        },
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == [True, "NotFound", "NotFound", "Invalid"]


@proves(replaced(attempt, "Closed", type("Nothing", (Closed,), {})))
async def test_a_closed_workflow_is_not_found(stage: Stage) -> None:
    """Functions and workflows see the same kind when what they send to has ended."""
    await stage.app(
        {
            "f": """
            local pid = process.spawn_monitored("app:wf", "app:worker")
            process.events():receive()
            local _, err = process.send(pid, "t", 1)
            local _, cancel = process.cancel(pid)
            local kind = process.exec("app:sender", "app:worker", pid)
            return { err:kind(), err:retryable(), cancel:kind(), kind }
            """
        },
        workflows={
            "wf": "return 1",
            "sender": 'local _, err = process.send(..., "t", 1) return err:kind()',
        },
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == ["NotFound", False, "NotFound", "NotFound"]


@proves(
    kernel_mutant(
        "modules/process",
        'ok = {accepted = "completed"}',
        'ok = {accepted = "completed", admitted = "completed"}',
    )
)
async def test_an_update_is_accepted_before_it_is_answered(stage: Stage) -> None:
    """``ok`` and ``error`` before ``ack`` are refused, and the update can still be answered."""
    await stage.app(
        {
            "f": """
            local pid = process.spawn("app:wf", "app:worker")
            local value, err = process.update(pid, "add", 4)
            if err then return nil, err end
            return value
            """
        },
        workflows={
            "wf": """
            local m = process.inbox():receive()
            local _, early = process.send(m:from(), "ok", 1)
            local _, bad = process.send(m:from(), "error", "no")
            process.send(m:from(), "ack")
            process.send(m:from(), "ok", { early and early:kind(), bad and bad:kind() })
            """
        },
    )
    await stage.engine.worker()
    assert await within(stage.call("f")) == ["Invalid", "Invalid"]
