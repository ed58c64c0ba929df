"""The examples of the user's document, run as they stand there."""

from __future__ import annotations

import orjson
import pytest
from tests.lua.support_kernel import PID, Play

ORDER = {
    "id": "o1",
    "total": 12.5,
    "customer_id": "c1",
    "shipping_address": {"city": "Lima"},
    "items": ["a"],
    "payment": {"card": "x"},
    "shipping": {"city": "Lima"},
}

BASIC = """
local funcs = require("funcs")
local time = require("time")

local function main(order)
    -- Llamar activity
    local payment, err = funcs.call("app:charge_payment", {
        amount = order.total,
        customer = order.customer_id
    })
    if err then
        return {status = "failed", error = tostring(err)}
    end

    -- Sleep durable (sobrevive reinicios)
    time.sleep("1h")

    -- Otra activity
    local shipment, err = funcs.call("app:ship_order", {
        order_id = order.id,
        address = order.shipping_address
    })
    if err then
        funcs.call("app:refund_payment", payment.id)
        return {status = "failed", error = tostring(err)}
    end

    return {
        status = "completed",
        payment_id = payment.id,
        tracking = shipment.tracking_number
    }
end

return { main = main }
"""


def test_the_basic_workflow_calls_sleeps_and_calls_again() -> None:
    """Two activities around a durable sleep, with the arguments as written."""
    play = Play(BASIC, ORDER)
    play.resolve(1, {"id": "p1"})
    play.resolve(2)
    play.resolve(3, {"tracking_number": "T9"})
    assert play.result == {"status": "completed", "payment_id": "p1", "tracking": "T9"}
    assert [(c.op, c.name, c.data) for c in play.commands] == [
        ("activity", b"app:charge_payment", b'[{"amount":12.5,"customer":"c1"}]'),
        ("timer", None, b"3600000000000"),
        ("activity", b"app:ship_order", b'[{"address":{"city":"Lima"},"order_id":"o1"}]'),
    ]


def test_the_basic_workflow_refunds_when_shipping_fails() -> None:
    """The error of an activity is a value; compensation runs after it."""
    play = Play(BASIC, ORDER)
    play.resolve(1, {"id": "p1"})
    play.resolve(2)
    play.fail(3, kind="Unavailable", message="no trucks", retryable=False)
    play.resolve(4)
    assert play.result == {"status": "failed", "error": "no trucks"}
    assert play.commands[3][:4] == ("activity", 4, b"app:refund_payment", b'["p1"]')


def test_info_has_the_documented_fields() -> None:
    """workflow.info() tells who runs, and the position in history."""
    play = Play("""
        local workflow = require("workflow")
        return { main = function()
            local info = workflow.info()
            return { info.workflow_id, info.run_id, info.workflow_type, info.task_queue,
                info.namespace, info.attempt, info.history_length, info.history_size,
                workflow.history_length(), workflow.history_size() }
        end }""")
    assert play.result == ["w1", "r1", "app:flow", "main", "default", 1, 2, 110, 2, 110]


@pytest.mark.parametrize(("version", "called"), [(1, b"app:old_payment"), (2, b"app:new_payment")])
def test_version_chooses_the_branch(version: int, called: bytes) -> None:
    """The recorded version decides, whatever the code supports now."""
    play = Play(
        """
        local funcs, workflow = require("funcs"), require("workflow")
        return { main = function(input)
            local result
            local version = workflow.version("payment-v2", 1, 2)
            if version == 1 then
                result = funcs.call("app:old_payment", input)
            else
                result = funcs.call("app:new_payment", input)
            end
            return result
        end }""",
        "in",
        services={"version": lambda *_: (version, True)},
    )
    assert play.commands[0][:4] == ("version", 1, b"payment-v2", str(version).encode())
    assert play.commands[1].name == called
    play.resolve(2, "paid")
    assert play.result == "paid"


def test_attrs_are_one_command() -> None:
    """Search attributes and memo leave together and the code goes on."""
    play = Play(
        """
        local workflow = require("workflow")
        return { main = function(order)
            return workflow.attrs({
                search = { status = "processing", customer_id = order.customer_id,
                    order_total = order.total },
                memo = { notes = "Cliente prioritario", source = "web" }
            })
        end }""",
        ORDER,
    )
    assert play.result is True
    assert play.commands[0].op == "attrs"
    assert orjson.loads(play.commands[0].extra or b"") == {
        "search": {"status": "processing", "customer_id": "c1", "order_total": 12.5},
        "memo": {"notes": "Cliente prioritario", "source": "web"},
    }


def test_call_of_a_child_workflow_waits_for_its_result() -> None:
    """workflow.call starts a child in the parent's queue and returns what it returned."""
    play = Play(
        """
        local workflow = require("workflow")
        return { main = function(input_data)
            local result, err = workflow.call("app:child_workflow", input_data)
            return { result, err == nil }
        end }""",
        {"n": 1},
    )
    command = play.commands[0]
    assert command[:4] == ("child", 1, b"app:child_workflow", b'[{"n":1}]')
    assert orjson.loads(command.extra or b"") == {"wait": True}
    assert play.step(b"child_started", 1, "{c@w|child}", None).status == "wait"
    play.resolve(1, "done")
    assert play.result == ["done", True]


