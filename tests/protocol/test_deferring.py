"""Activities that are completed from outside, by the token of ``activity.defer()``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.engine import PATIENCE, Engine, Make, within
from tests.support.job_handlers import Tokens
from tests.support.mutants import mutant, proves, replaced

from luaflow.client import deferred
from luaflow.client.handle import Handle
from luaflow.domain.tokens import Token, parse_token
from luaflow.errors import InvalidArgument, NotFound, Refused, WorkflowFailed
from luaflow.store.attempts import Record, parse_record

# the token travels as a signal to the workflow's own mailbox, where the test reads it
DEFERS = """
local function main()
  local info = activity.info()
  process.send('{c@app:worker|' .. info.workflow_id .. '}', 'token', assert(activity.defer()))
  return 'nobody sees this'
end"""
WAITS = """
local function main(options)
  local value, err = funcs.new():with_options(options or {}):call('app:defers')
  if err then return { kind = err:kind(), message = err:message() } end
  return { value = value }
end"""


async def begun(engine: Engine, **options: Any) -> tuple[Handle, str]:
    """A workflow whose activity is deferred, and the token that was given out."""
    named = {f"activity.{key}": value for key, value in options.items()}
    handle = await engine.start("waits", named)
    return handle, await token_of(engine, handle)


async def token_of(engine: Engine, handle: Handle, number: int = 1) -> str:
    """The token that the so manieth attempt gave out, once no worker holds the attempt."""
    tokens: list[str] = []
    async with asyncio.timeout(PATIENCE):
        async for event in handle.history(follow=True):
            if event.type == "WorkflowExecutionSignaled":
                tokens.append(event.body["input"][0])
            if len(tokens) == number:
                break
    return tokens[-1]


async def record(engine: Engine, token: str) -> Record:
    """The record of a token's activity."""
    one = parse_token(token)
    p = engine.store.partition(one.workflow_id)
    (text,) = await engine.store.read(("HGET", p.waits(one.run_id), f"a:{one.seq}"))
    return parse_record(text)


async def ready(engine: Engine) -> None:
    """Deploy and start what the tests need."""
    await engine.deploy({"waits": WAITS}, activities={"defers": DEFERS})
    await engine.worker()
    await engine.scheduler()


async def let_go(engine: Engine) -> None:
    """Stop the workers as they should be stopped: their attempts are told of by then."""
    while engine.workers:
        await engine.retire(engine.workers[-1])


async def test_an_activity_is_completed_from_outside(engine: Engine) -> None:
    """The value given with the token is what the workflow's call returns."""
    await ready(engine)
    handle, token = await begun(engine)
    await engine.client.complete_activity(token, {"approved": True})
    assert await handle.result(timeout=PATIENCE) == {"value": {"approved": True}}


@proves(
    mutant("includes/activity", "a.worker == '@' and math.huge or server_now", "server_now"),
    mutant("defer_activity", "a.worker, a.beat = '@', server_now", ""),
)
async def test_a_deferred_activity_survives_its_worker(engine: Engine) -> None:
    """No lease ends it: nobody has to hold an attempt that was deferred."""
    await ready(engine)
    handle, token = await begun(engine)
    await let_go(engine)
    assert (await record(engine, token)).deferred
    (shown,) = (await handle.describe())["pending_activities"]
    assert (shown["worker"], shown["deferred"]) == (None, True)
    one = parse_token(token)
    p = engine.store.partition(one.workflow_id)
    (due,) = await engine.store.read(("ZSCORE", p.leases, f"a|{one.run_id}|{one.seq}"))
    found = await record(engine, token)
    assert int(float(due)) == found.started + found.start_to_close
    await engine.client.complete_activity(token, 7)
    await engine.worker()
    assert await handle.result(timeout=PATIENCE) == {"value": 7}


async def test_its_time_still_ends_it(make_engine: Make) -> None:
    """The start-to-close timeout runs, whoever has the token."""
    engine = await make_engine(simulated=True)
    await ready(engine)
    handle, token = await begun(
        engine, start_to_close_timeout="1m", retry_policy={"maximum_attempts": 1}
    )
    await let_go(engine)
    await engine.shift(61_000)
    await engine.worker()
    assert (await handle.result(timeout=PATIENCE))["kind"] == "Timeout"
    with pytest.raises(NotFound, match="ended already"):
        await engine.client.complete_activity(token, 1)


