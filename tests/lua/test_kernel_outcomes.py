"""Outcomes that are fed together are fed as if each had come alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.lua.support_kernel import START_MS, Play, source
from tests.support.mutants import kernel_mutant, proves, replaced

from luaflow.domain.events import Event
from luaflow.lua.vm import Activation, Engine
from luaflow.replay import outcomes

FAN = """
local funcs, time = require("funcs"), require("time")
local uuid, workflow = require("uuid"), require("workflow")
local kept = {}
local function main(n)
    local done, order = 0, {}
    for i = 1, n do
        coroutine.spawn(function()
            local value, err = funcs.call("app:step", i)
            %s
            done = done + 1
            order[#order + 1] = {i, value or tostring(err), time.now():unix_nano()}
        end)
    end
    workflow.await(function() return done == n end)
    return order
end
return { main = main }
"""
PLAIN = FAN % ""


def together(play: Play, *ends: tuple[int, bool, Any], apart: int = 1000) -> Activation:
    """Feed ends in one call, ``apart`` ms after one another; services are answered on the way."""
    rows: list[Any] = []
    for seq, ok, value in ends:
        play.now += apart
        play.length += 1
        play.size += 10
        rows += (play.now, play.length, play.size, seq, ok, value)
    out = play.run.step(b"outcomes", 0, 0, 0, *rows)
    steps = 1
    while True:
        play.commands += out.commands
        if out.status == "again":
            out = play.run.step(b"again", 0, 0, 0)
        elif out.status == "service":
            assert out.service is not None
            play.asked.append(out.service)
            answer = play.services[out.service[0]](*out.service[1:])
            out = play.run.step(b"reply", 0, 0, 0, *answer)
        else:
            break
        steps += 1
    play.last = out
    play.steps = steps  # type: ignore[attr-defined]
    return out


def one_by_one(play: Play, *ends: tuple[int, bool, Any]) -> Activation:
    """Feed the same as it was fed before there was a way to feed several."""
    for seq, ok, value in ends:
        if play.last.status not in ("wait", "more"):
            break
        play.step(b"resolve", seq, ok, value)
    return play.last


@proves(
    kernel_mutant("door", "K.advance(run, rows[i + 1], rows[i + 2], rows[i + 3])", ""),
    kernel_mutant("door", "run.row, run.asked = true, i + 6", "run.row, run.asked = true, i + 12"),
)
async def test_each_has_its_own_time() -> None:
    play = Play(PLAIN, 4)
    oops = {"type": "Oops", "message": "no"}
    together(play, (2, True, "b"), (1, False, oops), (3, True, None), (4, True, 4))
    assert [row[0] for row in play.result] == [2, 1, 3, 4]
    assert [row[2] // 1_000_000 - START_MS for row in play.result] == [2000, 3000, 4000, 5000]


@proves(kernel_mutant("door", 'if run.rows then return answer(run, "again") end', ""))
async def test_what_the_code_asks_in_between_is_answered_in_the_time_of_its_event() -> None:
    play = Play(FAN % "value = value .. uuid.v4() .. workflow.version('x', 1, 2)", 3)
    together(play, *((n, True, "v") for n in (1, 2, 3)))
    assert [row[1] for row in play.result] == ["v<uuid>2"] * 3
    assert [row[2] // 1_000_000 - START_MS for row in play.result] == [2000, 3000, 4000]


async def test_the_end_of_the_code_is_the_end() -> None:
    play = Play(FAN % "if i == 2 then error('enough') end", 3)
    out = together(play, (1, True, 1), (2, True, 2), (3, True, 3))
    assert out.status == "failed"
    assert b"enough" in (out.failure or b"")


BURN = "local x = 0 for j = 1, 150000 do x = x + j end"


@proves(kernel_mutant("door", "if fed and worn() then return end", ""))
async def test_each_has_a_budget_that_it_shares_with_little() -> None:
    """Sixty-four of them need more CPU time together than one activation has."""
    engine = Engine(source(FAN % BURN), cpu_seconds=0.05)
    play = Play(source(FAN % BURN), 64, engine=engine)
    together(play, *((n, True, n) for n in range(1, 65)))
    assert len(play.result) == 64


@proves(kernel_mutant("budget", "or used_bytes() - base > SOME", ""))
async def test_each_has_memory_that_it_shares_with_little() -> None:
    code = FAN % "kept[i] = string.rep('x', 400000)"
    engine = Engine(source(code), memory_bytes=4 * 1024 * 1024)
    play = Play(source(code), 20, engine=engine)
    together(play, *((n, True, n) for n in range(1, 21)))
    assert play.steps > 5  # type: ignore[attr-defined]


async def test_little_work_is_one_activation() -> None:
    play = Play(PLAIN, 64)
    together(play, *((n, True, n) for n in range(1, 65)))
    assert play.steps == 1  # type: ignore[attr-defined]


async def test_a_wait_that_nothing_can_end_is_found_behind_the_last_one() -> None:
    """As long as others are pending it is no deadlock."""
    code = FAN.replace("return done == n", "return false") % ""
    both = [Play(code, 3), Play(code, 3)]
    ends = [(n, True, n) for n in (1, 2, 3)]
    assert together(both[0], *ends).status == one_by_one(both[1], *ends).status == "failed"
    assert both[0].last.failure == both[1].last.failure


SEVERAL = """
local funcs, time, uuid = require("funcs"), require("time"), require("uuid")
local function main(seed, n)
    local log = {}
    local function branch(i, depth)
        for k = 1, (seed + i * 7 + depth) % 4 do
            local value, err = funcs.call("app:s" .. i, k)
            log[#log + 1] = {i, k, value or tostring(err), time.now():unix()}
            if (seed + i + k) % 5 == 0 then log[#log + 1] = uuid.v4() end
            if depth < 2 and (seed + k) % 3 == 0 then
                coroutine.spawn(function() branch(i + n, depth + 1) end)
            end
            if (seed * i + k) % 41 == 40 then error("branch " .. i) end
        end
    end
    for i = 1, n do coroutine.spawn(function() branch(i, 0) end) end
    time.sleep("1h")
    return log
end
return { main = main }
"""


@pytest.mark.parametrize("seed", range(12))
async def test_the_same_comes_of_it_as_one_by_one(seed: int) -> None:
    """Commands, services and the result of a tangled program do not tell how it was fed."""
    chance = random.Random(seed)
    several, alone = Play(SEVERAL, seed, 6), Play(SEVERAL, seed, 6)
    ended: set[int] = set()
    while several.last.status in ("wait", "more"):
        seqs = [c.seq for c in several.commands if c.seq not in ended and c.op != "marker"]
        chance.shuffle(seqs)
        ends = [
            (n, False, {"type": "E", "message": "x"}) if n % 9 == 8 else (n, True, n)
            for n in seqs[: chance.randint(1, 5)]
        ]
        if not ends:
            break
        ended |= {n for n, _, _ in ends}
        together(several, *ends)
        one_by_one(alone, *ends)
        assert several.commands == alone.commands
        assert several.asked == alone.asked
        assert several.last[3:5] == alone.last[3:5]
    assert several.last._replace(commands=[]) == alone.last._replace(commands=[])


@proves(replaced(outcomes, "MOST", 1))
async def test_what_is_fed_together_is_bounded() -> None:
    def end(n: int, size: int = 10) -> tuple[Event, int]:
        raw = b'{"seq":%d,"result":"%s"}' % (n, b"x" * size)
        return Event(n, n, "ActivityTaskCompleted", raw), n

    groups = list(outcomes.together([end(n) for n in range(1, 101)], set()))
    assert [len(group) for group in groups] == [64, 36]
    large = list(outcomes.together([end(n, 40_000) for n in range(1, 7)], set()))
    assert [len(group) for group in large] == [2, 2, 2]
