"""The client against a real server; the test plays the worker."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from tests.support.player import Player, watch_starts, watch_subscriptions
from tests.support.proxy import Proxy

from luaflow.client import Client, SyncClient
from luaflow.domain.failure import Failure
from luaflow.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    Refused,
    Unavailable,
    WorkflowFailed,
)
from luaflow.store import link, listen, transitions
from luaflow.store.connect import connect_to
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.scripts import load
from luaflow.store.store import Store
from luaflow.store.transitions import RequestId

SMALL = Settings(payload_warn_bytes=1000, payload_max_bytes=4000)


@pytest.fixture
async def client(redis_url: str, namespace: str) -> AsyncIterator[Client]:
    """A client of a namespace with small payload limits, with two workflow types deployed."""
    connection = make_link(redis_url)
    await create_namespace(connection, namespace, SMALL)
    await connection.close()
    async with await Client.connect(redis_url, namespace) as client:
        await Player(client.store).register("app:pay", "app:ship")
        yield client


@pytest.fixture
def player(client: Client) -> Player:
    return Player(client.store)


async def types_of(client: Client, workflow_id: str) -> list[str]:
    return [event.type async for event in client.get_handle(workflow_id).history()]


# -- start and result ------------------------------------------------------------------------


async def test_started_run_is_in_its_history(client: Client) -> None:
    """What start was given is in the first event, ids and queue included."""
    handle = await client.start(
        "app:pay", {"amount": 3.0, "raw": b"\xff"}, None, id="w1", memo={"who": "me"}
    )
    (event,) = [event async for event in handle.history()]
    assert event.type == "WorkflowExecutionStarted"
    assert event.body["input"] == [{"amount": 3.0, "raw": {"$lf": "bytes", "v": "/w=="}}, None]
    assert event.body["run_id"] == handle.run_id
    assert event.body["task_queue"] == "orders"
    assert event.body["memo"] == {"who": "me"}
    assert handle.pid == "{app:client@app:worker|w1}"


async def test_result_is_pushed(client: Client, player: Player) -> None:
    """A result that is awaited before the end arrives with the end."""
    subscribed = watch_subscriptions(client.store)
    handle = await client.start("app:pay", id="w1")
    waiting = asyncio.create_task(handle.result())
    await subscribed.wait()
    await player.close("w1", result={"charged": 1})
    assert await waiting == {"charged": 1}


async def test_result_of_a_closed_run(client: Client, player: Player) -> None:
    """The result is there for whoever asks later, and by another client."""
    handle = await client.start("app:pay", id="w1")
    await player.close("w1", result=7)
    assert await handle.result() == 7
    async with await Client.connect(client.store.url, client.namespace) as other:
        assert await other.get_handle("w1").result() == 7


async def test_result_too_large_to_be_pushed(client: Client, player: Player) -> None:
    """A result over 64 KiB is read from the history when the end is told."""
    handle = await client.start("app:pay", id="w1")
    waiting = asyncio.create_task(handle.result())
    await player.close("w1", result="x" * 70_000)
    assert len(await waiting) == 70_000


async def test_failure_is_raised_with_all_it_says(client: Client, player: Player) -> None:
    """A failed run raises WorkflowFailed with kind, retryable, details and status."""
    handle = await client.start("app:pay", id="w1")
    failure = Failure("RateLimited", "slow down", retryable=True, details={"after": 3})
    await player.close("w1", "failed", failure=failure.to_json())
    with pytest.raises(WorkflowFailed, match="slow down") as caught:
        await handle.result()
    error = caught.value
    assert (error.kind, error.retryable, error.details) == ("RateLimited", True, {"after": 3})
    assert error.status == "failed"


async def test_result_follows_continue_as_new(client: Client, player: Player) -> None:
    """The result of a run that continued as new is that of the last run of its chain."""
    handle = await client.start("app:pay", id="w1")
    waiting = asyncio.create_task(handle.result())
    await player.continue_as_new("w1", "2" * 32)
    await player.continue_as_new("w1", "3" * 32)
    await player.close("w1", result="third")
    assert await waiting == "third"
    assert await client.get_handle("w1", handle.run_id).result() == "third"


async def test_result_times_out(client: Client) -> None:
    """A timeout leaves the run alone, and nothing subscribed."""
    handle = await client.start("app:pay", id="w1")
    with pytest.raises(TimeoutError):
        await handle.result(timeout=0.01)
    assert not client.store.push._listeners
    assert (await handle.describe())["status"] == "running"


async def test_unknown_type_says_what_there_is(client: Client) -> None:
    """Nobody could run it, so the start fails at once, and helps."""
    with pytest.raises(
        NotFound, match=r"did you mean 'app:pay'\? deployed are app:pay, app:ship; 'lu"
    ):
        await client.start("app:pai")


async def test_unknown_workflow_and_run(client: Client) -> None:
    """Whatever one asks of a workflow that never was is answered with NotFound."""
    await client.start("app:pay", id="w1")
    for handle in (client.get_handle("nobody"), client.get_handle("w1", "f" * 32)):
        for ask in (handle.result, handle.describe, handle.terminate):
            with pytest.raises(NotFound):
                await ask()
    with pytest.raises(NotFound):
        await client.get_handle("nobody").signal("go")


@pytest.mark.parametrize("bad", ["{x}", "a|b", "a\nb", "", "x" * 201, "\ud800"])
async def test_bad_workflow_id(client: Client, bad: str) -> None:
    """An id that would break keys or PIDs is refused before anything is sent."""
    with pytest.raises(InvalidArgument):
        await client.start("app:pay", options={"workflow.id": bad})
    with pytest.raises(InvalidArgument):
        client.get_handle(bad)


@pytest.mark.parametrize(("type", "how"), [(None, {}), ("", {}), (3, {}), ("app:pay", {"id": 3})])
async def test_start_with_what_is_no_text(client: Client, type: Any, how: Any) -> None:
    """What only a type checker would have found is an error of ours."""
    with pytest.raises(InvalidArgument, match=r"text|string"):
        await client.start(type, **how)
    for other in ("request_id", "host"):
        wrong: dict[str, Any] = {other: 7}
        with pytest.raises(InvalidArgument, match="must be text, not 7"):
            await client.start("app:pay", **wrong)


async def test_payload_over_the_limit(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Over the limit nothing is sent; over the warning it is sent and logged."""
    with pytest.raises(Refused, match="the namespace allows 4000"):
        await client.start("app:pay", "x" * 4000, id="w1")
    assert await client.count() == 0
    with caplog.at_level(logging.WARNING):
        handle = await client.start("app:pay", "x" * 2000, id="w1")
    assert "more than 1000" in caplog.text
    with pytest.raises(Refused):
        await handle.signal("go", "x" * 4000)
    assert await types_of(client, "w1") == ["WorkflowExecutionStarted"]


