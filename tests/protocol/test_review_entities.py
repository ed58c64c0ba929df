"""Entities under fire: moments that are wasted, slots that nobody makes room for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from tests.protocol.hand import Hand, request
from tests.protocol.scenes_entity import asks, brings, gives_back
from tests.protocol.test_outbox import to
from tests.support.mutants import mutant, proves, replaced

from luaflow.domain import locks
from luaflow.domain.flow import Flow, RateLimit
from luaflow.domain.ids import partition_of
from luaflow.store import entities, gates, keys, relay
from luaflow.store.entities import Line
from luaflow.store.keys import Partition
from luaflow.store.lanes import lanes_of, use_lane
from luaflow.store.store import Store
from luaflow.store.transitions import COMMIT_KEYS, Route
from luaflow_scheduler import queues

STEP = 500
FLOW = Flow("t", rate_limit=RateLimit(2, 2 * STEP))
RATE = "start\nt\n"


def start(hand: Hand, sender: Route, n: int) -> dict[str, Any]:
    """The message that starts a child of a type with a rate limit, in partition 5."""
    workflow_id = next(name for i in range(10_000) if partition_of(name := f"c{n}.{i}", 16) == 5)
    run_id = f"{n:032}"
    started = {"v": 1, "type": "t", "workflow_id": workflow_id, "run_id": run_id, "input": []}
    me = {"p": 0, "workflow_id": sender.workflow_id, "run_id": sender.run_id}
    where = {"workflow_id": workflow_id, "run_id": run_id, "type": "t", "queue": "q"}
    more = {"bundle": "b", "flow": FLOW.to_text(), "pid": "p", "started": started}
    return {"k": "start", "from": me, "seq": n, **where, **more}


async def family(hand: Hand, children: int) -> Route:
    """A run of partition 0 that signals one of partition 5, then starts children there."""
    target, _ = await hand.idle(hand.id_in(5))
    route = await hand.start(hand.id_in(0))
    me = {"p": 0, "workflow_id": route.workflow_id, "run_id": route.run_id}
    ops = request(1, 5, {**to(target.workflow_id), "from": me})
    for n in range(2, 2 + children):
        ops += request(n, 5, start(hand, route, n), COMMIT_KEYS + 1, "child")
    box = route.partition.outbox(5)
    answer = await hand.commit(await hand.take(route), *ops, others=[box])
    assert answer[0] == b"ok", answer
    return target


async def given(hand: Hand) -> int:
    """How many moments the limit has given away that are not over."""
    p = hand.store.partitions[partition_of(RATE, 16)]
    next_, now = await hand.store.read(("HGET", p.rate(RATE), "next"), ("HGET", p.meta, "vtime"))
    return round((int(next_ or 0) / 1000 - int(now)) / STEP) if next_ else 0


async def shut(hand: Hand, route: Route, value: int) -> None:
    """Shut or open the mailbox of a run, as refused closes do."""
    await hand.store.read(("HSET", route.partition.run(route.run_id), "shut", value))


@proves(replaced(gates, "next_rated", lambda _, start: start + 100))
async def test_what_must_wait_wastes_no_moments(hand: Hand) -> None:
    """Starts behind a message whose target is busy ask their rate limit when it is their turn."""
    target = await family(hand, 4)
    await shut(hand, target, 1)
    for _ in range(5):
        done = await relay.drain_outbox(hand.store, 0, 5)
        assert (done.settled, done.left) == (0, 5)
    assert await given(hand) == 0
    await shut(hand, target, 0)
    assert (await relay.drain_outbox(hand.store, 0, 5)).left == 0
    assert await given(hand) == 4


async def always(*_: Any) -> bool:
    """Every message is new."""
    return True


@proves(replaced(gates, "_is_new", always))
async def test_a_start_that_comes_twice_asks_once(hand: Hand) -> None:
    """Who carried it died before it was forgotten: who carries it again wastes no moment."""
    await family(hand, 3)
    (entries,) = await hand.store.read(("XRANGE", hand.store.partitions[0].outbox(5), "-", "+"))
    letters = [relay._letter(entry) for entry in entries]
    for word in ("ok", "duplicate"):
        verdicts = await relay._carry(hand.store, 0, 5, letters, letters[0].number)
        assert [v.word for v in verdicts] == [word] * 4
    assert await given(hand) == 3


NEWEST: dict[str, Any] = {"slot": {"strategy": "cancel_running", "type": "t", "limit": 2}}


async def cancels(hand: Hand) -> list[str]:
    """Whom partition 5 asks to make room."""
    boxes = [("XRANGE", hand.store.partitions[5].outbox(n), "-", "+") for n in range(16)]
    letters = [
        orjson.loads(relay._letter(entry).text)
        for entries in await hand.store.read(*boxes)
        for entry in entries
    ]
    return [str(letter["workflow_id"]) for letter in letters if letter["k"] == "message"]


@proves(
    mutant("deliver_lock", "(first[1] or '') ~= oust", "false"),
    mutant("deliver_lock", "rcall('HSET', lock_key, 'x', theirs)\n", ""),
)
async def test_who_makes_room_is_there_and_was_not_asked(hand: Hand) -> None:
    """As many hold and wait as when it was read, but others: the oldest of these is asked."""
    hand.excused = True  # these runs are names only
    for number, run in enumerate("ab", 1):
        await hand.store.one(brings(hand, number, asks(run, limit=2, **NEWEST)))
    # read now, and then one goes and another one comes
    was = Line(ousts=True, oust="3|a|1", who="w-a")
    await hand.store.one(brings(hand, 3, gives_back("a")))
    await hand.store.one(brings(hand, 4, asks("c", limit=2, **NEWEST)))
    d = asks("d", limit=2, **NEWEST)
    assert (await hand.store.one(brings(hand, 5, d, was)))[0] == b"moved"
    mails: list[dict[str, Any]] = [d]
    now = (await entities.lines(hand.store, hand.store.partitions[5], mails))[0]
    assert now == Line(ousts=True, oust="3|b|1", who="w-b")
    await hand.store.one(brings(hand, 5, d, now))
    # one leaves the line, another one comes: it is not that one again
    again = Line(ousts=True, oust="3|b|1", who="w-b")
    e = asks("e", limit=2, **NEWEST)
    assert (await hand.store.one(brings(hand, 6, e, again)))[0] == b"moved"
    assert await cancels(hand) == ["w-b"]


@proves(
    mutant(
        "deliver_lock",
        "  post(outbox_key, sender, yes)\n  return { 'ok', sender }\nend\nif",
        "end\nif",
    )
)
async def test_who_asks_anew_is_answered_anew(hand: Hand) -> None:
    """Its primary lost the request after it was granted: the run asks again, and has the lock."""
    hand.excused = True
    await hand.store.one(brings(hand, 1, asks("a")))
    await hand.store.one(brings(hand, 2, asks("b")))
    box = hand.store.partitions[5].outbox(3)
    for number, run, answers in ((3, "a", 2), (4, "b", 2), (5, "a", 3)):
        await hand.store.one(brings(hand, number, asks(run)))
        (left,) = await hand.store.read(("XLEN", box))
        assert left == answers
    held, line = await hand.store.read(
        ("ZCARD", hand.store.partitions[5].held("k")), ("ZCARD", hand.store.partitions[5].line("k"))
    )
    assert (held, line) == (1, 1)


make_room = entities._make_room


def careless(mail: Mapping[str, Any], line: Line) -> bytes:
    """A request to make room that any run of the workflow id takes."""
    letter = orjson.loads(make_room(mail, line))
    del letter["chain"]
    return orjson.dumps(letter)


@proves(replaced(entities, "_make_room", careless))
async def test_only_the_run_in_question_makes_room(hand: Hand) -> None:
    """It has ended, and another one has its workflow id by now: that one is not canceled."""
    hand.excused = True
    old = await hand.start(hand.id_in(3))
    sender = {"p": 3, "workflow_id": old.workflow_id, "run_id": old.run_id}
    first = {**asks("a", **NEWEST), "from": sender, "seq": 0}
    await hand.store.one(brings(hand, 1, first))
    newer = asks("b", **NEWEST)
    mails: list[dict[str, Any]] = [newer]
    line = (await entities.lines(hand.store, hand.store.partitions[5], mails))[0]
    await hand.store.one(brings(hand, 2, newer, line))
    await hand.end(old)
    new = await hand.start(old.workflow_id)
    assert (await relay.drain_outbox(hand.store, 5, 3)).left == 0
    assert await hand.types(new) == ["WorkflowExecutionStarted"]


oldest = entities._oldest


async def first_few(store: Store, p: Partition, key: str) -> Line:
    """Who is to make room, looked for among the first of a line: nobody, where that is long."""
    (waiting,) = await store.ask(("ZCARD", p.line(key)))
    return await oldest(store, p, key) if waiting < entities.FIRST else Line()


@proves(replaced(entities, "_oldest", first_few))
async def test_a_long_line_makes_room(hand: Hand) -> None:
    """Each newer run asks the oldest that was not asked: in the end only the newest goes on."""
    hand.excused = True
    newest: dict[str, Any] = {"slot": {"strategy": "cancel_running", "type": "t", "limit": 1}}
    p, names = hand.store.partitions[5], [f"n{n}" for n in range(80)]
    for number, run in enumerate(names, 1):
        mails: list[dict[str, Any]] = [asks(run, **newest)]
        line = (await entities.lines(hand.store, p, mails))[0]
        assert (await hand.store.one(brings(hand, number, mails[0], line)))[0] == b"ok"
    assert sorted(await cancels(hand)) == sorted(f"w-{run}" for run in names[:-1])


@proves(replaced(locks, "run_of", lambda _: "n" * 32))
async def test_a_run_that_goes_on_under_another_id_makes_room(hand: Hand) -> None:
    """The slot went with its chain, and so does the request to give it back."""
    hand.excused = True
    old, task = await hand.idle(hand.id_in(3))
    sender = {"p": 3, "workflow_id": old.workflow_id, "run_id": old.run_id}
    await hand.store.one(brings(hand, 1, {**asks("a", **NEWEST), "from": sender, "seq": 0}))
    await hand.tell(old)
    task = await hand.take(old)
    assert (await hand.carry_on(task, "n" * 32))[0] == b"ok"
    mails: list[dict[str, Any]] = [asks("b", **NEWEST)]
    line = (await entities.lines(hand.store, hand.store.partitions[5], mails))[0]
    await hand.store.one(brings(hand, 2, mails[0], line))
    await relay.drain_outbox(hand.store, 5, 3)
    assert (await hand.types(old._replace(run_id="n" * 32)))[-1:] == [
        "WorkflowExecutionCancelRequested"
    ]


async def once(store: Store, names: list[str]) -> None:
    """Note lanes unless this process has noted them before."""
    for name in names:
        await use_lane(store, name)


@proves(replaced(queues, "keep_lanes", once))
async def test_a_lane_that_a_fail_over_lost_is_noted_again(hand: Hand) -> None:
    """Tasks lie in it: workers that start later must look there."""
    await use_lane(hand.store, "q!hi")
    await hand.store.read(("DEL", keys.lanes(hand.store.namespace)))
    seen = queues.Queues(hand.store)
    seen.met("q!hi")
    assert "q!hi" in await seen.names()
    assert await lanes_of(hand.store, ["q"]) == {"q!hi"}
