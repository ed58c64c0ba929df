"""The command line and the HTTP API without keys: they say what is missing, or show what stands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.codec.test_border import SECRET, key
from tests.codec.test_kept import without_keys
from tests.protocol.test_archive import leave
from tests.support.commands import Answer, Commands
from tests.support.engine import Engine, Make, until, within
from tests.web.support_web import LOCAL, Served

from luaflow.errors import WorkflowFailed
from luaflow.store.store import Store
from luaflow_web.api import ROOT

FLOW = """
local workflow = require("workflow")
function main(x)
    workflow.on_query("seen", function() return x end)
    workflow.on_update("set", function(y) return y end)
    workflow.set_view("shown", x)
    workflow.attrs({ memo = { note = x } })
    local told = process.listen("go"):receive()
    return { x, told }
end
"""
FAILS = """
function main(x)
    return nil, errors.new({ message = x, kind = "Conflict", details = { why = x } })
end
"""
NEEDS = "key 'k1'"
REFUSED = "takes encrypted payloads only"


@pytest.fixture
async def blind(make_engine: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    """Runs that are open, failed, archived, a job, a schedule; then the keys are taken away."""
    monkeypatch.setenv("S7_KEY", key())
    monkeypatch.setenv("LUAFLOW_CODEC_KEYS", "k1:env:S7_KEY")
    engine = await make_engine(
        codec="zlib+aes-gcm",
        payload_store=(tmp_path / "large").as_uri(),
        offload_bytes=500,
        archive=(tmp_path / "archive").as_uri(),
    )
    await engine.deploy(
        {"flow": FLOW, "fails": FAILS}, activities={"work": "function main(x) return x end"}
    )
    await engine.worker()
    started = [await engine.start("flow", SECRET * 100, id=name) for name in ("open", "kept")]
    failed = await engine.start("fails", SECRET, id="failed")
    with pytest.raises(WorkflowFailed):
        await within(failed.result())
    await started[1].signal("go", SECRET)
    await within(started[1].result())
    await until(engine, started[0], "WorkflowTaskCompleted")
    job = await engine.client.enqueue("app:work", SECRET, queue="q", id="job")
    await within(job.result())
    await engine.client.create_schedule("nightly", "app:flow", SECRET, cron="0 3 * * *")
    async with without_keys(engine) as carrier:
        assert not await leave(carrier, started[1])
    monkeypatch.delenv("LUAFLOW_CODEC_KEYS")
    return engine


COMMANDS: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("workflow", "describe", "-w", "open"), 0, "sealed"),
    (("workflow", "describe", "-w", "kept"), 0, "sealed"),
    (("workflow", "describe", "-w", "failed"), 0, "failed"),
    (("workflow", "show", "-w", "open"), 0, "sealed"),
    (("workflow", "show", "-w", "kept"), 0, "sealed"),
    (("workflow", "show", "-w", "failed"), 0, "sealed"),
    (("workflow", "result", "-w", "kept"), 1, NEEDS),
    (("workflow", "result", "-w", "failed"), 1, "Conflict: sealed"),
    (("workflow", "query", "-w", "open", "-n", "seen", "-i", "1"), 5, REFUSED),
    (("workflow", "query", "-w", "open", "-n", "shown"), 1, NEEDS),
    (("workflow", "query", "-w", "kept", "-n", "shown"), 1, NEEDS),
    (("workflow", "update", "-w", "open", "-n", "set", "-i", "1"), 5, REFUSED),
    (("workflow", "signal", "-w", "open", "-n", "go", "-i", "1"), 5, REFUSED),
    (("workflow", "start", "-t", "app:flow", "-i", "1"), 5, REFUSED),
    (("workflow", "list"), 0, "open"),
    (("workflow", "list", "--archived"), 0, "kept"),
    (("workflow", "count"), 0, "2"),
    (("schedule", "describe", "-s", "nightly"), 0, "sealed"),
    (("schedule", "list"), 0, "nightly"),
)


async def test_the_command_line(blind: Engine) -> None:
    """No command ends in an error that nobody foresaw; none tells a secret."""
    commands = Commands(blind.store.url, blind.store.namespace)
    wrong = []
    for words, code, says in COMMANDS:
        for more in ((), ("-o", "json")):
            answer: Answer = await asyncio.to_thread(commands, *words, *more)
            text = answer.out + answer.err
            bad = answer.code != code or (says not in text and not more)
            if bad or SECRET in text or "unexpected" in text or "Traceback" in text:
                wrong.append((words, more, answer.code, answer.out[-300:], answer.err[-300:]))
    assert not wrong, wrong


async def test_the_http_api(blind: Engine) -> None:
    """It answers with what stands, or with a problem and a status; never with 500."""
    mine, blind.store = blind.store, await Store.open(blind.store.url, blind.store.namespace)
    runs = f"{ROOT}/workflows"
    said: list[tuple[int, Any]] = []
    try:
        async with Served(blind, None, api=LOCAL) as http:
            for method, path, body in (
                ("GET", "open", None),
                ("GET", "kept", None),
                ("GET", "kept/result", None),
                ("GET", "kept/history", None),
                ("GET", "failed/result", None),
                ("GET", "failed/history", None),
                ("POST", "open/query", {"name": "shown"}),
                ("POST", "open/query", {"name": "seen", "input": 1}),
                ("POST", "open/update", {"name": "set", "input": 1}),
                ("POST", "open/signal", {"name": "go", "input": 1}),
            ):
                more = {} if body is None else {"json": body}
                said.append(await http.json(method, f"{runs}/{path}", **more))
            said.append(await http.json("GET", runs))
            said.append(await http.json("POST", runs, json={"type": "app:flow", "args": [1]}))
    finally:
        await blind.store.close()
        blind.store = mine
    assert SECRET not in str(said)
    statuses = [status for status, _ in said]
    assert statuses == [200, 200, 409, 200, 200, 200, 409, 409, 409, 409, 200, 409], said
    assert NEEDS in said[2][1]["error"]["message"]
    assert REFUSED in said[9][1]["error"]["message"]