# -- id policies -----------------------------------------------------------------------------


async def test_chosen_id_twice_finds_the_first(client: Client) -> None:
    """A chosen id means this one workflow: the second start gets the first one's run."""
    first = await client.start("app:pay", 1, id="w1")
    second = await client.start("app:pay", 2, id="w1", messages=[("go", 5), ("", 6)])
    assert second.run_id == first.run_id
    events = [event async for event in first.history()]
    assert [(e.type, e.body["input"]) for e in events] == [
        ("WorkflowExecutionStarted", [1]),
        ("WorkflowExecutionSignaled", [5]),
    ]


async def test_conflict_policy_fail(client: Client) -> None:
    """With the policy fail the second start is refused and names the run; no message arrives."""
    first = await client.start("app:pay", id="w1")
    options = {"workflow.id_conflict_policy": "fail"}
    with pytest.raises(AlreadyExists) as caught:
        await client.start("app:pay", id="w1", options=options, messages=[("go",)])
    assert caught.value.run_id == first.run_id
    assert await types_of(client, "w1") == ["WorkflowExecutionStarted"]


@pytest.mark.parametrize(
    "options",
    [
        {"workflow.id_conflict_policy": "terminate_existing"},
        {"workflow.id_reuse_policy": "terminate_if_running"},
    ],
)
async def test_terminate_existing(client: Client, options: dict[str, str]) -> None:
    """The running one is terminated, a new one begins."""
    first = await client.start("app:pay", id="w1")
    second = await client.start("app:pay", id="w1", options=options)
    assert second.run_id != first.run_id
    assert (await first.describe())["status"] == "terminated"
    assert (await second.describe())["status"] == "running"
    with pytest.raises(WorkflowFailed) as caught:
        await first.result()
    assert (caught.value.kind, caught.value.status) == ("Canceled", "terminated")


