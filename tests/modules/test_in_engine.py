"""Modules in whole runs: what is recorded replays, what is computed needs no event."""

from __future__ import annotations

from typing import Any

import orjson
from tests.support.engine import Engine

FLOW = """local crypto, hash, yaml, json = require("crypto"), require("hash"), require("yaml"),
    require("json")
local base64, time, funcs = require("base64"), require("time"), require("funcs")
local function main(text)
    local key = hash.sha256(text, true)
    local sealed = crypto.encrypt.aes(text, key)
    local doc = yaml.decode(yaml.encode({ text = text, sum = hash.md5(text) }))
    local valid = json.validate({ type = "object", required = { "sum" } }, doc)
    local zone = time.load_location("Europe/Berlin")
    local before = time.now():in_location(zone):format(time.RFC3339)
    local opened, err = funcs.call("app:open", base64.encode(sealed), base64.encode(key))
    if err then return nil, err end
    local token = crypto.jwt.encode({ sub = opened }, key)
    return { opened, doc.sum, valid, crypto.jwt.verify(token, key, "HS256", false).sub,
        #crypto.random.bytes(8), before:sub(-6), crypto.decrypt.aes(sealed, key) }
end
return { main = main }
"""
OPEN = """local crypto, base64, env = require("crypto"), require("base64"), require("env")
local function main(sealed, key)
    local text, err = crypto.decrypt.aes(base64.decode(sealed), base64.decode(key))
    if err then return nil, err end
    return env.get("PREFIX") .. text
end
return { main = main }
"""


def entries() -> list[dict[str, Any]]:
    """A worker, a workflow and an activity that use many modules."""
    flow = ["crypto", "hash", "yaml", "json", "base64", "time", "funcs"]
    return [
        {"name": "client", "kind": "temporal.client", "address": "redis://localhost:6379"},
        {"name": "worker", "kind": "temporal.worker", "client": "client", "task_queue": "q"},
        {"name": "flow", "kind": "workflow.lua", "source": "file://flow.lua", "modules": flow}
        | {"method": "main", "meta": {"temporal": {"workflow": {"worker": "worker"}}}},
        {"name": "open", "kind": "function.lua", "source": "file://open.lua", "method": "main"}
        | {"modules": ["crypto", "base64", "env"]}
        | {"meta": {"temporal": {"activity": {"worker": "worker"}}}},
        {"name": "fixed", "kind": "env.storage.static", "values": {"PREFIX": "> "}},
        {"name": "prefix", "kind": "env.variable", "variable": "PREFIX", "storage": "fixed"},
    ]


async def test_a_run_with_many_modules(engine: Engine) -> None:
    """It completes, and its history holds the recorded values by name; the fixture replays it."""
    engine.folder.mkdir(exist_ok=True)
    (engine.folder / "flow.lua").write_text(FLOW)
    (engine.folder / "open.lua").write_text(OPEN)
    index = {"version": "1.0", "namespace": "app", "entries": entries()}
    (engine.folder / "_index.json").write_bytes(orjson.dumps(index))
    await engine.deploy()
    await engine.worker()
    handle = await engine.client.start("app:flow", "text")
    opened, total, valid, sub, size, offset, again = await handle.result()
    assert (opened, total) == ("> text", "1cb251ec0d568de6a929b520c4aed8d1")
    assert (valid, sub, size, again) == (True, "> text", 8, "text")
    assert offset in ("+01:00", "+02:00")
    markers = [e.body["marker"] async for e in handle.history() if e.type == "MarkerRecorded"]
    assert markers == [
        "crypto.encrypt",
        "yaml.encode",
        "yaml.decode",
        "json.validate",
        "time.zone",
        "crypto.jwt.verify",
        "crypto.random.bytes",
    ]
