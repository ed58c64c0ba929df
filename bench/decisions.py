"""Measures behind docs: python bench/decisions.py [engines|order|values|link|record]."""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import redis.asyncio
from lupa import lua54

from luaflow.embedded import EmbeddedServer
from luaflow.lua import BundleSource, Engine
from luaflow.store.link import Link

CODE = """
local function main(x) process.inbox():receive() return x end
return { main = main }
"""
INFO = {"workflow_id": "w", "run_id": "r", "workflow_type": "t", "task_queue": "q"}
ORDER = {"id": 7, "customer": "ada", "lines": [{"item": f"i{n}", "quantity": n} for n in range(20)]}


def timed(name: str, count: int, work: Callable[[], Any]) -> None:
    """Print microseconds and KiB of memory for each of ``count`` calls, their results kept."""
    before, began = _resident(), time.perf_counter()
    kept = [work() for _ in range(count)]
    spent = (time.perf_counter() - began) / count
    print(f"{name:<48} {spent * 1e6:9.1f} us {(_resident() - before) / count / 1024:9.1f} KiB")
    kept.clear()


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def engines() -> None:
    """A runtime for each run, or one for each bundle with an environment for each run."""
    source = BundleSource("app:wf", CODE, chunkname="wf.lua")

    def begin(engine: Engine) -> object:
        run = engine.open(INFO)
        run.step(b"start", 1, 1, 0, [1], {})
        return run

    shared = Engine(source)
    timed("a run in a shared engine, begun", 3000, lambda: begin(shared))
    timed("an engine and a run in it, begun", 300, lambda: begin(Engine(source)))


def order() -> None:
    """The Lua of an order's workflow: a run is opened, begins, and hears of three activities."""
    source = (Path(__file__).parent / "app" / "src" / "order.lua").read_text()
    engine = Engine(BundleSource("bench:order", source, "order.lua", modules=("funcs",)))
    told = (b'{"reservation":"r-1"}', b'{"payment":"p-1"}', b'{"tracking":"t-1"}')

    def play() -> None:
        run = engine.open(INFO)
        run.step(b"start", 1, 1, 0, [ORDER], {})
        for seq, result in enumerate(told, 1):
            run.fresh = True
            run.step(b"resolve", 1, 2, 0, seq, True, result)
        run.close()

    timed("an order's workflow, its Lua alone", 3000, play)


def values() -> None:
    """A value across the door: tables made by Python, or JSON text read by Lua."""
    runtime = lua54.LuaRuntime(encoding=None, unpack_returned_tuples=True)
    text = orjson.dumps(ORDER)

    def table(value: Any) -> Any:
        if isinstance(value, dict):
            return runtime.table_from({k.encode(): table(v) for k, v in value.items()})
        if isinstance(value, list):
            return runtime.table_from([table(v) for v in value])
        return value.encode() if isinstance(value, str) else value

    code = "local function main(x) while true do x = process.inbox():receive() end end"
    run = Engine(BundleSource("app:wf", f"{code} return {{ main = main }}")).open(INFO)
    run.step(b"start", 1, 1, 0, [], {})

    def feed(payloads: list[Any]) -> None:
        run.step(b"ahead", 1, 2, 0, [[1, 2, 0, "signal", "x", "", payloads, None]])
        run.step(b"message", 1, 2, 0)

    print(f"a value of {len(text)} bytes of JSON:")
    timed("orjson.loads and Lua tables made by Python", 5000, lambda: table(orjson.loads(text)))
    timed("a signal with it fed to a run, JSON read by Lua", 5000, lambda: feed([ORDER]))
    timed("a signal without it", 5000, lambda: feed([]))


async def link(server: EmbeddedServer) -> None:
    """Fifty callers at once: a pool of connections, or one connection written to together."""
    rounds, callers = 100, 50
    shared, pool = Link(server.url), redis.asyncio.Redis.from_url(server.url, protocol=2)

    async def measure(name: str, call: Callable[[], Any]) -> None:
        await asyncio.gather(*(call() for _ in range(callers)))
        began = time.perf_counter()
        for _ in range(rounds):
            await asyncio.gather(*(call() for _ in range(callers)))
        spent = (time.perf_counter() - began) / rounds / callers
        print(f"{name:<48} {spent * 1e6:9.1f} us a call, {1 / spent:9.0f} calls/s")

    await measure("50 callers, a pool of redis-py", lambda: pool.hincrby("k", "f", 1))
    await measure("50 callers, one link", lambda: shared.batch([("HINCRBY", "k", "f", 1)]))
    await pool.aclose()
    await shared.close()


async def record(server: EmbeddedServer) -> None:
    """The records of 1 and 100 activities: ten fields of a hash each, or one of ten parts."""
    names = [
        "state",
        "attempt",
        "token",
        "worker",
        "started",
        "event",
        "scheduled",
        "s2c",
        "hb",
        "beat",
    ]
    parts: list[str | int] = ["r", 1, "w12345678.42", "w12345678", *[1795446833000] * 6]
    ten = ", ".join(f"'{name}:' .. a, ARGV[{i}]" for i, name in enumerate(names, 1))
    asked = ", ".join(f"'{name}:' .. a" for name in names)
    bodies = {
        "ten fields": f"redis.call('HSET', KEYS[1], {ten}) redis.call('HMGET', KEYS[1], {asked})",
        "one field of ten parts": (
            "redis.call('HSET', KEYS[1], 'a:' .. a, table.concat(ARGV, '|')) local f = {} "
            "for p in string.gmatch(redis.call('HGET', KEYS[1], 'a:' .. a), '([^|]*)|?') do "
            "f[#f + 1] = p end"
        ),
    }
    client = redis.asyncio.Redis.from_url(server.url, protocol=2, socket_timeout=60)
    for activities in (1, 100):
        for name, body in bodies.items():
            script = f"for i = 1, 10000 do local a = i % {activities} {body} end"
            began = time.perf_counter()
            await client.eval(script, 1, "h", *parts)
            spent = (time.perf_counter() - began) / 10000
            size = await client.memory_usage("h", samples=0)
            await client.delete("h")
            what = f"{activities:3} activities, {name}"
            print(f"{what:<48} {spent * 1e6:9.2f} us a write and read, {size:6} bytes in all")
    await client.aclose()


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["engines", "order", "values", "link", "record"]
    if "engines" in wanted:
        engines()
    if "order" in wanted:
        order()
    if "values" in wanted:
        values()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as there:
        for measure in (link, record):
            if measure.__name__ in wanted:
                asyncio.run(measure(there))
