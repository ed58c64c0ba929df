"""Closing (design 5.3): nobody's acknowledged message is lost at a run's end."""

from __future__ import annotations

import orjson
import pytest
from tests.protocol.hand import Hand, close, completed, eager
from tests.support.mutants import mutant, proves

from luaflow.client.client import Client
from luaflow.errors import Refused
from luaflow.store import delivery
from luaflow.store.delivery import Stamp

NEXT = "n" * 32


@proves(mutant("commit", "if closing and messages > 0 then", "if false then"))
async def test_close_over_unseen_messages_is_refused(hand: Hand) -> None:
    """A message acknowledged before the end is there for the code to take (3.5)."""
    route = await hand.start()
    task = await hand.take(route)
    assert (await hand.tell(route))[0] == b"ok"
    answer = await hand.commit(task, *close())
    assert answer[0] == b"messages"
    assert len(answer[1]) == 1
    assert (await hand.state(route))["status"] == "running"


@proves(mutant("includes/run", "  WorkflowExecutionCancelRequested = true\n", "\n"))
async def test_cancel_request_is_a_message(hand: Hand) -> None:
    """A cancel request refuses a close as a signal does."""
    route = await hand.start()
    task = await hand.take(route)
    await hand.tell(route, cancel=True)
    assert (await hand.commit(task, *close()))[0] == b"messages"


@proves(
    mutant(
        "commit",
        "rcall('HSET', run_key, 'refused'",
        "set_lease('x', 1) r.task = '' save_run(r) rcall('HSET', run_key, 'refused'",
    )
)
async def test_refused_close_keeps_the_turn(hand: Hand) -> None:
    """The worker decides again under the same turn, and may close over what it saw."""
    route = await hand.start()
    task = await hand.take(route)
    await hand.tell(route)
    await hand.commit(task, *close())
    again = task._replace(seen=task.seen + 1)
    assert (await hand.commit(again, *close()))[0] == b"ok"


@proves(mutant("commit", "refused >= 2", "refused >= 99"))
async def test_third_refusal_shuts_the_mailbox(hand: Hand) -> None:
    """Then nobody can keep the run from its end for ever, and nothing acknowledged is lost."""
    route = await hand.start()
    task = await hand.take(route)
    for n in range(3):
        assert (await hand.tell(route))[0] == b"ok"
        seen = task.seen + n
        assert (await hand.commit(task, *close(), seen=seen))[0] == b"messages"
    assert (await hand.tell(route))[0] == b"busy"
    assert (await hand.commit(task, *close(), seen=task.seen + 3))[0] == b"ok"


@proves(
    mutant("commit", "if told[1] == cid then", "if false then"),
    mutant("commit", "    r.len = tonumber(told[2])\n", "\n"),
)
async def test_repeated_refused_close_counts_once(hand: Hand) -> None:
    """Its answer was lost: the repeat gets it again, and does not shut the mailbox (3.3)."""
    route = await hand.start()
    task = await hand.take(route)
    await hand.tell(route)
    first = await hand.commit(task, *close(), cid="a.77")
    assert first[0] == b"messages"
    await hand.tell(route)
    for _ in range(3):
        assert await hand.commit(task, *close(), cid="a.77") == first
    assert (await hand.tell(route))[0] == b"ok"


async def _shut(hand: Hand) -> tuple:  # type: ignore[type-arg]
    route = await hand.start()
    task = await hand.take(route)
    for n in range(3):
        await hand.tell(route)
        await hand.commit(task, *close(), seen=task.seen + n)
    return route, task


@proves(
    mutant(
        "includes/decided",
        "rcall('HDEL', run_key, 'refused', 'shut', 'lost', 'fails', 'stuck')",
        "local _",
    )
)
async def test_next_commit_opens_the_mailbox(hand: Hand) -> None:
    """A run that does not end after all takes messages again."""
    route, task = await _shut(hand)
    await hand.commit(task, seen=task.seen + 3)
    assert (await hand.tell(route))[0] == b"ok"


@proves(mutant("expire_task", "rcall('HSET', run_key, 'refused', 0, 'shut', '0')\n", "\n"))
async def test_end_of_the_lease_opens_the_mailbox(hand: Hand) -> None:
    """A worker that dies with the mailbox shut does not leave it shut."""
    route, _ = await _shut(hand)
    await hand.lose(route)
    assert (await hand.tell(route))[0] == b"ok"


@proves(mutant("deliver_message", "if open and r.shut then return { 'busy' } end\n", "\n"))
async def test_relay_is_told_busy_too(hand: Hand) -> None:
    """A message of another run waits in its outbox: no mark is set, no answer given."""
    route, _ = await _shut(hand)
    call = delivery.deliver_message(
        route=route,
        stamp=Stamp(3, 1, 0),
        type="WorkflowExecutionSignaled",
        body=b'{"name":"s","input":[]}',
        yes=b"",
        no=b"",
    )
    assert await hand.store.one(call) == [b"busy"]
    (mark,) = await hand.store.read(("EXISTS", route.partition.mark(3)))
    assert mark == 0


@proves(mutant("includes/decide", "if r.status ~= 'running' then return", "if false then return"))
async def test_a_run_closes_once(hand: Hand) -> None:
    """After its end no decision is written, not even by who still has its turn."""
    route, task = await hand.idle("w", *eager(1))
    now = (await hand.events(route))[-1].ts
    await hand.end(route)
    late = task._replace(seen=task.seen + 1)
    answer = await hand.commit(late, *close(), fused=True, results=[completed(1, "a.t", now)])
    assert answer[0] == b"closed"


