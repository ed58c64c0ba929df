"""A lock that was left with a run that is gone comes back to those who wait for it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.protocol.hand import Hand
from tests.protocol.scenes_entity import asks, brings
from tests.support.engine import Engine
from tests.support.mutants import mutant, patience, proves, replaced
from tests.support.nodes import eventually

from luaflow.domain import locks
from luaflow.domain.ids import partition_of
from luaflow.store import entities, relay
from luaflow.store.delivery import Stamp
from luaflow_scheduler.ghosts import Ghosts

LOCKS = """
local workflow = require("workflow")
local time = require("time")
local function main()
  local lock = assert(workflow.lock("till"))
  lock:release()
  return "had it"
end
"""


async def nothing(*_: Any, **__: Any) -> list[Any]:
    """Nobody is looked for."""
    return []


@proves(replaced(Ghosts, "find", nothing))
async def test_a_lock_of_a_lost_run_goes_to_the_next(engine: Engine) -> None:
    """Its run was lost with its server, the lock was not: who waits for it gets it."""
    await engine.deploy({"locks": LOCKS})
    number = partition_of("till", len(engine.store.partitions))
    sender = {"p": 3, "workflow_id": "w-lost", "run_id": "lost"}
    mail = asks("lost") | {"key": "till", "from": sender}
    p = engine.store.partitions[number]
    stamp = Stamp(3, 1, 1)
    await engine.store.one(entities.call(engine.store, p, stamp, mail, None))
    # what that partition says of it is what its server lost, too
    await engine.store.read(("DEL", engine.store.partitions[3].mark(number)))
    await engine.worker()
    run = await engine.start("locks")
    await engine.until(run, "LockRequested")
    scheduler = await engine.scheduler()
    waits = asyncio.create_task(run.result(timeout=patience()))
    home = engine.store.partition(run.workflow_id)
    await _waiting(engine, number)
    await scheduler.sweep.visit(home)
    assert await waits == "had it"


async def _waiting(engine: Engine, number: int) -> None:
    """Return when somebody stands in the line."""
    p = engine.store.partitions[number]
    async with asyncio.timeout(patience()):
        await eventually(lambda: _in_line(engine, p.line("till")), "a run waits for the lock")


async def _in_line(engine: Engine, line: str) -> bool:
    (count,) = await engine.store.read(("ZCARD", line))
    return bool(count)


@proves(
    mutant("disown", "rcall('HGET', run_key, 'status') == 'running'", "false"),
)
async def test_a_run_that_lives_keeps_its_lock(hand: Hand) -> None:
    """Whatever was read before: the script looks itself. This one is not the first of its chain."""
    route, _ = await hand.idle(hand.id_in(3))
    await hand.tell(route)
    task = await hand.take(route)
    assert (await hand.carry_on(task, "n" * 32))[0] == b"ok"
    call = entities.disown(hand.store, "k", f"3|{'n' * 32}|1", route.workflow_id, 5)
    assert await hand.store.one(call) == [b"alive"]


@proves(
    mutant("disown", "chain[1] == 'running' and chain[2] == first", "false"),
)
async def test_a_chain_keeps_its_slot(hand: Hand) -> None:
    """A slot is known by the first run of a chain, which is over: a later one has it."""
    route, _ = await hand.idle(hand.id_in(3))
    await hand.tell(route)
    task = await hand.take(route)
    assert (await hand.carry_on(task, "n" * 32))[0] == b"ok"
    call = entities.disown(hand.store, "k", f"3|{route.run_id}|0", route.workflow_id, 5)
    assert await hand.store.one(call) == [b"alive"]


async def test_what_is_given_back_twice_is_given_back_once(hand: Hand) -> None:
    """Two schedulers find the same ghost: the next in line does not lose its lock."""
    hand.excused = True  # these runs are names only
    for number, run in enumerate("ab", 1):
        await hand.store.one(brings(hand, number, asks(run)))
    member = locks.member_of({"p": 3, "run_id": "a"}, 1)
    # the numbers of the partition go on where the messages above ended
    await hand.store.read(("HSET", hand.store.partitions[3].meta, "out:5", 2))
    for _ in range(2):
        call = entities.disown(hand.store, "k", member, "w-a", 5)
        assert await hand.store.one(call) == [b"ok"]
    await relay.drain_outbox(hand.store, 3, 5)
    (held,) = await hand.store.read(("ZRANGE", hand.store.partitions[5].held("k"), 0, -1))
    assert held == [locks.member_of({"p": 3, "run_id": "b"}, 1).encode()]


@proves(mutant("deliver_lock", "rcall('HSET', meta_key, 'denied', lock_key)", ""))
async def test_a_ghost_that_nobody_waits_for_is_found(hand: Hand) -> None:
    """Who does not wait is refused, and the next one is not."""
    hand.excused = True  # these runs are names only
    key = hand.id_in(5)
    await hand.store.one(brings(hand, 1, asks("a") | {"key": key}))
    assert await Ghosts(hand.store).find(hand.store.partitions[5], []) == []
    await hand.store.one(brings(hand, 2, asks("b", wait=False) | {"key": key}))
    await hand.store.read(("HSET", hand.store.partitions[3].meta, "out:5", 2))
    calls = await Ghosts(hand.store).find(hand.store.partitions[5], [])
    assert await hand.store.apart(*calls) == [[b"ok"]]
    await relay.drain_outbox(hand.store, 3, 5)
    assert await Ghosts(hand.store).find(hand.store.partitions[5], []) == []
    assert await _holders(hand, key) == []
    mail, stamp = asks("c", wait=False) | {"key": key}, Stamp(3, 4, 2 * 10**12, 4)
    p = hand.store.partitions[5]
    await hand.store.one(entities.call(hand.store, p, stamp, mail, None))
    assert await _holders(hand, key) == [b"3|c|1"]


async def _holders(hand: Hand, key: str) -> list[bytes]:
    """Who has a lock of partition 5."""
    (held,) = await hand.store.read(("ZRANGE", hand.store.partitions[5].held(key), 0, -1))
    return list(held)
