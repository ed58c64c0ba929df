"""Traces and logs of real processes: one trace across workers, lines that machines read."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.conftest import NAMESPACE, World
from tests.support.processes import Fleet, Gate, Program
from tests.support.spans import Spans, hex_of, needs_sdk, spans, trace_of

from luaflow import Client
from luaflow.deploy import deploy
from luaflow.embedded import EmbeddedServer
from luaflow.registry.app import load_app
from luaflow.store.link import Link

__all__ = ["spans"]

SHOP = """
namespace: app
entries:
  - {name: client, kind: temporal.client, address: "redis://localhost:6379"}
  - {name: worker, kind: temporal.worker, client: client, task_queue: orders}
  - name: order
    kind: workflow.lua
    modules: [funcs, logger]
    meta: {temporal: {workflow: {worker: worker}}}
    source: |
      local logger = require("logger")
      local function main(order)
        logger:info("order\\nreceived", { amount = order.amount })
        local _, err = require("funcs").call("app:charge", order.amount)
        logger:warn("charged")
        require("funcs").call("app:note", "x")
        local got = process.inbox():receive()
        return got:topic()
      end
      return main
  - name: charge
    kind: function.python
    handler: shop_handlers:charge
    meta:
      options: {activity.retry_policy: {initial_interval: 10ms}}
      temporal: {activity: {worker: worker}}
  - name: note
    kind: function.lua
    modules: [logger]
    meta: {temporal: {activity: {worker: worker}}}
    source: |
      return function(text) require("logger"):info("noted", { text = text }) end
"""
HANDLERS = """
import logging

from luaflow import activity

log = logging.getLogger("shop.cards")


def charge(amount):
    log.info("charging %d", amount, extra={"card": b"\\xff"})
    log.debug("unseen")
    logging.getLogger("shop.details").debug("seen")
    if activity.info().attempt < 2:
        raise RuntimeError("no\\nmoney")
"""


def told_by(programs: Iterable[Program]) -> list[dict[str, Any]]:
    """The spans that processes wrote to standard output, each an object over some lines."""
    found = []
    for program in programs:
        text, reader = "".join(program.lines), json.JSONDecoder()
        at = text.find("{\n")
        while at >= 0:
            one, at = reader.raw_decode(text, at)
            found.append(one | {"by": program.name})
            at = text.find("{\n", at)
    return found


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes set OpenTelemetry up by its own variables, and hand spans over at once."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


@needs_sdk
@pytest.mark.usefixtures("traced")
async def test_one_trace_across_processes(fleet: Fleet, world: World, spans: Spans) -> None:
    """Client, a worker that decides, one that runs activities, a child: no span stands alone."""
    client = await world()
    await asyncio.gather(
        fleet.worker("--role", "workflow"), fleet.worker("--role", "activity"), fleet.scheduler()
    )
    handle = await client.start("app:journey", {"child": "parcel"}, id="trip")
    await handle.signal("stop")
    await handle.result(30)
    assert set(await fleet.stop()) == {0}
    deciding, running, scheduling = (told_by([program]) for program in fleet.programs)
    start = spans.one("StartWorkflow:app:journey")
    found = [*deciding, *running]
    assert {span["context"]["trace_id"] for span in found} == {f"0x{trace_of(start)}"}
    ids = {span["context"]["span_id"] for span in found} | {f"0x{hex_of(start)}"}
    assert {span["parent_id"] for span in found} <= ids
    assert {span["name"].partition(":")[0] for span in deciding} == {"RunWorkflow"}
    assert {span["name"].partition(":")[0] for span in running} == {"RunActivity"}
    assert {span["name"] for span in deciding} >= {
        "RunWorkflow:app:journey",
        "RunWorkflow:app:parcel",
    }
    assert {span["resource"]["attributes"]["service.name"] for span in found} == {"luaflow-worker"}
    assert scheduling == []


@needs_sdk
@pytest.mark.usefixtures("traced")
async def test_no_step_is_traced_twice_after_a_crash(
    fleet: Fleet, world: World, gate: Gate
) -> None:
    """kill -9 in the second activity; what the next worker replays was traced by the first."""
    client = await world()
    old, _ = await asyncio.gather(fleet.worker(), fleet.scheduler())
    handle = await client.start("app:held", {"activity": "reserve", "then": "hold"}, id="run")
    await old.line("effect hold run 1")
    await old.said('"name": "RunWorkflow:app:held"', 2)
    await old.line('"name": "RunActivity:app:reserve"')
    old.send(signal.SIGKILL)
    await old.ended()
    new = await fleet.worker()
    await new.line("effect hold run 2")
    gate.let_later()
    await handle.result(30)
    await fleet.stop()
    found = told_by(fleet.programs)
    names = [span["name"] for span in found]
    assert names.count("RunActivity:app:reserve") == 1
    attempts = [s for s in found if s["name"] == "RunActivity:app:hold"]
    assert [(s["by"], s["attributes"]["luaflow.attempt"]) for s in attempts] == [(new.name, 2)]
    events = [event.type async for event in handle.history()]
    assert names.count("RunWorkflow:app:held") == events.count("WorkflowTaskCompleted")
    assert len({span["context"]["trace_id"] for span in found}) == 1


# -- logs ------------------------------------------------------------------------------------------


@pytest.fixture
async def shop(
    server: EmbeddedServer, world: World, tmp_path: Path, gate: Gate
) -> AsyncIterator[tuple[Client, Fleet]]:
    """An app that logs, deployed; processes of it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "_index.yaml").write_text(SHOP)
    (folder / "shop_handlers.py").write_text(HANDLERS)
    client = await world()
    await deploy(client.store, load_app(folder))
    async with Fleet(server.url, NAMESPACE, folder, tmp_path / "effects", gate.path) as fleet:
        yield client, fleet