async def test_heartbeats_keep_it_and_are_missed(make_engine: Make) -> None:
    """With a heartbeat timeout somebody outside has to say that it is alive."""
    engine = await make_engine(simulated=True)
    await ready(engine)
    handle, token = await begun(
        engine, heartbeat_timeout="30s", retry_policy={"maximum_attempts": 1}
    )
    await let_go(engine)
    before = (await record(engine, token)).beat
    assert await engine.client.heartbeat_activity(token, {"step": 1}) is False
    assert (await record(engine, token)).beat >= before
    await engine.shift(31_000)
    await engine.worker()
    outcome = await handle.result(timeout=PATIENCE)
    assert (outcome["kind"], "heartbeat" in outcome["message"]) == ("Timeout", True)


async def test_a_failure_goes_by_the_retry_policy(engine: Engine) -> None:
    """Failed by its token, an attempt is followed by another, whose token is another."""
    await ready(engine)
    policy = {"initial_interval": "5ms", "maximum_attempts": 2}
    handle, first = await begun(engine, retry_policy=policy)
    await engine.client.fail_activity(first, "try again", kind="Unavailable")
    second = await token_of(engine, handle, 2)
    with pytest.raises(Refused, match="attempt 2 has taken its place"):
        await engine.client.complete_activity(first, "late")
    with pytest.raises(Refused):
        await engine.client.heartbeat_activity(first)
    await engine.client.fail_activity(second, "given up", kind="Unavailable")
    assert await handle.result(timeout=PATIENCE) == {"kind": "Unavailable", "message": "given up"}


@proves(mutant("includes/attempt", "holder == token and ", ""))
async def test_a_token_is_good_once(engine: Engine) -> None:
    """A second completion is told that the activity has ended; a made-up token is fenced."""
    await ready(engine)
    handle, token = await begun(engine)
    other = str(parse_token(token)._replace(token="somebody.1"))
    with pytest.raises(Refused):
        await engine.client.complete_activity(other, "wrong")
    await engine.client.complete_activity(token, "right")
    with pytest.raises(NotFound, match="ended already"):
        await engine.client.complete_activity(token, "again")
    assert await handle.result(timeout=PATIENCE) == {"value": "right"}


@proves(replaced(deferred, "_finished_by_us", lambda *_: _never()))
async def test_a_lost_answer_is_no_error(engine: Engine) -> None:
    """Whoever repeats its own completion, because the answer was lost, is told that it is done."""
    await ready(engine)
    handle, token = await begun(engine)
    run = engine.client.store._repeat

    async def twice(*args: Any, **how: Any) -> list[Any]:
        await run(*args, **how)
        return await run(*args, **how)

    engine.client.store._repeat = twice  # type: ignore[method-assign]
    try:
        await engine.client.complete_activity(token, 1)
    finally:
        engine.client.store._repeat = run  # type: ignore[method-assign]
    assert await handle.result(timeout=PATIENCE) == {"value": 1}


async def _never() -> bool:
    return False


async def test_a_plain_job_is_completed_from_outside(engine: Engine) -> None:
    """The same token works for a job; its outcome is the job's."""
    tells = """
local function main(reader)
  process.send(reader, 'token', assert(activity.defer()))
end"""
    reads = """
local function main() return (process.listen('token'):receive()) end"""
    await engine.deploy({"reads": reads}, activities={"tells": tells})
    await engine.worker()
    await engine.scheduler()
    reader = await engine.start("reads")
    job = await engine.client.enqueue("app:tells", reader.pid, queue="q")
    token = await reader.result(timeout=PATIENCE)
    await engine.client.complete_activity(token, 42)
    assert await within(job.result()) == 42
    with pytest.raises(NotFound):
        await engine.client.fail_activity(token, "late", retryable=False)


