"""What luaflow does, in the order a newcomer meets it: one idea a test, readable as a tutorial.

What may not go in here: faults, protocol details, anything that needs more than a workflow of a few
lines. Those live in ``tests/protocol`` and ``tests/crash``.
"""

from __future__ import annotations

import pytest
from tests.support.engine import Engine

from luaflow.errors import AlreadyExists, NotFound, WorkflowFailed

ECHO = "local function main(...) return ... end"


async def test_a_workflow_is_a_lua_function(engine: Engine) -> None:
    """What the function returns is the workflow's result."""
    await engine.deploy({"greet": "local function main(name) return 'hello ' .. name end"})
    await engine.worker()
    assert await engine.execute("greet", "ada") == "hello ada"


async def test_an_activity_does_the_work_and_its_result_is_recorded(engine: Engine) -> None:
    """``funcs.call`` runs another function once; the history holds what it returned."""
    await engine.deploy(
        {"order": "local function main(n) return funcs.call('app:double', n) end"},
        activities={"double": "local function main(n) return n * 2 end"},
    )
    await engine.worker()
    run = await engine.start("order", 21)
    assert await run.result() == 42
    assert await engine.types(run) == [
        "WorkflowExecutionStarted",
        "WorkflowTaskCompleted",
        "ActivityTaskScheduled",
        "ActivityTaskCompleted",
        "WorkflowTaskCompleted",
        "WorkflowExecutionCompleted",
    ]


async def test_sleep_is_durable_and_never_early(engine: Engine) -> None:
    """A sleep is a timer of the server; it fires at its date or later."""
    await engine.deploy({"nap": "local function main() time.sleep('50ms') return 'awake' end"})
    await engine.worker()
    await engine.scheduler()
    run = await engine.start("nap")
    assert await run.result() == "awake"
    events = {event.type: event for event in await engine.history(run)}
    assert events["TimerFired"].ts >= events["TimerStarted"].ts + 50


async def test_a_workflow_outlives_its_worker(engine: Engine) -> None:
    """The worker dies while the workflow sleeps; another one goes on where it was."""
    await engine.deploy(
        {
            "order": """
            local function main()
              local paid = funcs.call('app:pay')
              process.inbox():receive()
              return { paid, funcs.call('app:ship') }
            end"""
        },
        activities={
            "pay": "local function main() return 'paid' end",
            "ship": "local function main() return 'shipped' end",
        },
    )
    first = await engine.worker()
    run = await engine.start("order")
    async for event in run.history(follow=True):
        if event.type == "WorkflowTaskCompleted" and event.id > 2:
            break
    await engine.kill(first)
    await engine.worker()
    await engine.scheduler()
    await run.signal("go")
    assert await run.result() == ["paid", "shipped"]
    assert (await engine.types(run)).count("ActivityTaskCompleted") == 2


async def test_signals_are_kept_until_somebody_listens(engine: Engine) -> None:
    """A message sent before the code asks for it is there when it does, in order."""
    await engine.deploy(
        {
            "collect": """
            local function main(n)
              local inbox, got = process.inbox(), {}
              for i = 1, n do
                local m = inbox:receive()
                got[i] = m:topic() .. '=' .. m:payload():data()
              end
              return got
            end"""
        }
    )
    run = await engine.start("collect", 3)
    for topic, value in (("a", 1), ("b", 2), ("a", 3)):
        await run.signal(topic, value)
    await engine.worker()
    assert await run.result() == ["a=1", "b=2", "a=3"]


async def test_waiting_for_a_signal_with_a_deadline(engine: Engine) -> None:
    """``channel.select`` waits for whichever comes first."""
    await engine.deploy(
        {
            "approve": """
            local function main()
              local inbox, late = process.inbox(), time.after('30ms')
              local case = channel.select({ inbox:case_receive(), late:case_receive() })
              if case.channel == late then return 'expired' end
              return case.value:topic()
            end"""
        }
    )
    await engine.worker()
    await engine.scheduler()
    assert await engine.execute("approve") == "expired"
    run = await engine.start("approve", messages=[("yes",)])
    assert await run.result() == "yes"


async def test_activities_run_side_by_side(engine: Engine) -> None:
    """``funcs.async`` starts an activity and goes on; its future delivers the result."""
    await engine.deploy(
        {
            "fan": """
            local function main(n)
              local futures, sum = {}, 0
              for i = 1, n do futures[i] = funcs.async('app:echo', i) end
              for i = 1, n do sum = sum + futures[i]:response():receive():data() end
              return sum
            end"""
        },
        activities={"echo": ECHO},
    )
    await engine.worker()
    assert await engine.execute("fan", 20) == 210


async def test_a_failed_activity_is_a_value_not_a_crash(engine: Engine) -> None:
    """The second value of a call is the error: its kind, message, and whether to try again."""
    await engine.deploy(
        {
            "order": """
            local function main()
              local _, err = funcs.call('app:charge')
              return { err:kind(), err:message(), err:retryable() }
            end"""
        },
        activities={
            "charge": """
            local function main()
              return nil, errors.new({ kind = 'Conflict', message = 'no money', retryable = false })
            end"""
        },
    )
    await engine.worker()
    assert await engine.execute("order") == ["Conflict", "no money", False]


async def test_activities_are_retried(engine: Engine) -> None:
    """An error that is not final is tried again, with back-off, as often as the policy says."""
    await engine.deploy(
        {
            "order": """
            local function main()
              local policy = { initial_interval = '5ms', maximum_attempts = 3 }
              local call = funcs.new():with_options({ ['activity.retry_policy'] = policy })
              local _, err = call:call('app:flaky')
              return err:details()._retry_state
            end"""
        },
        activities={"flaky": "local function main() error('not today') end"},
    )
    await engine.worker()
    await engine.scheduler()
    run = await engine.start("order")
    assert await run.result() == "maximum_attempts_reached"
    failed = next(e for e in await engine.history(run) if e.type == "ActivityTaskFailed")
    assert failed.body["attempt"] == 3