@pytest.mark.parametrize(
    ("policy", "status", "starts"),
    [
        ("allow_duplicate", "completed", True),
        ("allow_duplicate_failed_only", "completed", False),
        ("allow_duplicate_failed_only", "failed", True),
        ("reject_duplicate", "failed", False),
    ],
)
async def test_reuse_policy(
    client: Client, player: Player, policy: str, status: str, *, starts: bool
) -> None:
    """What a closed workflow id may be used for is the reuse policy's word."""
    first = await client.start("app:pay", id="w1")
    await player.close("w1", status, result=None, failure={"kind": "Internal", "message": "m"})
    options = {"workflow.id_reuse_policy": policy}
    if starts:
        second = await client.start("app:pay", id="w1", options=options)
        assert second.run_id != first.run_id
    else:
        with pytest.raises(AlreadyExists, match=policy):
            await client.start("app:pay", id="w1", options=options)


async def test_caller_given_request_id(client: Client, player: Player) -> None:
    """A start with the same request id is done once, by any client, even after the run's end."""
    first = await client.start("app:pay", id="w1", request_id="order-1")
    await player.close("w1", result=1)
    async with await Client.connect(client.store.url, client.namespace) as other:
        again = await other.start("app:pay", id="w1", request_id="order-1")
        unnamed = [await other.start("app:pay", request_id="order-2") for _ in range(2)]
    assert again.run_id == first.run_id
    assert unnamed[0].workflow_id == unnamed[1].workflow_id
    assert await client.count() == 2


async def test_request_id_of_a_start_that_signals(client: Client, player: Player) -> None:
    """Done once: its signals go together to the run that exists, and to no later one."""
    await client.start("app:pay", id="w1")
    how: dict[str, Any] = {"id": "w1", "request_id": "r1", "messages": [("stop",)]}
    first = await client.signal_with_start("app:pay", "go", **how)
    async with await Client.connect(client.store.url, client.namespace) as other:
        again = await other.signal_with_start("app:pay", "go", **how)
    assert (again.run_id, again.existed) == (first.run_id, True)
    signals = [e.body["name"] async for e in first.history() if "name" in e.body]
    assert signals == ["go", "stop"]
    await player.close("w1", result=1)
    assert (await client.signal_with_start("app:pay", "go", **how)).run_id == first.run_id
    assert await client.count() == 1


async def test_request_id_of_a_message(client: Client) -> None:
    """A signal and a cancel request are sent once for each id; each verb has its own ids."""
    handle = await client.start("app:pay", id="w1", request_id="r1")
    for one in (handle, client.get_handle("w1")):
        await one.signal("go", 1, request_id="r1")
        await one.signal("go", 2, request_id="r2")
        await one.cancel("enough", request_id="r1")
    sent = [e.body.get("input", e.body.get("reason")) async for e in handle.history()]
    assert sent == [[], [1], [2], "enough"]


