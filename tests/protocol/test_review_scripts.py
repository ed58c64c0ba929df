"""Scripts under attack: fail-overs that lost the end, decisions that take long, many messages."""

from __future__ import annotations

from tests.protocol.hand import LEASE, Hand, close, timer
from tests.protocol.scenes import dump, fail_over
from tests.support.mutants import mutant, proves

from luaflow.store import transitions

NEXT = "n" * 32


@proves(mutant("includes/decide", "r.worker ~= worker or r.len < seen", "r.len < seen"))
async def test_a_turn_given_twice_is_the_present_owners(hand: Hand) -> None:
    """A fail-over lost a take and another worker got the same turn: the first cannot write."""
    route = await hand.start()
    before = await dump(hand)
    deposed = await hand.take(route, "a")
    await fail_over(hand, before)
    owner = await hand.take(route, "b")
    assert deposed.turn == owner.turn
    assert (await hand.commit(deposed, *timer(1, 5)))[0] == b"turn"
    assert (await hand.carry_on(deposed, NEXT))[0] == b"turn"
    assert (await hand.commit(owner, *timer(1, 7)))[0] == b"ok"


@proves(mutant("includes/decide", "r.worker ~= worker or r.len < seen", "r.worker ~= worker"))
async def test_a_decision_on_lost_events_is_refused(hand: Hand) -> None:
    """A fail-over lost a message that the decision has seen: it has no place in the history."""
    route = await hand.start()
    before = await dump(hand)
    await hand.tell(route)
    deposed = await hand.take(route, "a")
    await fail_over(hand, before)
    owner = await hand.take(route, "a")
    assert (deposed.turn, deposed.seen) == (owner.turn, owner.seen + 1)
    assert (await hand.commit(deposed, *timer(1, 5)))[0] == b"turn"
    assert (await hand.commit(owner, *timer(1, 7)))[0] == b"ok"


@proves(
    mutant("renew_task", "if waits == 1 and v[5] == '1' then", "if false then"),
    mutant("renew_task", "if waits == 1 and v[5] == '1' then", "if v[5] == '1' then"),
)
async def test_a_decision_that_waits_opens_the_mailbox(hand: Hand) -> None:
    """A local activity may take an hour: nobody waits that long to be heard. A replay does not."""
    route = await hand.start()
    task = await hand.take(route)
    for _ in range(3):
        await hand.tell(route)
        assert (await hand.commit(task, *close()))[0] == b"messages"
    assert (await hand.tell(route))[0] == b"busy"
    await hand.shift(LEASE // 2)
    p, run_id = route.partition, route.run_id
    for waits, heard in ((False, b"busy"), (True, b"ok")):
        renew = transitions.renew_task(
            partition=p, run_id=run_id, turn=task.turn, worker="a", waits=waits
        )
        assert (await hand.store.one(renew))[0] == b"ok"
        assert (await hand.tell(route))[0] == heard
    assert (await hand.commit(task, *close()))[0] == b"messages"
    assert (await hand.tell(route))[0] == b"busy"


@proves(
    mutant("includes/close", "at < r.len and", "false and"),
    mutant("includes/close", "'COUNT', 500", "'COUNT', 5000"),
    mutant("includes/close", "late, r.decided + #late)", "late, r.decided)"),
)
async def test_all_unread_messages_are_told(hand: Hand) -> None:
    """The closing event names what lies among 500 events nobody saw, and where the rest begins."""
    route = await hand.start()
    await hand.commit(await hand.take(route), *timer(1, 50))
    await hand.tell_many(route, ["s"] * 600)
    await hand.end(route)
    _, decision, started, *signals, end = await hand.events(route)
    assert (decision.id, started.id, len(signals)) == (2, 3, 600)
    assert end.body["unread"] == list(range(4, 502))
    assert end.body["unread_after"] == 501


@proves(mutant("includes/close", "at < r.len and", "true and"))
async def test_no_more_unread_is_said_where_there_is_no_more(hand: Hand) -> None:
    """A closing event that names all has no `unread_after`."""
    route = await hand.start()
    await hand.tell_many(route, ["s"] * 499)
    await hand.end(route)
    end = (await hand.events(route))[-1]
    assert end.body == {"unread": list(range(2, 501))}