async def test_children_report_back(engine: Engine) -> None:
    """A parent starts children, in whatever partition, and hears how each of them ended."""
    await engine.deploy(
        {
            "parent": """
            local function main(n)
              local events, sum = process.events(), 0
              for i = 1, n do process.spawn('app:child', 'app:worker', i) end
              for i = 1, n do sum = sum + events:receive().result.value end
              return { sum, workflow.exec('app:child', 100) }
            end""",
            "child": "local function main(n) return n * 10 end",
        }
    )
    await engine.worker()
    assert await engine.execute("parent", 3) == [60, 1000]


async def test_a_workflow_signals_another(engine: Engine) -> None:
    """``process.send`` to a PID returns when the message is in the other's history."""
    await engine.deploy(
        {
            "waiter": "local function main() return process.listen('hi'):receive() end",
            "sender": "local function main(to) return process.send(to, 'hi', { from = 'me' }) end",
        }
    )
    await engine.worker()
    waiter = await engine.start("waiter")
    assert await engine.execute("sender", waiter.pid) is True
    assert await waiter.result() == {"from": "me"}


async def test_a_long_life_in_short_histories(engine: Engine) -> None:
    """Continue-as-new starts a fresh history under the same id; unread messages come along."""
    await engine.deploy(
        {
            "counter": """
            local function main(n)
              if n > 0 then workflow.continue_as_new(n - 1) end
              return process.inbox():receive():payload():data()
            end"""
        }
    )
    run = await engine.start("counter", 3, messages=[("keep", "me")])
    await engine.worker()
    assert await run.result() == "me"


async def test_cancelling_is_a_request(engine: Engine) -> None:
    """The code hears of it and decides; with ``interrupt_on_cancel`` its waits end."""
    await engine.deploy(
        {
            "patient": """
            local function main()
              local event = process.events():receive()
              return event.kind .. ': ' .. event.reason
            end""",
            "quick": """
            local function main()
              process.set_options({ interrupt_on_cancel = true })
              local _, err = time.sleep('1h')
              return nil, err
            end""",
        }
    )
    await engine.worker()
    patient, quick = await engine.start("patient"), await engine.start("quick")
    await patient.cancel("enough")
    await quick.cancel()
    assert await patient.result() == "pid.cancel: enough"
    with pytest.raises(WorkflowFailed) as caught:
        await quick.result()
    assert (caught.value.kind, caught.value.status) == ("Canceled", "canceled")


async def test_terminating_asks_nobody(engine: Engine) -> None:
    """No code runs any more; whoever waits for the result learns it."""
    await engine.deploy({"stubborn": "local function main() process.inbox():receive() end"})
    run = await engine.start("stubborn")
    await run.terminate("fire drill")
    with pytest.raises(WorkflowFailed) as caught:
        await run.result()
    assert caught.value.status == "terminated"


async def test_an_id_stands_for_one_running_workflow(engine: Engine) -> None:
    """A second start of an id that runs gives the first run, or an error if that is asked for."""
    await engine.deploy({"wait": "local function main() process.inbox():receive() end"})
    first = await engine.start("wait", id="only-one")
    again = await engine.start("wait", id="only-one")
    assert again.run_id == first.run_id
    fail = {"workflow.id_conflict_policy": "fail"}
    with pytest.raises(AlreadyExists):
        await engine.start("wait", id="only-one", options=fail)


async def test_code_changes_are_guarded_by_versions(engine: Engine) -> None:
    """``workflow.version`` answers the newest version in new runs, and the same one ever after."""
    await engine.deploy(
        {
            "pay": """
            local function main()
              local before = workflow.version('payment-v2', 1, 2)
              time.sleep('1ms')
              return { before, workflow.version('payment-v2', 1, 2) }
            end"""
        }
    )
    await engine.worker()
    await engine.scheduler()
    assert await engine.execute("pay") == [2, 2]


async def test_attributes_and_memo_are_shown(engine: Engine) -> None:
    """What ``workflow.attrs`` sets is what describe shows."""
    await engine.deploy(
        {
            "order": """
            local function main()
              workflow.attrs({ search = { status = 'paid', total = 5 }, memo = { note = 'vip' } })
              process.inbox():receive()
            end"""
        }
    )
    await engine.worker()
    run = await engine.start("order")
    async for event in run.history(follow=True):
        if event.type == "UpsertWorkflowSearchAttributes":
            break
    shown = await run.describe()
    assert shown["search_attributes"] == {"status": "paid", "total": 5}
    assert shown["memo"] == {"note": "vip"}


async def test_unknown_types_fail_at_once(engine: Engine) -> None:
    """A type that nobody deployed is an error of the starter, not a run that never starts."""
    with pytest.raises(NotFound, match="luaflow deploy"):
        await engine.start("nobody")


async def test_a_bad_workflow_hurts_only_itself(engine: Engine) -> None:
    """Code that never waits is stopped and shown as stuck; its neighbours go on."""
    await engine.deploy(
        {
            "loop": "local function main() while true do end end",
            "good": "local function main() return 'fine' end",
        },
        worker={"deadlock_detection_timeout": "100ms"},
    )
    await engine.worker()
    bad = await engine.start("loop")
    assert await engine.execute("good") == "fine"
    health = (await bad.describe())["health"]
    await bad.terminate()
    assert health["state"] in ("stuck", "ok")