INBOX = """
local function process_order(order) return {status = "processed", id = order.id} end
local function main(order)
    local inbox = process.inbox()

    while true do
        local msg = inbox:receive()
        local topic = msg:topic()

        if topic == "approve" then
            local data = msg:payload():data()
            break
        elseif topic == "cancel" then
            local data = msg:payload():data()
            return {status = "cancelled", reason = data.reason}
        end
    end

    return process_order(order)
end
return { main = main }
"""


def test_signals_arrive_in_the_inbox() -> None:
    """A topic nobody knows is read past; the documented ones end the wait."""
    play = Play(INBOX, ORDER)
    assert play.message("hello").status == "wait"
    play.message("approve", {"approved_by": "admin", "comment": "Se ve bien"})
    assert play.result == {"status": "processed", "id": "o1"}
    other = Play(INBOX, ORDER)
    other.message("cancel", {"reason": "changed mind"})
    assert other.result == {"status": "cancelled", "reason": "changed mind"}


def test_send_is_a_signal_command() -> None:
    """process.send to a PID resumes when the outcome is recorded."""
    play = Play(
        """return function(pid)
        return process.send(pid, "approve", { approved_by = "admin", comment = "Se ve bien" })
    end""",
        "{c@app:worker|w2}",
    )
    command = play.commands[0]
    assert command[:4] == (
        "signal",
        1,
        b"{c@app:worker|w2}",
        b'[{"approved_by":"admin","comment":"Se ve bien"}]',
    )
    assert command.extra == b'{"topic":"approve"}'
    play.resolve(1)
    assert play.result is True


SAGA = """
local funcs = require("funcs")
local function run_compensations(compensations)
    for _, comp in ipairs(compensations) do
        funcs.call(comp.action, comp.args)
    end
end
local function main(order)
    local compensations = {}
    local reservation, err = funcs.call("app:reserve_inventory", order.items)
    if err then
        return {status = "failed", step = "inventory", error = tostring(err)}
    end
    table.insert(compensations, 1, { action = "app:release_inventory", args = reservation.id })
    local payment, err = funcs.call("app:charge_payment", order.payment)
    if err then
        run_compensations(compensations)
        return {status = "failed", step = "payment", error = tostring(err)}
    end
    table.insert(compensations, 1, { action = "app:refund_payment", args = payment.id })
    local shipment, err = funcs.call("app:ship_order", order.shipping)
    if err then
        run_compensations(compensations)
        return {status = "failed", step = "shipping", error = tostring(err)}
    end
    return {status = "completed", tracking = shipment.tracking}
end
return { main = main }
"""


def test_the_saga_compensates_in_reverse_order() -> None:
    """What was done last is undone first."""
    play = Play(SAGA, ORDER)
    play.resolve(1, {"id": "r1"})
    play.resolve(2, {"id": "p1"})
    play.fail(3, kind="Internal", message="lost")
    play.resolve(4)
    play.resolve(5)
    assert play.result == {"status": "failed", "step": "shipping", "error": "lost"}
    assert [c.name for c in play.commands[3:]] == [b"app:refund_payment", b"app:release_inventory"]


def test_a_function_used_above_its_declaration_fails_the_run_with_its_line() -> None:
    """The document's saga as printed: `run_compensations` is no local yet where it is called."""
    play = Play("""
        local function main() run() end
        local function run() end
        return { main = main }""")
    assert play.failure["message"].startswith(
        "flow.lua:2: attempt to call a nil value (global 'run'"
    )
    assert play.failure["kind"] == "Internal"
    assert play.failure["retryable"] is None


def test_spawn_resumes_with_the_pid() -> None:
    """process.spawn(id, worker, input) -> pid, with the host as given."""
    play = Play("""return function()
        local pid, err = process.spawn("app:order_workflow", "app:worker", {order_id = "123"})
        return { tostring(pid), err == nil }
    end""")
    assert play.commands[0][:4] == ("child", 1, b"app:order_workflow", b'[{"order_id":"123"}]')
    assert orjson.loads(play.commands[0].extra or b"") == {"wait": False, "host": "app:worker"}
    play.step(b"child_started", 1, PID, None)
    assert play.result == [PID, True]


def test_os_time_is_workflow_time_and_globals_belong_to_the_run() -> None:
    """What the document warns about is harmless here: same history, same values."""
    play = Play("""return function()
        counter = (counter or 0) + 1
        return { os.time(), counter }
    end""")
    assert play.result == [1_700_000_001, 1]


def test_io_says_what_to_use_instead() -> None:
    """A forbidden library fails with the remedy and the line."""
    play = Play('return function()\n local file = io.open("data.txt") end')
    assert play.failure["message"].startswith("flow.lua:2: io is not available in workflows: ")
