"""Bytes in a server that are not what was written, under a worker, a scheduler and clients."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import redis

from luaflow.client.handle import Handle
from luaflow.embedded import EmbeddedServer
from luaflow.errors import LuaflowError
from tests.fuzz.mutating import ODD
from tests.fuzz.target import Target
from tests.support.engine import Engine, Make

FLOW = """
local workflow, funcs, time = require("workflow"), require("funcs"), require("time")
local function main()
    local n = 0
    workflow.on_query("count", function() return n end)
    workflow.set_view("n", n)
    local add = process.listen("add")
    local timer = time.after("10h")
    while n < 100 do
        n = n + add:receive()
    end
    return n
end
"""
QUICK = "local function main(x) return x end"
OWN = ("hist", "run", "wf", "pend")
"""Keys of one run: what is wrong in them hurts that run alone."""
SHARED = ("meta", "vis", "timers", "leases")
TURNS = 400
"""Tenths of a second, on a machine with nothing else to do."""


class Servers(Target):
    """A run in a real server, one thing of it changed."""

    name = "servers"
    quick = 4
    share = 30.0
    rate = 25.0
    seconds = 20.0

    def open(self) -> None:
        """A server with a namespace, an app, a worker and a scheduler."""
        logging.getLogger("luaflow").setLevel(logging.CRITICAL)
        self._folder = Path(tempfile.mkdtemp(prefix="luaflow-fuzz-"))
        self._server = EmbeddedServer(self._folder / "data", appendfsync="no")
        self._server.start()
        self._raw = redis.Redis.from_url(self._server.url)
        self._loop = asyncio.new_event_loop()
        self._made = 0
        self._engine: Engine | None = None
        self._loop.run_until_complete(self._fresh())

    def close(self) -> None:
        """Stop all of it."""
        self._loop.run_until_complete(self._stop())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._raw.close()
        self._server.stop()
        shutil.rmtree(self._folder)
        logging.getLogger("luaflow").setLevel(logging.NOTSET)

    def make(self, chance: random.Random) -> bytes:
        """Which key, which field of it, and what becomes of that."""
        return orjson.dumps(
            {
                "key": chance.choice(OWN * 3 + SHARED),
                "field": chance.randrange(1 << 16),
                "part": chance.randrange(1 << 16),
                "how": chance.choice(("flip", "flip", "set", "set", "cut", "drop", "type")),
                "at": chance.randrange(1 << 16),
                "with": chance.choice(ODD).hex(),
            }
        )

    def run(self, data: bytes) -> None:
        """Change it; the run is asked and told; another run must not notice."""
        change = orjson.loads(data)
        try:
            self._loop.run_until_complete(self._play(change))
        except BaseException:
            self._loop.run_until_complete(self._fresh())
            raise

    async def _play(self, change: dict[str, Any]) -> None:
        engine = self._engine
        assert engine
        handle = await engine.start("flow")
        await engine.until(handle, "WorkflowTaskCompleted")
        p, run_id = engine.store.partition(handle.workflow_id), str(handle.run_id)
        name = change["key"]
        owner = handle.workflow_id if name == "wf" else run_id
        key = str(getattr(p, name)(owner) if name in OWN else getattr(p, name))
        before = self._raw.dump(key)
        if before is None:
            return
        damage(self._raw, key, change)
        await ask(handle, engine)
        if name in OWN:
            answer = await engine.execute("quick", 5)
            assert answer == 5, f"another run returned {answer!r}"
        self._raw.restore(key, 0, before, replace=True)
        if name not in OWN:
            await self._fresh()

    async def _fresh(self) -> None:
        """A namespace that nothing is wrong in, for the runs to come."""
        await self._stop()
        self._raw.flushall()
        self._made += 1
        make = Make(self._server.url, f"fuzz{self._made}", self._folder / f"app{self._made}")
        self._engine = await make(partitions=1, lease_ms=500)
        await self._engine.deploy({"flow": FLOW, "quick": QUICK})
        await self._engine.worker(cache=1)
        await self._engine.scheduler()

    async def _stop(self) -> None:
        if self._engine:
            await self._engine.stop()
            await self._engine.store.close()
            self._engine = None


async def ask(handle: Handle, engine: Engine) -> None:
    """All that a client can ask of a run, and tell it: each is done or refused."""

    async def history() -> None:
        _ = [event.body async for event in handle.history()]

    async def result() -> None:
        await handle.result(timeout=0.05)

    verbs: tuple[Callable[[], Awaitable[Any]], ...] = (
        handle.describe,
        history,
        lambda: engine.client.list("total > 1"),
        lambda: handle.query("count", timeout=0.5),
        lambda: handle.view("n"),
        lambda: handle.signal("add", 1),
        result,
        lambda: handle.terminate("enough"),
    )
    for number, verb in enumerate(verbs):
        try:
            await answered(verb())
        except LuaflowError:
            continue
        except TimeoutError:
            if verb is not result:
                raise AssertionError(f"the question {number} has no answer") from None


async def answered(work: Awaitable[Any]) -> None:
    """Wait for it, with more patience than a client has that asks again and again (half a minute).

    That is counted in turns of the loop: in one that gets no CPU time answers are late, too.
    """
    task = asyncio.ensure_future(work)
    for _ in range(TURNS):
        if (await asyncio.wait((task,), timeout=0.1))[0]:
            task.result()
            return
    task.cancel()
    raise TimeoutError


def damage(raw: Any, key: str, change: dict[str, Any]) -> None:
    """Change one value of a key; or its type."""
    if change["how"] == "type":
        raw.delete(key)
        raw.set(key, bytes.fromhex(change["with"]))
        return
    match raw.type(key):
        case b"hash":
            names = sorted(raw.hkeys(key))
            name = names[change["field"] % len(names)]
            new = changed(raw.hget(key, name) or b"", change)
            if change["how"] == "drop":
                raw.hdel(key, name)
            else:
                raw.hset(key, name, new)
        case b"stream":
            entries = raw.xrange(key)
            at = change["field"] % len(entries)
            raw.delete(key)
            for number, (id_, fields) in enumerate(entries):
                if number == at:
                    names = sorted(fields)
                    name = names[change["part"] % len(names)]
                    fields[name] = changed(fields[name], change)
                    if change["how"] == "drop":
                        continue
                raw.xadd(key, fields, id=id_)
        case b"zset":
            members = raw.zrange(key, 0, -1, withscores=True)
            member, score = members[change["field"] % len(members)]
            raw.zrem(key, member)
            if change["how"] != "drop":
                raw.zadd(key, {changed(member, change): score})


def changed(value: bytes, change: dict[str, Any]) -> bytes:
    """A value after a change."""
    at = change["at"] % (len(value) + 1)
    match change["how"]:
        case "flip" if value:
            flipped = bytearray(value)
            flipped[at % len(value)] ^= 1 << (change["part"] % 8)
            return bytes(flipped)
        case "cut":
            return value[:at]
    return bytes.fromhex(change["with"])
