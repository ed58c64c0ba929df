"""Request ids (design 5.10), id policies, and what the server refuses without memory (5.9)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from tests.protocol.hand import QUEUE, Hand, close
from tests.support.mutants import Violation, mutant, patience, proves, replaced
from tests.support.player import watch_subscriptions

from luaflow.client.client import Client
from luaflow.errors import Refused, Unknown
from luaflow.store import link, scripts, transitions
from luaflow.store.link import Link
from luaflow.store.store import Store
from luaflow.store.transitions import RequestId, Route


@proves(mutant("message", "if repeated() then return { 'ok', 0 } end\n", "\n"))
async def test_a_repeated_message_is_applied_once(hand: Hand) -> None:
    """The answer was lost: the repeat gets 'ok' and writes nothing (3.3)."""
    route, _ = await hand.idle()
    for _ in range(2):
        assert (await hand.tell(route, request=RequestId("s", 1, 1)))[0] == b"ok"
    assert (await hand.types(route)).count("WorkflowExecutionSignaled") == 1


@proves(
    mutant(
        "message",
        "if r.shut then return { 'busy' } end",
        "if r.shut then remember() return { 'busy' } end",
    )
)
async def test_a_refused_message_is_judged_afresh(hand: Hand) -> None:
    """A refusal leaves no trace: when the mailbox is open again the same number is applied."""
    route = await hand.start()
    task = await hand.take(route)
    for n in range(3):
        await hand.tell(route)
        await hand.commit(task, *close(), seen=task.seen + n)
    ask = RequestId("s", 1, 1)
    assert (await hand.tell(route, "mine", request=ask))[0] == b"busy"
    await hand.commit(task, seen=task.seen + 3)
    assert (await hand.tell(route, "mine", request=ask))[0] == b"ok"
    assert (await hand.events(route))[-1].body == {"name": "mine", "input": []}


@proves(mutant("includes/session", "request < tonumber(session[1] or '0') or", "false or"))
async def test_an_answered_number_is_a_repeat(hand: Hand) -> None:
    """A number below the lowest unanswered one was applied, though it is not kept any more."""
    route, _ = await hand.idle()
    await hand.tell(route, request=RequestId("s", 1, 1))
    await hand.tell(route, request=RequestId("s", 2, 2))
    assert (await hand.tell(route, request=RequestId("s", 1, 1)))[0] == b"ok"
    assert (await hand.types(route)).count("WorkflowExecutionSignaled") == 2


@proves(
    mutant("includes/session", "tonumber(v[2] or low)", "low - 500"),
    mutant("includes/session", "math.min(low, kept + 500)", "low"),
)
async def test_answered_numbers_go(hand: Hand) -> None:
    """One that waited long kept many: they go with the next requests, at most 500 with each."""
    route, _ = await hand.idle()
    key = route.partition.session("s")
    sizes = []
    for first, last, lowest in ((2, 1201, 1), (1202, 1202, 1202), (1203, 1206, 1203)):
        for n in range(first, last + 1):
            await hand.tell(route, request=RequestId("s", n, lowest))
        (fields,) = await hand.store.read(("HKEYS", key))
        sizes.append(sum(bytes(field).isdigit() for field in fields))
    assert sizes == [1200, 702, 4]


@proves(mutant("includes/session", "rcall('PEXPIRE', sess_key, 600000)\n", "\n"))
async def test_a_silent_session_is_dropped(hand: Hand) -> None:
    """What is kept of a client has a time to live (3.8)."""
    route, _ = await hand.idle()
    await hand.tell(route, request=RequestId("s", 1, 1))
    (ttl,) = await hand.store.read(("PTTL", route.partition.session("s")))
    assert 0 < ttl <= 600_000


def named(number: int, asked: str) -> RequestId:
    """A request of another client each time, with the id its caller gave it."""
    return RequestId(f"s{number}", 1, 1, asked)


@proves(
    mutant("message", "if event then return { 'ok', tonumber(event) } end\n", "\n"),
    mutant("message", "note(r.len, run_id)\n", "\n"),
    mutant("message", "'ok', tonumber(event)", "'ok', 0"),
)
async def test_a_callers_id_is_done_once(hand: Hand) -> None:
    """Whoever repeats it, however late, to whichever run: the first answer, and no event (5.10)."""
    route, _ = await hand.idle()
    first = await hand.tell(route, request=named(1, "signal:mine"))
    assert first == [b"ok", 3]
    await hand.tell(route, request=named(2, "signal:other"))
    assert await hand.tell(route, request=named(3, "signal:mine")) == first
    assert (await hand.types(route)).count("WorkflowExecutionSignaled") == 2
    await hand.end(route)
    assert await hand.tell(route, request=named(4, "signal:mine")) == first
    later = await hand.start()
    assert await hand.tell(later, request=named(5, "signal:mine")) == first
    assert await hand.types(later) == ["WorkflowExecutionStarted"]


@proves(
    mutant(
        "message",
        "if r.shut then return { 'busy' } end",
        "if r.shut then touch() note(0, run_id) return { 'busy' } end",
    ),
    mutant(
        "message",
        "then return { 'closed', r.status }",
        "then note(0, run_id) return { 'closed', 0 }",
    ),
)
async def test_a_refused_callers_id_is_judged_afresh(hand: Hand) -> None:
    """A refusal leaves no trace: the same id is applied when there is no reason any more."""
    route = await hand.start()
    task = await hand.take(route)
    for n in range(3):
        await hand.tell(route)
        await hand.commit(task, *close(), seen=task.seen + n)
    ask = named(1, "signal:mine")
    assert (await hand.tell(route, request=ask))[0] == b"busy"
    await hand.commit(task, *close(), seen=task.seen + 3)
    assert (await hand.tell(route, request=ask))[0] == b"closed"
    later = await hand.start()
    assert await hand.tell(later, request=ask) == [b"ok", 2]


@proves(
    mutant("includes/asked", "if oldest then rcall('HDEL', wf_key, 'q:' .. oldest) end", "local _"),
    mutant("includes/asked", "% 1000", "% 999"),
)
async def test_a_workflow_id_remembers_1000(hand: Hand) -> None:
    """The oldest is forgotten, and how many there were is counted (3.8)."""
    route, _ = await hand.idle()
    kind, body = "WorkflowExecutionSignaled", b'{"name":"s","input":[]}'
    ids = [f"signal:{n}" for n in range(1001)]
    await hand.store.run(
        *(
            transitions.message(route=route, type=kind, body=body, request=named(n, asked))
            for n, asked in enumerate(ids)
        )
    )
    (flat,) = await hand.store.read(("HGETALL", route.partition.wf("w")))
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    kept = {bytes(name).decode()[2:] for name in fields if bytes(name).startswith(b"q:")}
    assert kept == set(ids[1:])
    assert fields[b"q#"] == b"1001"
    assert sum(bytes(name).startswith(b"q#") for name in fields) == 1001
    await hand.tell(route, request=named(1, ids[1]))
    assert (await hand.state(route))["len"] == "1003"


@proves(
    mutant("start", "if got then return { 'started', got, now } end\n", "\n"),
    mutant("message", "note(r.len, run_id)\n", "\n"),
    mutant("start", "      note(0, old[1])\n", "\n"),
)
async def test_a_start_that_used_a_run_is_done(hand: Hand) -> None:
    """Its messages went to a run that is over by now: the repeat starts nothing and sends none."""
    first = await hand.start()
    other = Route(first.partition, "w", "r" * 32, QUEUE)
    kind, body = "WorkflowExecutionSignaled", b'{"name":"s","input":[]}'
    how = {"conflict": "use_existing", "messages": [(kind, body)] * 2}
    assert (await hand.start_as(other, request=named(1, "start:a"), **how))[0] == b"running"
    call = transitions.message(
        route=first, type=kind, body=body, more=[(kind, body)], request=named(2, "start:a")
    )
    assert await hand.store.one(call) == [b"ok", 3]
    bare = {"conflict": "use_existing"}
    assert (await hand.start_as(other, request=named(3, "start:b"), **bare))[0] == b"running"
    await hand.end(first)
    for again in (
        await hand.start_as(other, request=named(4, "start:a"), **how),
        await hand.start_as(other, request=named(5, "start:b"), **bare),
    ):
        assert again[:2] == [b"started", first.run_id.encode()]
    assert (await hand.store.route("w")).run_id == first.run_id


@proves(mutant("start", "conflict == 'use_existing' and messages", "messages"))
async def test_a_start_that_ends_a_run_is_not_done_by_finding_it(hand: Hand) -> None:
    """The caller ends the run and asks again, with the same id: only now it starts."""
    first = await hand.start()
    other = Route(first.partition, "w", "r" * 32, QUEUE)
    ask, how = named(1, "start:a"), {"conflict": "terminate_existing"}
    assert (await hand.start_as(other, request=ask, **how))[0] == b"running"
    await hand.end(first)
    assert (await hand.start_as(other, request=ask, **how))[1] == other.run_id.encode()


@proves(mutant("start", "note(1, run_id)\n", "\n"))
async def test_a_start_is_done_though_its_run_is_removed(hand: Hand) -> None:
    """Its id lives with the workflow id, which a later run keeps."""
    first = Route(hand.store.partition("w"), "w", "a" * 32, QUEUE)
    await hand.start_as(first, request=named(1, "start:a"))
    await hand.end(first)
    later = await hand.start()
    await hand.shift(hand.store.settings.retention_ms)
    await hand.store.one(
        transitions.remove_run(partition=first.partition, workflow_id="w", run_id=first.run_id)
    )
    again = await hand.start_as(first, request=named(2, "start:a"))
    assert again[:2] == [b"started", first.run_id.encode()]
    assert (await hand.store.route("w")).run_id == later.run_id


@proves(
    mutant(
        "start", "if repeated() or rcall('HEXISTS', run_key, 'wid') == 1 then", "if repeated() then"
    )
)
async def test_a_repeated_start_finds_its_run(hand: Hand) -> None:
    """The client chose the run id: its repeat is answered 'started', whatever became of the run."""
    route = await hand.start()
    await hand.commit(await hand.take(route), *close())
    assert (await hand.start_as(route))[:2] == [b"started", route.run_id.encode()]
    assert (await hand.types(route)).count("WorkflowExecutionStarted") == 1


@proves(mutant("start", "if old[2] == 'running' then", "if false then"))
async def test_a_workflow_id_runs_once(hand: Hand) -> None:
    """A second run of an open workflow id is refused, and names the first."""
    route = await hand.start()
    other = Route(route.partition, "w", "r" * 32, QUEUE)
    assert (await hand.start_as(other))[:2] == [b"exists", route.run_id.encode()]


@proves(
    mutant("start", "reuse == 'allow_duplicate_failed_only' and old[2] == 'completed'", "false")
)
async def test_reuse_policies(hand: Hand) -> None:
    """An id that completed is free again only where the policy says so."""
    route = await hand.start()
    await hand.commit(await hand.take(route), *close())
    other = Route(route.partition, "w", "r" * 32, QUEUE)
    for reuse in ("reject_duplicate", "allow_duplicate_failed_only"):
        assert (await hand.start_as(other, reuse=reuse))[0] == b"exists"
    assert (await hand.start_as(other))[0] == b"started"


@contextmanager
def _all_allowed() -> Iterator[None]:
    scripts.load.cache_clear()
    with patch.object(scripts, "_OOM_REFUSED", frozenset()):
        yield
    scripts.load.cache_clear()


@pytest.mark.one_server("it sets the memory of one server")
@proves(Violation("no script is refused", _all_allowed))
async def test_without_memory_nothing_begins_and_everything_ends(hand: Hand) -> None:
    """Starts and signals are refused before they write; commits go on (5.9)."""
    route = await hand.start()
    task = await hand.take(route)
    other = Route(hand.store.partition("x"), "x", "r" * 32, QUEUE)
    await hand.store.read(("CONFIG", "SET", "maxmemory", "1"))
    try:
        with pytest.raises(Refused, match="out of memory"):
            await hand.start_as(other)
        with pytest.raises(Refused, match="out of memory"):
            await hand.tell(route)
        assert (await hand.commit(task, *close()))[0] == b"ok"
    finally:
        await hand.store.read(("CONFIG", "SET", "maxmemory", "0"))
    assert (await hand.start_as(other))[0] == b"started"


@proves(replaced(link, "error_code", lambda _: ""))
async def test_a_server_that_forgot_the_scripts_is_served(hand: Hand) -> None:
    """EVALSHA falls back to EVAL: a fail-over or SCRIPT FLUSH costs one round trip."""
    route = await hand.start()
    await hand.tell(route)
    await hand.store.read(("SCRIPT", "FLUSH"))
    assert (await hand.tell(route))[0] == b"ok"
    await hand.take(route)


@pytest.mark.one_server("it looks at one connection")
@proves(replaced(Link, "_load", lambda *_: None))
async def test_a_script_is_sent_ahead_of_its_first_call(hand: Hand) -> None:
    """In the same round trip: what leaves together is carried out in its order."""
    one = hand.store.link
    await one.batch([("SCRIPT", "FLUSH")])
    one._loaded.clear()  # type: ignore[attr-defined]
    with patch.object(one, "_send", wraps=one._send) as sent:  # type: ignore[attr-defined]
        route = await hand.start()
        await hand.tell(route)
        await hand.tell(route)
    assert sent.call_count == 3


@proves(
    mutant(
        "confirm",
        "redis.call('HINCRBY', meta_key, 'confirmed', 1)",
        "redis.call('HGET', meta_key, 'x')",
    )
)
async def test_an_answer_is_confirmed_by_a_write_of_its_own(hand: Hand) -> None:
    """WAIT counts what follows a write: even a repeat that writes nothing makes one (5.5)."""
    hand.store.link.confirm = ("WAIT", 0, 1)
    route = await hand.start()
    meta = route.partition.meta
    (before,) = await hand.store.read(("HGET", meta, "confirmed"))
    assert (await hand.start_as(route))[0] == b"started"
    (after,) = await hand.store.read(("HGET", meta, "confirmed"))
    assert int(after or 0) == int(before or 0) + 1


@pytest.mark.one_server("there is a replica")
@proves(
    replaced(Store, "confirms", False),
    replaced(Store, "confirmed", lambda self, _, *commands: self.read(*commands)),
)
async def test_a_result_is_told_when_it_is_confirmed(hand: Hand) -> None:
    """An end that one server has may be lost with it: pushed or read, nobody is told (5.5)."""
    route = await hand.start()
    task = await hand.take(route)
    handle = Client(hand.store).get_handle("w", route.run_id)
    subscribed = watch_subscriptions(hand.store)
    waits = asyncio.create_task(handle.result(timeout=0.5))
    await subscribed.wait()
    hand.store.link.confirm = ("WAIT", 1, 5)  # there is no replica
    other = await Store.open(hand.store.url, hand.store.namespace)
    assert (await Hand(other).commit(task, *close()))[0] == b"ok"
    await other.close()
    with pytest.raises(TimeoutError):
        await waits
    with pytest.raises(TimeoutError):
        await handle.result(timeout=0.5)
    hand.store.link.confirm = ("WAIT", 0, 5)
    assert await handle.result(timeout=patience()) == 1


@pytest.mark.one_server("there is a replica")
@proves(replaced(Link, "_check_confirmed", lambda *_: None))
async def test_an_unconfirmed_write_is_unknown_and_there_once(hand: Hand) -> None:
    """No replica confirms: the outcome is unknown, never failed, and repeating changed nothing."""
    route, _ = await hand.idle()
    hand.store.link.confirm = ("WAIT", 1, 5)
    call = transitions.message(
        route=route,
        type="WorkflowExecutionSignaled",
        body=b'{"name":"s","input":[]}',
        request=RequestId("s", 1, 1),
    )
    with pytest.raises(Unknown):
        await hand.store.one(call, patience=0.2)
    hand.store.link.confirm = ()
    assert (await hand.types(route)).count("WorkflowExecutionSignaled") == 1
