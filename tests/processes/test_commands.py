"""The command lines around processes: ``luaflow call`` in a process of its own, ``luaflow dev``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import orjson
from tests.cli.test_cli_dev import running
from tests.processes.conftest import Stage
from tests.support.apps import HEAD, WORKFLOW, write_app
from tests.support.engine import within

from luaflow.client import Client


async def _luaflow(stage: Stage, *words: str) -> tuple[int, Any]:
    store = stage.engine.store
    where = (
        "--redis",
        store.url,
        "--namespace",
        store.namespace,
        "--app",
        str(stage.engine.folder),
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("LUAFLOW")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "luaflow_cli.main", *words, *where, "-o", "json"),
        env=env,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, orjson.loads(out)


async def test_a_called_function_talks_to_a_workflow_of_another_process(stage: Stage) -> None:
    """It spawns the workflow, is answered by it, hears of its end; the worker is elsewhere."""
    await stage.app(
        {
            "p_echo": "local m = process.inbox():receive() return m:payload():data()",
            "f": """
            local pid, err = process.spawn_monitored("app:wf", "app:worker", ...)
            if err then return nil, err end
            process.send(pid, "ask", 20)
            local answer = process.inbox():receive()
            local echo = process.spawn_monitored("app:p_echo", HOST)
            local first = process.events():receive()
            process.send(echo, "x", answer:payload():data() + 1)
            local second = process.events():receive()
            return { answer:from() == pid, first.result.value, second.result.value }
            """,
        },
        workflows={
            "wf": """
            local m = process.inbox():receive()
            process.send(m:from(), "answer", m:payload():data() * 2)
            return ...
            """
        },
    )
    await stage.engine.worker()
    code, answer = await within(_luaflow(stage, "call", "app:f", '"arg"'))
    assert (code, answer["status"]) == (0, "completed")
    assert answer["result"] == [True, "arg", 41]


async def test_a_call_without_a_server_needs_none(stage: Stage, tmp_path: Path) -> None:
    """Processes, messages and names of one node work with nobody around."""
    await stage.app(
        {
            "p_echo": "local m = process.inbox():receive() return m:payload():data()",
            "f": """
            process.registry.register("me")
            local named = process.with_context({}):with_name("echo")
            local pid = named:spawn_monitored("app:p_echo", HOST)
            process.send("echo", "x", process.registry.lookup("me") == process.pid())
            local e = process.events():receive()
            local _, none = process.registry.lookup("echo")
            local _, nobody = process.send("echo", "x")
            return { e.result.value, none:message(), nobody:message() }
            """,
        }
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("LUAFLOW")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "luaflow_cli.main", "call", "app:f", "-o", "json"),
        *("--app", str(stage.engine.folder), "--redis", "redis://localhost:1"),
        env=env,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert orjson.loads(out)["result"] == [
        True,
        "name not registered",
        "could not resolve 'echo' as PID or registered name",
    ]


SERVICE = """\
  - name: hosts
    kind: process.host
  - name: starter
    kind: process.lua
    method: main
    source: file://starter.lua
  - name: keeper
    kind: process.service
    process: starter
    host: hosts
    lifecycle: {auto_start: true}
"""
STARTER = """
local function main()
  local pid = process.with_context({}):with_name("made"):spawn("app:wf", "app:worker", "by it")
  print("the starter has started it")
  process.send(pid, "go", process.id())
  process.events():receive()
end
return {main = main}
"""
FLOW = """
local function main(a)
  return { a, (process.listen("go"):receive()) }
end
return {main = main}
"""


async def test_dev_runs_the_services_of_its_app(tmp_path: Path) -> None:
    """What it started is at work when dev says that it is ready, and ends with it."""
    files: dict[str, str | bytes] = {
        "src/app.yaml": HEAD + WORKFLOW + SERVICE,
        "src/wf.lua": FLOW,
        "src/starter.lua": STARTER,
    }
    async with running(write_app(tmp_path, files)) as dev:
        url = await dev.url()
        async with await Client.connect(url, "default") as client:
            await dev.until("the starter has started it")
            handle = client.get_handle("made")
            assert await handle.result(timeout=20) == ["by it", "app:starter"]