@pytest.mark.parametrize("handler", ["defer_on_the_loop", "defer_on_a_thread"])
async def test_a_python_activity_is_deferred(engine: Engine, handler: str) -> None:
    """`luaflow.activity.defer()` is the same for handlers, on the loop and in a thread."""
    given = Tokens.listen()
    python = {"defers": f"tests.support.job_handlers:{handler}"}
    await engine.deploy({"waits": WAITS}, python=python)
    await engine.worker()
    handle = await engine.start("waits")
    await engine.client.complete_activity(await within(given.get()), "done")
    assert await handle.result(timeout=PATIENCE) == {"value": "done"}


async def test_a_python_heartbeat_has_a_limit(make_engine: Make) -> None:
    """Details over the namespace's limit are refused where they are given."""
    engine = await make_engine(payload_max_bytes=4000, payload_warn_bytes=4000)
    await engine.deploy(python={"work": "tests.support.job_handlers:too_much"})
    await engine.worker()
    once = {"activity.retry_policy": {"maximum_attempts": 1}}
    job = await engine.client.enqueue("app:work", queue="q", options=once)
    with pytest.raises(WorkflowFailed, match="5002 bytes, the namespace allows 4000"):
        await job.result(timeout=PATIENCE)


async def test_lua_completes_an_activity(engine: Engine) -> None:
    """`activity.complete` and `activity.fail` are for functions, wherever they run."""
    completes = """
local function main(token, value)
  local done, err = activity.complete(token, value)
  local again, late = activity.fail(token, 'too late')
  return { done, err == nil, again == nil, late and late:kind() }
end"""
    await engine.deploy({"waits": WAITS}, activities={"defers": DEFERS, "completes": completes})
    await engine.worker()
    handle, token = await begun(engine)
    found = await engine.client.call("app:completes", token, 5, app=engine.folder)
    assert found == [True, True, True, "NotFound"]
    assert await handle.result(timeout=PATIENCE) == {"value": 5}


async def test_a_canceled_one_hears_of_it(engine: Engine) -> None:
    """Who heartbeats for a deferred activity is told when the workflow wants it to stop."""
    cancels = """
local function main()
  local call = funcs.async('app:defers')
  process.listen('stop'):receive()
  call:cancel()
  process.listen('end'):receive()
end"""
    await engine.deploy({"waits": cancels}, activities={"defers": DEFERS})
    await engine.worker()
    handle = await engine.start("waits")
    token = await token_of(engine, handle)
    await handle.signal("stop")
    await engine.until(handle, "ActivityTaskCancelRequested")
    assert await engine.client.heartbeat_activity(token) is True
    await engine.client.fail_activity(token, "stopped", kind="Canceled", retryable=False)
    await handle.signal("end")
    await handle.result(timeout=PATIENCE)
    assert "ActivityTaskCanceled" in await engine.types(handle)


@pytest.mark.parametrize("text", ["", "x", "%%%", "W10", "WzEsMiwzLDQsNV0", "é"])
def test_other_texts_are_no_tokens(text: str) -> None:
    """Whatever is not a token is refused in words."""
    with pytest.raises(InvalidArgument, match="no task token"):
        parse_token(text)


def test_a_token_survives_its_text() -> None:
    """Any workflow id travels in it."""
    token = Token("bestellung ü/1", "a" * 32, 7, 2, "w1.5")
    assert parse_token(str(token)) == token


async def test_a_local_activity_cannot_be_deferred(make_engine: Make) -> None:
    """Nobody but its decision knows of it: it is told so."""
    engine = await make_engine()
    local = """
local function main()
  local token, err = activity.defer()
  return { token == nil, err:kind(), err:message() }
end"""
    calls = "local function main() return (funcs.call('app:here')) end"
    await engine.deploy({"calls": calls}, activities={"here": local}, local=("here",))
    await engine.worker()
    refused, kind, message = await engine.execute("calls")
    assert (refused, kind) == (True, "Invalid")
    assert "not a local activity" in message


async def test_a_failed_workflow_forgets_its_token(engine: Engine) -> None:
    """Once the run is over the token means nothing."""
    await ready(engine)
    handle, token = await begun(engine)
    await handle.terminate("enough")
    with pytest.raises(NotFound):
        await engine.client.complete_activity(token, 1)
    with pytest.raises(WorkflowFailed):
        await handle.result(timeout=PATIENCE)