@pytest.mark.parametrize("bad", ["", "x" * 201, "\ud800"])
async def test_bad_request_id(client: Client, bad: str) -> None:
    """An id that the server could not keep is refused before anything is sent."""
    handle = await client.start("app:pay", id="w1")
    for ask in (
        client.start("app:pay", request_id=bad),
        handle.signal("go", request_id=bad),
        handle.cancel(request_id=bad),
    ):
        with pytest.raises(InvalidArgument, match="request id"):
            await ask
    assert await types_of(client, "w1") == ["WorkflowExecutionStarted"]


async def test_delayed_start_has_no_task(client: Client, player: Player) -> None:
    """A delayed run has no task; a signal gives it one."""
    handle = await client.start("app:pay", id="w1", options={"workflow.start_delay": "1h"})
    with pytest.raises(AssertionError, match="has no task"):
        await player.take("w1")
    await handle.signal("go")
    await player.take("w1")


# -- lost replies ----------------------------------------------------------------------------


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def shaky(client: Client, proxy: Proxy) -> AsyncIterator[Client]:
    """A client whose server is behind the proxy."""
    async with await Client.connect(proxy.url, client.namespace) as shaky:
        yield shaky


async def test_start_with_lost_reply_starts_once(
    client: Client, shaky: Client, proxy: Proxy
) -> None:
    """A start whose answer is lost is sent again and gets the run it made."""
    proxy.lose_reply(load("start").sha)
    options = {"workflow.id_conflict_policy": "fail"}
    handle = await shaky.start("app:pay", id="w1", options=options)
    assert proxy.lost == 1
    assert await types_of(client, "w1") == ["WorkflowExecutionStarted"]
    assert (await handle.describe())["run_id"] == handle.run_id


async def test_signal_with_lost_reply_is_recorded_once(
    client: Client, shaky: Client, proxy: Proxy
) -> None:
    """Signals whose answers are lost are in the history once, in order, none missing."""
    await client.start("app:pay", id="w1")
    handle = shaky.get_handle("w1")
    for number in range(6):
        if number % 2:
            proxy.lose_reply(load("message").sha)
        await handle.signal("go", number)
    assert proxy.lost == 3
    events = [event async for event in client.get_handle("w1").history()]
    assert [event.body["input"] for event in events[1:]] == [[n] for n in range(6)]


async def test_concurrent_signals_through_cuts(client: Client, shaky: Client, proxy: Proxy) -> None:
    """Of many signals in flight while connections break each is recorded exactly once."""
    await client.start("app:pay", id="w1")
    handle = shaky.get_handle("w1")

    async def cut_now_and_then() -> None:
        for _ in range(5):
            await asyncio.wait_for(proxy.lose_reply(load("message").sha).wait(), 10)

    async with asyncio.TaskGroup() as group:
        group.create_task(cut_now_and_then())
        for first in range(0, 1000, 50):
            group.create_task(_signal_all(handle, range(first, first + 50)))
    events = [event async for event in client.get_handle("w1").history()]
    assert sorted(event.body["input"][0] for event in events[1:]) == list(range(1000))


async def _signal_all(handle: Any, numbers: range) -> None:
    for number in numbers:
        await handle.signal("go", number)


async def test_late_repeat_of_an_answered_request(client: Client) -> None:
    """What the network kept back and delivers after its client went on changes nothing."""
    await client.start("app:pay", id="w1")
    route = await client.store.route("w1")

    async def send(number: int, lowest: int) -> None:
        body = f'{{"name":"go","input":[{number}]}}'.encode()
        request = RequestId("session", number, lowest)
        signal = "WorkflowExecutionSignaled"
        call = transitions.message(route=route, type=signal, body=body, request=request)
        answer = await client.store.one(call)
        assert answer[0] == b"ok"

    for number, lowest in ((1, 1), (2, 1), (3, 3), (1, 1), (2, 1), (3, 3), (4, 4)):
        await send(number, lowest)
    numbers = [e.body["input"] async for e in client.get_handle("w1").history()]
    assert numbers == [[], [1], [2], [3], [4]]


