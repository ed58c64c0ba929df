"""What runs where: processes on hosts, workflows on workers."""

from __future__ import annotations

from tests.processes.conftest import Stage
from tests.support.mutants import proves, replaced

from luaflow_worker import process_work


@proves(replaced(process_work, "check_no_host", lambda _app, _host, _name: None))
async def test_a_host_of_processes_runs_no_workflow_and_nothing_unknown(stage: Stage) -> None:
    """The code is told what the entry is, and that a name is nobody's."""
    await stage.app(
        {
            "p_one": "return 1",
            "f": """
            local out = {}
            for _, id in ipairs({ "app:wf", "app:none" }) do
              local pid, err = process.spawn(id, HOST)
              local value, same = process.exec(id, HOST)
              local alike = err:message() == same:message()
              out[#out + 1] = { pid == nil, value == nil, err:kind(), alike, err:message() }
            end
            return out
            """,
        },
        workflows={"wf": "return 1"},
    )
    host = "'app:processes'"
    words = (
        f"app:wf is a workflow and cannot run on {host}, which is a process.host: name its worker",
        f"there is no process 'app:none' in this app: {host} runs those of the app only",
    )
    assert await stage.call("f") == [[True, True, "NotFound", True, text] for text in words]