def lines_of(program: Program) -> list[dict[str, Any]]:
    """Its log; every line but what it says of itself on standard output must be an object."""
    said = [line for line in program.lines if not line.startswith(("luaflow-", "metrics on "))]
    return [json.loads(line) for line in said]


async def test_every_line_is_an_object_with_the_fields(shop: tuple[Client, Fleet]) -> None:
    """Lua, Python on a thread, and the engine speak of a run alike; a replay writes nothing."""
    client, fleet = shop
    how = ("--log-format", "json", "--log-level", "info,shop.details=debug")
    old, _ = await asyncio.gather(fleet.worker(*how), fleet.scheduler())
    handle = await client.start("app:order", {"amount": 7}, id="o")
    notes = 0
    async for event in handle.history(follow=True):
        notes += event.type == "ActivityTaskCompleted"
        if notes == 2:
            break
    old.send(signal.SIGKILL)
    await old.ended()
    new = await fleet.worker(*how)
    await handle.signal("go")
    await handle.result(30)
    await fleet.stop()
    log = lines_of(old) + lines_of(new)
    about = {"run_id": handle.run_id, "workflow_id": "o", "workflow_type": "app:order"}
    about |= {"queue": "orders"}

    def one(message: str) -> dict[str, Any]:
        (line,) = [line for line in log if line["message"] == message]
        return line

    received = one("order\nreceived")
    assert received["fields"]["amount"] == 7
    assert received["level"] == "info"
    assert one("charged")["logger"] == "luaflow.lua"
    for line in (received, one("charged")):
        assert about.items() <= line.items()
        assert line["attempt"] == 1
    charging = [line for line in log if line["message"] == "charging 7"]
    assert [line["attempt"] for line in charging] == [1, 2]
    (failed,) = [line for line in log if "failed in attempt 1" in line["message"]]
    for line in (*charging, failed):
        assert (about | {"activity": "app:charge"}).items() <= line.items()
    assert [line["message"] for line in log if line["logger"] == "shop.details"] == ["seen"] * 2
    assert "unseen" not in {line["message"] for line in log}
    noted = one("noted")
    assert (about | {"activity": "app:note", "attempt": 1}).items() <= noted.items()
    assert {"ts", "level", "logger", "message"} <= set.intersection(*map(set, log))


async def test_a_level_that_is_none_is_refused(fleet: Fleet) -> None:
    """One clear line, and the exit code of a wrong option."""
    worker = await fleet.worker("--log-level", "info,luaflow.store=loud", ready=False)
    await worker.line("Invalid value for '--log-level': 'LOUD' is no level: say debug, info")
    assert await worker.ended() == 2


@needs_sdk
async def test_an_exporter_that_is_not_there_stops_nobody(
    fleet: Fleet, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work goes on without traces; the log says why there are none."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "pigeon")
    await world()
    worker = await fleet.worker()
    await worker.line("nothing is traced to pigeon: no installed package has such an exporter")


async def test_the_password_of_the_server_is_in_no_line(
    server: EmbeddedServer, fleet: Fleet, world: World
) -> None:
    """Not where it is right and everything is logged, not where it is wrong."""
    client = await world()
    link = Link(server.url)
    await link.batch([("CONFIG", "SET", "requirepass", "s3cr3t")])
    await link.close()
    right, wrong = (server.url.replace("://", f"://:{word}@") for word in ("s3cr3t", "wr0ng"))
    loud = await fleet.worker("--log-level", "debug", url=right)
    refused = await fleet.worker("--log-level", "debug", url=wrong, ready=False)
    assert await refused.ended()
    assert await loud.stop() == 0
    said = "".join([*loud.lines, *refused.lines])
    assert "password" in said
    assert "s3cr3t" not in said
    assert "wr0ng" not in said
    assert client.store.namespace == NAMESPACE
