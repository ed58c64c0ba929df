"""A run that was ended with messages it never decided on can still be asked."""

from __future__ import annotations

from tests.support.engine import Engine, until, within
from tests.support.mutants import proves, replaced

from luaflow_worker import asks

COUNTER = """
local workflow = require("workflow")
local function main()
    local heard = 0
    workflow.on_query("heard", function() return heard end)
    local box = process.listen("s")
    while true do
        box:receive()
        heard = heard + 1
    end
end
"""


@proves(replaced(asks, "CLOSING", {}))
async def test_what_a_terminated_run_never_read_keeps_no_question_waiting(engine: Engine) -> None:
    """It is asked as it ended: what it had not decided on, it will never decide on."""
    await engine.deploy({"counter": COUNTER})
    worker = await engine.worker()
    handle = await engine.start("counter")
    await handle.signal("s")
    await within(handle.query("heard"))
    await engine.retire(worker)
    await handle.signal("s")
    await handle.terminate()
    await until(engine, handle, "WorkflowExecutionTerminated")
    await engine.worker()
    assert await within(handle.query("heard", timeout=2)) == 1