async def test_request_that_is_sent_again_after_a_later_one(client: Client) -> None:
    """A signal that first went to the wrong place is not taken for a repeat when it comes again."""
    fresh = await client.start("app:pay", id="w1")
    stale = client.get_handle("w1", fresh.run_id)
    await asyncio.gather(stale.signal("go", "moved"), fresh.signal("go", "direct"))
    signals = [e.body["input"] async for e in fresh.history()][1:]
    assert sorted(signals) == [["direct"], ["moved"]]


async def test_terminate_with_lost_reply(client: Client, shaky: Client, proxy: Proxy) -> None:
    """A termination whose answer is lost is done, and the caller is told so."""
    await client.start("app:pay", id="w1")
    proxy.lose_reply(load("end_run").sha)
    await shaky.get_handle("w1").terminate("why not")
    assert proxy.lost == 1
    assert (await types_of(client, "w1"))[-1] == "WorkflowExecutionTerminated"


async def test_refused_start_is_judged_afresh(
    client: Client, player: Player, shaky: Client, proxy: Proxy
) -> None:
    """A refusal is not remembered: the same workflow id can be started when the reason is gone."""
    await client.start("app:pay", id="w1")
    options = {"workflow.id_conflict_policy": "fail"}
    proxy.lose_reply(load("start").sha)
    with pytest.raises(AlreadyExists):
        await shaky.start("app:pay", id="w1", options=options)
    await player.close("w1", result=1)
    handle = await shaky.start("app:pay", id="w1", options=options)
    assert (await handle.describe())["status"] == "running"


async def test_result_survives_a_lost_connection(
    client: Client, player: Player, shaky: Client, proxy: Proxy
) -> None:
    """An end told while the connection was down is found after the reconnect."""
    await client.start("app:pay", id="w1")
    subscribed = watch_subscriptions(shaky.store)
    waiting = asyncio.create_task(shaky.get_handle("w1").result())
    await subscribed.wait()
    await shaky.count()  # answered in order: the state was read before this
    proxy.hold()
    proxy.cut()
    await player.close("w1", result=9)
    proxy.release()
    assert await asyncio.wait_for(waiting, 10) == 9


async def test_result_waits_for_a_server_that_is_away(
    client: Client, player: Player, shaky: Client, proxy: Proxy
) -> None:
    """Asked for while nothing answers, a result comes when the server does."""
    handle = await shaky.start("app:pay", id="w1")
    await player.close("w1", result=9)
    proxy.refuse(3)
    proxy.cut()
    assert await asyncio.wait_for(handle.result(), 10) == 9
    assert proxy.refused == 3


@pytest.mark.parametrize("subscribed_before", [True, False])
async def test_result_ends_when_the_server_stays_away(
    client: Client, player: Player, monkeypatch: pytest.MonkeyPatch, *, subscribed_before: bool
) -> None:
    """Who waits for a result hears that nobody is there; asked again later, it is to be had."""
    await client.start("app:pay", id="w1")
    async with (
        Proxy(client.store.url) as proxy,
        await Client.connect(proxy.url, client.namespace) as shaky,
    ):
        handle = await shaky.start("app:pay", id="w1")
        subscribed = watch_subscriptions(shaky.store)
        waiting = asyncio.create_task(handle.result())
        await subscribed.wait()
        await shaky.count()
        monkeypatch.setattr(listen, "PATIENCE_SECONDS", 0.3)
        if not subscribed_before:
            waiting.cancel()
            await asyncio.wait([waiting])
        proxy.refuse(1000)
        proxy.cut()
        with pytest.raises(Unavailable, match="Redis for 0 s: cannot reach Redis at redis://127"):
            await asyncio.wait_for(waiting if subscribed_before else handle.result(), 10)
        assert not shaky.store.push._listeners
        proxy.refuse(0)
        await player.close("w1", result=9)
        assert await asyncio.wait_for(handle.result(), 10) == 9


async def test_a_frozen_server_is_not_waited_for(redis_url: str) -> None:
    """A server that takes a connection and says nothing is one that cannot be reached."""
    async with Proxy(redis_url) as proxy:
        proxy.hold()
        with pytest.raises(Unavailable, match="cannot reach Redis at redis://127"):
            await asyncio.wait_for(connect_to(proxy.url, within=0.1), 10)