@proves(mutant("end_run", "if r.status ~= 'running' then", "if false then"))
async def test_a_closed_run_is_not_terminated(hand: Hand) -> None:
    """The first end counts: status and last event agree."""
    route = await hand.start()
    await hand.commit(await hand.take(route), *close())
    assert (await hand.end(route))[0] == b"closed"


@proves(mutant("includes/close", "'\"unread\":[' .. table.concat(unread, ',')", "'\"unread\":['"))
async def test_terminated_run_lists_what_it_left_unread(hand: Hand) -> None:
    """The closing event names the messages that no decision saw (3.5)."""
    route, _ = await hand.idle()
    await hand.tell(route)
    await hand.tell(route, cancel=True)
    await hand.end(route)
    *_, signal, cancel, end = await hand.events(route)
    assert end.body["unread"] == [signal.id, cancel.id]


CARRY = "for i = rest, rest + carried - 1 do"


@proves(mutant("continue_as_new", CARRY, "for i = 1, 0 do"))
async def test_unread_messages_go_with_the_next_run(hand: Hand) -> None:
    """What no receive, select or handler took is carried over, in order, by name."""
    route, _ = await hand.idle()
    for name in ("one", "two", "three"):
        await hand.tell(route, name)
    task = await hand.take(route)
    await hand.carry_on(task, NEXT, unread=[task.seen - 2, task.seen])
    first, *carried = await hand.events(route._replace(run_id=NEXT))
    assert first.type == "WorkflowExecutionStarted"
    assert [e.body["name"] for e in carried] == ["one", "three"]


@proves(mutant("continue_as_new", "for _, e in ipairs(late) do carry(e) end\n", "\n"))
async def test_late_messages_go_with_the_next_run(hand: Hand) -> None:
    """Messages after `seen` are carried over, behind those that were seen."""
    route, _ = await hand.idle()
    await hand.tell(route, "seen")
    task = await hand.take(route)
    await hand.tell(route, "late")
    assert (await hand.carry_on(task, NEXT, unread=[task.seen]))[0] == b"ok"
    _, *carried = await hand.events(route._replace(run_id=NEXT))
    assert [e.body["name"] for e in carried] == ["seen", "late"]


@proves(mutant("includes/run", "  WorkflowExecutionCancelRequested = true\n", "\n"))
async def test_cancel_goes_with_the_next_run(hand: Hand) -> None:
    """A cancel request reaches the code, though it came in the moment of continue-as-new."""
    route, _ = await hand.idle()
    await hand.tell(route, cancel=True)
    task = await hand.take(route)
    await hand.tell(route, "again", cancel=True)
    await hand.carry_on(task, NEXT, unread=[task.seen])
    types = await hand.types(route._replace(run_id=NEXT))
    assert types[1:] == ["WorkflowExecutionCancelRequested"] * 2


@proves(
    mutant(
        "continue_as_new",
        "rcall('HSET', run_key, 'cid', cid, 'ans',",
        "rcall('HSET', run_key, 'ans',",
    )
)
async def test_repeated_continue_as_new_opens_one_run(hand: Hand) -> None:
    """The answer was lost: the repeat gets it again and opens nothing."""
    route, _ = await hand.idle()
    await hand.tell(route)
    task = await hand.take(route)
    first = await hand.carry_on(task, NEXT, unread=[task.seen], cid="a.9")
    assert await hand.carry_on(task, NEXT, unread=[task.seen], cid="a.9") == first
    assert len(await hand.events(route._replace(run_id=NEXT))) == 2


@proves(
    mutant(
        "message",
        "if w[1] ~= run_id and (w[4] or '') == r.first then",
        "if false then",
    )
)
async def test_message_follows_the_chain(hand: Hand) -> None:
    """A client that knows the old run still reaches the workflow."""
    route, _ = await hand.idle()
    await hand.tell(route)
    task = await hand.take(route)
    await hand.carry_on(task, NEXT)
    assert (await hand.tell(route, "late"))[0] == b"ok"
    (signal,) = (await hand.events(route._replace(run_id=NEXT)))[1:]
    assert orjson.loads(signal.raw)["name"] == "late"


OF_ITS_CHAIN = " and (w[4] or '') == r.first"


@proves(mutant("message", OF_ITS_CHAIN, ""))
async def test_message_follows_no_other_chain(hand: Hand) -> None:
    """The chain is over and its workflow id was started anew: that run is not the one meant."""
    route, _ = await hand.idle()
    await hand.tell(route)
    await hand.carry_on(await hand.take(route), NEXT)
    second = route._replace(run_id=NEXT)
    last = "l" * 32
    await hand.carry_on(await hand.take(second), last)
    assert (await hand.tell(route, "to the third"))[0] == b"ok"
    await hand.end(route._replace(run_id=last))
    other = await hand.start()
    for one in (route, second):
        assert (await hand.tell(one, "late"))[0] == b"closed"
        with pytest.raises(Refused):
            await Client(hand.store).get_handle("w", one.run_id).terminate()
    assert await hand.types(other) == ["WorkflowExecutionStarted"]


@proves(
    mutant("continue_slice", "first = r.first", "first = next_run"),
    mutant("includes/open", "    'first', o.first)\n", "    'first', run_id)\n"),
)
async def test_message_follows_a_chain_made_in_slices(hand: Hand) -> None:
    """The next run of a run with many messages belongs to its chain as well."""
    route, _ = await hand.idle()
    await hand.tell_many(route, ["s"] * 501)
    task = await hand.take(route)
    await hand.carry_on(task, NEXT, unread=range(task.seen - 500, task.seen + 1))
    for _ in range(2):
        await hand.slice(route)
    assert (await hand.tell(route, "late"))[0] == b"ok"
    assert (await hand.types(route._replace(run_id=NEXT)))[-1] == "WorkflowExecutionSignaled"
