"""A server that runs short of memory, with a payload store and an archive: all stages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.codec.test_kept import owned
from tests.protocol.test_pressure import fill
from tests.support.engine import Engine, Make, until, within
from tests.support.mutants import patience

from luaflow.client.handle import Handle
from luaflow.embedded import EmbeddedServer
from luaflow.errors import Refused
from luaflow_scheduler import pressure, retention, schedules

pytestmark = pytest.mark.heavy

LARGE = "L" * 5000
FLOW = """
local time = require("time")
local funcs = require("funcs")
function main(x)
    local told = process.listen("go"):receive()
    time.sleep("300ms")
    return funcs.call("app:twice", x .. told)
end
"""


@pytest.fixture
async def engine(
    tmp_path: Path,
    namespace: str,
    server_binary: Path | None,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Engine]:
    """An engine on a server of its own, with a payload store and an archive."""
    monkeypatch.setattr(pressure, "EVERY", 0.2)
    monkeypatch.setattr(pressure, "WHILE_FULL", 0.2)
    monkeypatch.setattr(retention, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(schedules, "BROKEN_MS", 1000)
    with EmbeddedServer(tmp_path / "redis", appendfsync="everysec", binary=server_binary) as server:
        make = Make(server.url, namespace, tmp_path / "app")
        one = await make(
            codec="zlib",
            payload_store=(tmp_path / "large").as_uri(),
            offload_bytes=20,
            archive=(tmp_path / "archive").as_uri(),
            partitions=2,
        )
        try:
            yield one
        finally:
            await one.store.read(("CONFIG", "SET", "maxmemory", "0"))
            await make.check()
            await make.close()


async def soon(found: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """Ask until the answer is one that is wanted."""
    async with asyncio.timeout(2 * patience()):
        while not wanted(answer := await found()):  # noqa: ASYNC110 - it may be anything
            await asyncio.sleep(0.05)
    return answer


async def test_stages_with_offload_archive_cron_and_schedule(engine: Engine) -> None:
    """Packed, archived, refused; open runs go on, chains and schedules wait and go on later."""
    store = engine.store
    await engine.deploy(
        {"flow": FLOW, "quick": "function main(x) return x end"},
        activities={"twice": "function main(x) return x .. x end"},
    )
    await engine.worker()
    await engine.scheduler()
    done = await engine.start("quick", LARGE)
    assert await within(done.result()) == LARGE
    open_runs = [await engine.start("flow", LARGE) for _ in range(4)]
    hist = store.partition(done.workflow_id).hist(str(done.run_id))
    assert await store.read(("EXISTS", hist)) == [1]

    await fill(engine, 74)
    await soon(lambda: store.read(("EXISTS", hist)), lambda found: found == [0])
    assert "archived" not in await done.describe()
    await _goes_on(open_runs[0])

    await fill(engine, 82)
    await soon(done.describe, lambda found: "archived" in found)
    assert await within(done.result()) == LARGE
    assert ("w", done.workflow_id) in await owned(engine)
    await _goes_on(open_runs[1])

    cron = await engine.start("quick", 1, id="c", options={"workflow.cron_schedule": "@every 1s"})
    plan = await engine.client.create_schedule("s", "app:quick", LARGE, cron="@every 1s")
    await fill(engine, 90)
    await soon(lambda: _refused(engine), bool)
    stuck = await soon(
        engine.client.get_handle("c").describe, lambda d: d["health"]["state"] == "stuck"
    )
    assert stuck["health"]["reason"]["reason"] == "no_room"
    await _goes_on(open_runs[2])

    last = open_runs[3]
    await last.signal("go", LARGE)
    await fill(engine, 110)  # (what is written to grow a run is refused by the server itself)
    with pytest.raises(Refused, match="memory"):
        await engine.start("quick", 2)
    assert await last.result(timeout=30) == 4 * LARGE
    assert (await engine.client.get_handle("c").describe())["status"] == "running"

    fired = (await plan.describe())["recent_actions"]
    waiting = engine.client.get_handle("c", stuck["run_id"])
    await store.read(("CONFIG", "SET", "maxmemory", "0"))
    await within(until(engine, waiting, "WorkflowExecutionCompleted"))
    await soon(plan.describe, lambda d: d["recent_actions"] != fired)
    assert await within((await engine.start("quick", 3)).result()) == 3
    await plan.delete()
    await engine.client.get_handle(cron.workflow_id).terminate()


async def _goes_on(handle: Handle) -> None:
    await handle.signal("go", LARGE)
    assert await handle.result(timeout=20) == 4 * LARGE


async def _refused(engine: Engine) -> bool:
    try:
        await engine.start("quick", 0)
    except Refused as error:
        return "memory" in str(error)
    return False