async def test_result_survives_a_silent_connection(
    client: Client, player: Player, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that stand but bring nothing are found out, and the end with them."""
    monkeypatch.setattr(listen, "PING_SECONDS", 0.2)
    monkeypatch.setattr(link, "ANSWER_SECONDS", 0.2)
    await client.start("app:pay", id="w1")
    async with await Client.connect(proxy.url, client.namespace) as shaky:
        subscribed = watch_subscriptions(shaky.store)
        waiting = asyncio.create_task(shaky.get_handle("w1").result())
        await subscribed.wait()
        await shaky.count()
        proxy.swallow()
        await player.close("w1", result=9)
        assert await asyncio.wait_for(waiting, 10) == 9


# -- talking to a run ------------------------------------------------------------------------


async def test_signal_follows_a_moving_run(client: Client, player: Player) -> None:
    """A handle goes with its run: sticky to a worker, continued as new, and back."""
    handle = await client.start("app:pay", id="w1")
    task = await player.take("w1")
    stream = task.route.partition.sticky("player")
    await client.store.read(("XADD", stream, "1-1", "r", "none"), ("PEXPIRE", stream, 60_000))
    assert (await player.commit(task, sticky="player"))[0] == b"ok"
    await handle.signal("go", 1)
    (sticky,) = await client.store.read(("XLEN", stream))
    assert sticky == 2
    await player.continue_as_new("w1", "2" * 32)
    await handle.signal("go", 2)
    current = [e async for e in client.get_handle("w1").history()]
    assert [e.body.get("input") for e in current] == [[], [2]]


async def test_signal_to_a_run_that_never_stays(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Following has an end: whatever is wrong, nobody spins for ever."""
    handle = await client.start("app:pay", id="w1")
    moved = [b"moved", b"r" * 32, b"orders", b""]
    monkeypatch.setattr(client.store, "one", AsyncMock(return_value=moved))
    with pytest.raises(Refused, match="moves faster"):
        await handle.signal("go")


async def test_signal_to_a_closed_run(client: Client, player: Player) -> None:
    """A closed run takes no message, and says how it is."""
    handle = await client.start("app:pay", id="w1")
    await player.close("w1", result=1)
    for ask in (handle.signal("go"), handle.cancel(), handle.terminate()):
        with pytest.raises(Refused, match=r"completed|closed"):
            await ask


async def test_signal_with_start(client: Client, player: Player) -> None:
    """It starts with the signal in one step, signals what runs, starts anew what is closed."""
    first = await client.signal_with_start("app:pay", "go", [1], "arg", id="w1")
    second = await client.signal_with_start("app:pay", "go", [2], "arg", id="w1")
    assert first.run_id == second.run_id
    signals = [e.body["input"] async for e in first.history()]
    assert signals == [["arg"], [1], [2]]
    await player.close("w1", result=1)
    third = await client.signal_with_start("app:pay", "go", [3], id="w1")
    assert third.run_id != first.run_id
    assert [e.body["input"] async for e in third.history()] == [[], [3]]


async def test_cancel_is_a_message(client: Client) -> None:
    """A cancel request is an event with its reason."""
    handle = await client.start("app:pay", id="w1")
    await handle.cancel("changed my mind")
    *_, event = [event async for event in handle.history()]
    assert (event.type, event.body) == (
        "WorkflowExecutionCancelRequested",
        {"reason": "changed my mind"},
    )


async def test_terminate_lists_what_nobody_read(client: Client) -> None:
    """The closing event says why, and which messages the code never saw."""
    handle = await client.start("app:pay", id="w1")
    await handle.signal("go", 1)
    await handle.terminate("enough")
    *_, event = [event async for event in handle.history()]
    assert event.type == "WorkflowExecutionTerminated"
    assert (event.body["reason"], event.body["unread"]) == ("enough", [2])
    with pytest.raises(WorkflowFailed, match="workflow terminated \\(enough\\)"):
        await handle.result()


async def test_terminate_follows_the_chain(client: Client, player: Player) -> None:
    """A handle on a run that continued as new terminates the run that goes on."""
    handle = await client.start("app:pay", id="w1")
    await player.continue_as_new("w1", "2" * 32)
    await handle.terminate()
    assert (await client.get_handle("w1").describe())["status"] == "terminated"


# -- looking ---------------------------------------------------------------------------------


async def test_history_follows(client: Client, player: Player) -> None:
    """A followed history delivers every event as it comes and ends with the run."""
    handle = await client.start("app:pay", id="w1")
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def follow() -> None:
        async for event in handle.history(follow=True):
            seen.put_nowait(event.type)

    task = asyncio.create_task(follow())
    assert await seen.get() == "WorkflowExecutionStarted"
    await handle.signal("go")
    assert await seen.get() == "WorkflowExecutionSignaled"
    await player.close("w1", result=1)
    await asyncio.wait_for(task, 10)
    assert [seen.get_nowait() for _ in range(2)] == [
        "WorkflowTaskCompleted",
        "WorkflowExecutionCompleted",
    ]


async def test_history_longer_than_a_page(client: Client) -> None:
    """More events than one read brings are all delivered, in order."""
    handle = await client.start("app:pay", id="w1")
    await asyncio.gather(*(handle.signal("go", n) for n in range(1000)))
    assert [event.id async for event in handle.history()] == list(range(1, 1002))


async def test_describe(client: Client, player: Player) -> None:
    """A description has the documented fields, pending activities among them."""
    handle = await client.start(
        "app:pay", 1, id="w1", memo={"who": "me"}, search_attributes={"tier": "gold"}
    )
    task = await player.take("w1")
    body = b'{"activity":"app:charge","input":[],"seq":1}'
    queue = task.route.partition.activity_queue("orders")
    await player.commit(task, ("A", 1, body, "", 10, 60_000, 0, 0, 0), others=(queue,))
    found = await handle.describe()
    assert found["history_length"] == 3
    assert (found["type"], found["status"], found["task_queue"]) == ("app:pay", "running", "orders")
    assert (found["memo"], found["search_attributes"]) == ({"who": "me"}, {"tier": "gold"})
    assert found["close_time"] is None
    assert found["start_time"].endswith("Z")
    assert found["health"] == {"state": "ok"}
    (activity,) = found["pending_activities"]
    assert (activity["activity"], activity["state"], activity["attempt"]) == (
        "app:charge",
        "scheduled",
        1,
    )


async def test_list_pages_and_counts(client: Client, player: Player) -> None:
    """Pages hold every run once, the newest first; queries choose by status, type and id."""
    for number in range(9):
        await client.start("app:pay" if number % 3 else "app:ship", id=f"w{number}")
    for number in (0, 1):
        await player.close(f"w{number}", result=1)
    ids: list[str] = []
    page = None
    while True:
        found = await client.list(limit=4, page=page)
        ids += [run["workflow_id"] for run in found["workflows"]]
        if (page := found["next_page"]) is None:
            break
    times = {run["start_time"] for run in (await client.list())["workflows"]}
    assert sorted(ids) == [f"w{n}" for n in range(9)]
    assert len(times) == 1 or ids != sorted(ids)
    asked = {
        None: 9,
        "ExecutionStatus = 'Running'": 7,
        "ExecutionStatus='Completed' AND WorkflowType='app:pay'": 1,
        "WorkflowType = 'app:ship' and status = running": 2,
        "type = app:ship": 3,
        "WorkflowId = 'w4'": 1,
        "WorkflowId = 'nobody'": 0,
        "status = timed_out": 0,
    }
    for query, expected in asked.items():
        assert await client.count(query) == expected
        assert len((await client.list(query))["workflows"]) == expected


@pytest.mark.parametrize(
    "query",
    ["status", "status > 'Running'", "status = 'odd'", "x ~ 1", "type=a AND", "type=a type=b"],
)
async def test_bad_query(client: Client, query: str) -> None:
    """A query that cannot be read says so."""
    with pytest.raises(InvalidArgument):
        await client.list(query)


async def test_bad_page(client: Client) -> None:
    """A page that no list named is refused."""
    with pytest.raises(InvalidArgument, match="no page"):
        await client.list(page="2")
    with pytest.raises(InvalidArgument):
        await client.list(limit=0)


# -- connecting ------------------------------------------------------------------------------


async def test_unknown_namespace(redis_url: str) -> None:
    """A namespace nobody made is named with the remedy."""
    with pytest.raises(NotFound, match="luaflow namespace create"):
        await Client.connect(redis_url, f"none-{uuid.uuid4().hex[:8]}")


async def test_sync_client(client: Client, player: Player) -> None:
    """The facade does the same from a thread without a loop, and leaves none behind."""

    def work() -> Any:
        with SyncClient.connect(client.store.url, client.namespace) as sync:
            handle = sync.start("app:pay", 1, id="w1")
            handle.signal("go", 2)
            assert [e.type for e in handle.history()][-1] == "WorkflowExecutionSignaled"
            assert sync.count() == 1
            assert handle.describe()["workflow_id"] == "w1"
            first = next(iter(sync.get_handle("w1").history(follow=True)))
            assert first.id == 1
            ready.set()
            return handle.result()

    ready = threading.Event()
    waiting = asyncio.create_task(asyncio.to_thread(work))
    assert await asyncio.to_thread(ready.wait, 10)
    await player.close("w1", result="done")
    assert await waiting == "done"


CALLED = """\
namespace: fn
entries:
  - {name: add, kind: function.lua, source: "return function(a, b) return a + b end"}
  - name: ask
    kind: function.lua
    modules: [process]
    source: "return function(w) return process.send(w, 'go', 1) end"
  - {name: shout, kind: function.python, handler: "fn_shouting:shout"}
"""


async def test_call(client: Client, player: Player, tmp_path: Path) -> None:
    """A function of the app folder runs here, in either language; a workflow is executed."""
    (tmp_path / "app.yaml").write_text(CALLED)
    (tmp_path / "fn_shouting.py").write_text("def shout(text):\n    return text.upper()\n")
    assert await client.call("fn:add", 2, -3, app=tmp_path) == -1
    assert await client.call("fn:shout", "hi", app=str(tmp_path)) == "HI"
    with pytest.raises(WorkflowFailed, match="arithmetic"):
        await client.call("fn:add", 2, app=tmp_path)
    handle = await client.start("app:pay", id="w1")
    assert await client.call("fn:ask", handle.pid, app=tmp_path) is True
    assert (await types_of(client, "w1"))[-1] == "WorkflowExecutionSignaled"
    await player.close("w1", result=0)
    started = watch_starts(client)
    calling = asyncio.create_task(client.call("app:ship", 1, app=tmp_path))
    await started.wait()
    (run,) = (await client.list("WorkflowType='app:ship'", 1))["workflows"]
    await player.close(run["workflow_id"], result="done")
    assert await calling == "done"
    with pytest.raises(NotFound, match="a function is called with app=FOLDER"):
        await client.call("fn:add", 2, 3)


async def test_sync_call(client: Client, tmp_path: Path) -> None:
    """The facade has it, too."""

    def work() -> Any:
        with SyncClient.connect(client.store.url, client.namespace) as sync:
            return sync.call("fn:add", 2, 3, app=tmp_path)

    (tmp_path / "app.yaml").write_text(CALLED)
    assert await asyncio.to_thread(work) == 5


async def test_store_is_shared(redis_url: str, namespace: str) -> None:
    """The namespace default is made by whoever comes first; others must be made."""
    store = await Store.open(redis_url, "default")
    assert store.settings.partitions == 16
    await store.close()
