"""Payload codecs in a whole engine: nothing that a workflow is given or gives back is in Redis."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import Any

import pytest
import redis
from tests.support.engine import Engine, Make, within
from tests.support.mutants import proves, replaced

from luaflow.client.client import Client
from luaflow.codec import places
from luaflow.errors import Refused, WorkflowFailed

SECRET = "MARKER-7f3a"


def key() -> str:
    """A key as an environment variable has it."""
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One key, k1, in the environment."""
    monkeypatch.setenv("S7_KEY", key())
    monkeypatch.setenv("LUAFLOW_CODEC_KEYS", "k1:env:S7_KEY")
    return monkeypatch


def dumped(engine: Engine) -> dict[str, bytes]:
    """Every key of the namespace with all that it holds."""
    server = redis.Redis.from_url(engine.store.url)
    found: dict[str, bytes] = {}
    try:
        for name in server.scan_iter(f"*{engine.store.namespace}*", count=1000):
            kind = server.type(name)
            if kind == b"hash":
                held: Any = server.hgetall(name)
            elif kind == b"stream":
                held = server.xrange(name)
            elif kind == b"zset":
                held = server.zrange(name, 0, -1)
            elif kind == b"list":
                held = server.lrange(name, 0, -1)
            elif kind == b"set":
                held = server.smembers(name)
            else:
                held = server.get(name)
            found[name.decode()] = repr(held).encode()
    finally:
        server.close()
    return found


def nowhere(engine: Engine) -> None:
    """No key of the namespace has the secret in it, but the bundles, which are code."""
    for name, held in dumped(engine).items():
        assert SECRET.encode() not in held, (name, held)


ALL = """
local funcs, workflow, time = require("funcs"), require("workflow"), require("time")
function main(input)
    workflow.on_query("seen", function(x) return { input, x } end)
    workflow.on_update("set", function(x) return { was = x } end)
    workflow.set_view("shown", input)
    workflow.attrs({ memo = { later = input.text }, search = { status = "open" } })
    local out = { chance = workflow.side_effect(function() return input.text .. "!" end) }
    out.far = funcs.call("app:echo", input)
    out.near = funcs.call("app:near", input)
    out.child = workflow.exec("app:child", input)
    local twice = { initial_interval = 1, maximum_attempts = 2 }
    local caller = funcs.new():with_options({ ["activity.retry_policy"] = twice })
    local _, failed = caller:call("app:fails", input)
    out.failed = failed:message()
    local inbox = process.inbox()
    out.sent = inbox:receive():payload():data()
    if input.again then
        workflow.continue_as_new({ text = input.text, last = true })
    end
    return out
end
"""
CHILD = """
function main(input) return { child = input.text } end
"""


async def test_no_key_of_redis_has_what_a_workflow_is_given_or_gives_back(
    make_engine: Make, keys: pytest.MonkeyPatch
) -> None:
    """Inputs, results, markers, failures, memo, views, messages, answers; all of them right."""
    engine = await make_engine(codec="zlib+aes-gcm")
    await engine.deploy(
        {"flow": ALL, "child": CHILD},
        activities={
            "echo": "function main(x) return x end",
            "near": "function main(x) return x.text end",
            "fails": "function main(x) error('about ' .. x.text) end",
        },
        local=("near",),
    )
    await engine.worker()
    await engine.scheduler()
    given: dict[str, Any] = {"text": SECRET * 3, "n": 7}
    handle = await engine.start(
        "flow",
        given | {"again": True},
        options={"workflow.memo": {"note": SECRET}},
        context={"who": SECRET},
    )
    assert await within(handle.update("set", SECRET)) == {"was": SECRET}
    assert (await within(handle.query("seen", SECRET)))[1] == SECRET
    nowhere(engine)
    described = await handle.describe()
    assert described["memo"]["note"] == SECRET
    assert described["views"]["shown"]["text"] == given["text"]
    assert described["search_attributes"] == {"status": "open"}
    await handle.signal("go", {"said": SECRET})
    await handle.signal("go", {"said": SECRET})
    result = await within(handle.result())
    assert result["sent"] == {"said": SECRET}
    assert result["near"] == result["child"]["child"] == given["text"]
    assert result["chance"] == given["text"] + "!"
    assert given["text"] in result["failed"]
    raw = b"".join([event.raw async for event in handle.history()])
    assert raw.count(SECRET.encode()) > 10
    nowhere(engine)


async def test_a_failure_keeps_its_kind_and_gives_its_text_to_those_with_keys_alone(
    make_engine: Make, keys: pytest.MonkeyPatch
) -> None:
    engine = await make_engine(codec="aes-gcm")
    await engine.deploy({"fails": f"function main() error('{SECRET}' .. '-text') end"})
    await engine.worker()
    handle = await engine.start("fails")
    with pytest.raises(WorkflowFailed, match=f"{SECRET}-text"):
        await within(handle.result())
    for held in dumped(engine).values():
        assert f"{SECRET}-text".encode() not in held
    keys.delenv("LUAFLOW_CODEC_KEYS")
    async with await Client.connect(engine.store.url, engine.store.namespace) as blind:
        there = blind.get_handle(handle.workflow_id)
        with pytest.raises(WorkflowFailed, match="sealed: it is read where the keys are"):
            await within(there.result())
        shown = [event.to_json() async for event in there.history()]
        assert shown[-1]["failure"]["sealed"]["v"]["k"] == "k1"
        with pytest.raises(Refused, match="takes encrypted payloads only"):
            await blind.start("app:fails", 1)


@proves(replaced(places, "places", lambda *_: iter(())))
async def test_jobs_and_their_heartbeats(make_engine: Make, keys: pytest.MonkeyPatch) -> None:
    engine = await make_engine(codec="zlib+aes-gcm", lease_ms=600)
    await engine.deploy(
        {"idle": "function main() end"},
        activities={
            "work": """
            local activity = require("activity")
            function main(x)
                activity.heartbeat({ step = x })
                return { done = x }
            end"""
        },
    )
    first = await engine.client.enqueue("app:work", SECRET, queue="q", context={"c": SECRET})
    second = await engine.client.enqueue("app:work", SECRET * 50, queue="q")
    nowhere(engine)
    await engine.worker()
    assert await within(first.result()) == {"done": SECRET}
    assert await within(second.result()) == {"done": SECRET * 50}
    assert (await first.describe())["status"] == "completed"
    nowhere(engine)


async def test_a_schedule_starts_what_its_scheduler_cannot_read(
    make_engine: Make, keys: pytest.MonkeyPatch
) -> None:
    engine = await make_engine(codec="aes-gcm")
    await engine.deploy({"flow": "function main(x) return x end"})
    await engine.worker()
    schedule = await engine.client.create_schedule(
        "nightly", "app:flow", SECRET, cron="0 3 * * *", schedule_memo={"m": SECRET}
    )
    nowhere(engine)
    found = await schedule.describe()
    assert found["workflow"]["input"] == [SECRET]
    keys.delenv("LUAFLOW_CODEC_KEYS")
    await engine.scheduler()
    await schedule.trigger()
    async with asyncio.timeout(10):
        while not (running := (await schedule.describe())["recent_actions"]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    handle = engine.client.get_handle(running[0]["workflow_id"])
    assert await within(handle.result()) == SECRET
    nowhere(engine)
