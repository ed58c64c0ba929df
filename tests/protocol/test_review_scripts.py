"""Scripts under attack: fail-overs that lost the end, decisions that take long, many messages."""

from __future__ import annotations

from tests.protocol.hand import LEASE, Hand, close, timer
from tests.protocol.scenes import dump
from tests.support.mutants import mutant, proves

from luaflow.store import transitions

NEXT = "n" * 32


async def fail_over(hand: Hand, before: dict[str, bytes]) -> None:
    """Go back to what a replica had, as a fail-over does that lost acknowledged writes."""
    await hand.store.read(*(("DEL", key) for key in await dump(hand)))
    await hand.store.read(*(("RESTORE", key, 0, value) for key, value in before.items()))


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


@proves(mutant("includes/close", "r.decided + 1, r.len, 500", "1, 1, 500"))
async def test_all_unread_messages_are_listed(hand: Hand) -> None:
    """More than a page of messages nobody saw: the closing event names every one (3.5)."""
    route = await hand.start()
    for _ in range(520):
        await hand.tell(route)
    await hand.end(route)
    assert (await hand.events(route))[-1].body["unread"] == list(range(2, 522))
