"""The scripts do the same in Lua 5.4 (Dragonfly) as in the server's 5.1."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from lupa import lua54
from tests.protocol.conftest import hand
from tests.protocol.hand import Hand
from tests.protocol.scenes import SCENES, contents, dump, partition_of_call

from luaflow.store import delivery
from luaflow.store.delivery import Stamp
from luaflow.store.link import Call

__all__ = ["hand"]

EPOCH = 1_790_000_123_457

SHIM = b"""
local text, keys, args, send = ...
local redis = {}
function redis.call(...)
  local words = {...}
  for i, w in ipairs(words) do
    if math.type(w) == "float" then
      assert(w == math.floor(w), "a fraction is sent to the server")
      words[i] = string.format("%.0f", w)
    else
      words[i] = tostring(w)
    end
  end
  return send(table.unpack(words))
end
function redis.pcall(...)
  local ok, answer = pcall(redis.call, ...)
  return ok and answer or {err = "refused"}
end
local env = setmetatable({redis = redis, KEYS = keys, ARGV = args}, {__index = _G})
local f = assert(load(text, "script", "t", env))
local function flat(v)
  if type(v) == "table" then
    local out = {}
    for i, x in ipairs(v) do out[i] = flat(x) end
    return out
  end
  return v
end
return flat(f())
"""


def run_in_54(server: redis.Redis, call: Call, first: str) -> Any:
    """Run a script in Lua 5.4, its commands on the real server; return its answer."""
    lua = lua54.LuaRuntime(encoding=None)

    def table(value: Any) -> Any:
        if isinstance(value, list):
            return lua.table_from([table(v) for v in value])
        return False if value is None else value

    def send(*words: bytes) -> Any:
        return table(server.execute_command(*words))  # type: ignore[no-untyped-call]

    def plain(value: Any) -> Any:
        if lua54.lua_type(value) == "table":
            return [plain(v) for _, v in sorted(value.items())]
        if isinstance(value, float):
            return int(value)
        return None if value is False else value

    args = [a if isinstance(a, bytes) else str(a).encode() for a in (first, *call.args)]
    keys = [k.encode() for k in call.keys]
    text = call.script.body.split(b"\n", 1)[1]
    return plain(lua.execute(SHIM, text, lua.table_from(keys), lua.table_from(args), send))


async def the_same(hand: Hand, redis_url: str, call: Call) -> None:
    """A call gets the same answer, and leaves the same state, byte for byte."""
    before = await dump(hand)
    answer = await hand.store.one(call)
    expected = await contents(hand)
    for key in expected:
        await hand.store.read(("DEL", key))
    for key, content in before.items():
        await hand.store.read(("RESTORE", key, 0, content))
    with redis.Redis.from_url(redis_url, protocol=2) as server:
        server.response_callbacks.clear()
        again = run_in_54(server, call, hand.store.link.server)
    assert again == answer
    after = await contents(hand)
    assert set(after) == set(expected)
    changed = {k for k in after if after[k] != expected[k]}
    # the moment is in them: the server names the entries of queues by it, workers were seen then
    moments = {"tq", "sticky", "run", "pend", "workers", "inbox", "job"}
    assert {k.split("}:")[1].split(":")[0] for k in changed} <= moments


@pytest.mark.parametrize("scene", SCENES)
async def test_the_same_in_54(hand: Hand, redis_url: str, scene: str) -> None:
    """Each script, at a moment at which it does its whole work."""
    hand.excused = True
    await the_same(hand, redis_url, await SCENES[scene](hand))


async def test_an_epoch_keeps_its_digits(hand: Hand, redis_url: str) -> None:
    """A new primary's epoch is a time of 13 digits; messages and marks hold all of them."""
    hand.excused = True
    call = await SCENES["commit"](hand)
    p = partition_of_call(hand, call)
    hand.store.link.server = "another"
    await hand.store.read(("HSET", p.meta, "vtime", EPOCH))
    await the_same(hand, redis_url, call)
    ((number, epoch),) = await hand.outbox(p.number, 3)
    assert epoch == EPOCH
    route = await hand.start("another")
    call = delivery.deliver_message(
        route=route, stamp=Stamp(3, number, epoch), type="x", body=b"{}", yes=b"", no=b""
    )
    await the_same(hand, redis_url, call)
    assert await hand.store.read(("HGET", route.partition.mark(3), "e")) == [b"%d" % EPOCH]
