"""luaflow workflow query and update: what they print, and what goes wrong costs."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.commands import Answer, Commands
from tests.support.engine import Engine, engine, make_engine

__all__ = ["engine", "make_engine"]

SHOP = """
local workflow = require("workflow")
local function main(stock)
    local open = true
    workflow.set_view("state", { stock = stock })
    workflow.on_query("price", function(n)
        if n < 1 then return nil, errors.new({ message = "how many?", kind = errors.INVALID }) end
        return { total = 3 * n }
    end)
    workflow.on_update("buy", function(n)
        if n > 5 then return nil, errors.new({ message = "too heavy", details = { n = n } }) end
        stock = stock - n
        workflow.set_view("state", { stock = stock })
        return stock
    end, function(n) if n > stock then return nil, "sold out" end end)
    workflow.on_update("close", function() open = false return "bye" end)
    workflow.await(function() return not open end)
    return stock
end
"""


class Shell:
    """The command line, pointed at the namespace of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._commands = Commands(engine.store.url, engine.store.namespace)

    async def __call__(self, verb: str, *words: str) -> Answer:
        """Run a command on the shop, in a thread: it has a loop of its own."""
        return await asyncio.to_thread(self._commands, "workflow", verb, "-w", "shop", *words)


@pytest.fixture
async def shell(engine: Engine) -> Shell:
    """A shop of ten things; nobody serves it yet."""
    await engine.deploy({"shop": SHOP})
    await engine.start("shop", 10, id="shop")
    return Shell(engine)


async def test_query(engine: Engine, shell: Shell) -> None:
    """The answer as JSON; an error of the code is exit code 1, an unknown query 4."""
    await engine.worker()
    answer = await shell("query", "-n", "price", "-i", "2")
    assert (answer.code, answer.out) == (0, '{\n  "total": 6\n}\n')
    assert (await shell("query", "-n", "price", "-i", "2", "-o", "json")).json == {
        "result": {"total": 6}
    }
    failed = await shell("query", "-n", "price", "-i", "0")
    assert (failed.code, failed.out, failed.err) == (1, "", "failed: Invalid: how many?\n")
    error = (await shell("query", "-n", "price", "-i", "0", "-o", "json")).json
    assert error["status"] == "failed"
    assert error["error"]["kind"] == "Invalid"
    unknown = await shell("query", "-n", "nix")
    assert unknown.code == 4
    assert "it has price (and __stack_trace)" in unknown.err
    stack = await shell("query", "-n", "__stack_trace")
    assert stack.out == "shop.lua:17: waits in await\n"


async def test_views_need_no_worker(engine: Engine, shell: Shell) -> None:
    """query answers them, describe shows them."""
    worker = await engine.worker()
    assert (await shell("update", "-n", "buy", "-i", "1")).out == "9\n"
    await engine.retire(worker)
    assert (await shell("query", "-n", "state", "-o", "json")).json == {"result": {"stock": 9}}
    described = await shell("describe")
    assert '\nview state         {"stock":9}\n' in described.out
    assert (await shell("describe", "-o", "json")).json["views"] == {"state": {"stock": 9}}
    nobody = await shell("query", "-n", "price", "-i", "1", "--timeout", "50ms")
    assert nobody.code == 1
    assert "no worker polls the task queue 'q'" in nobody.err


async def test_update(engine: Engine, shell: Shell) -> None:
    """The result; rejected and failed are exit code 1, a closed workflow 5."""
    await engine.worker()
    answer = await shell("update", "-n", "buy", "-i", "4", "--update-id", "u1", "-o", "json")
    said = {"workflow_id": "shop", "update_id": "u1"}
    assert answer.json == {**said, "status": "completed", "result": 6}
    again = await shell("update", "-n", "buy", "-i", "4", "--update-id", "u1")
    assert (again.code, again.out) == (0, "6\n")
    accepted = await shell(
        "update", "-n", "buy", "-i", "1", "--update-id", "u2", "--wait", "accepted"
    )
    assert accepted.out == "shop: accepted the update u2\n"
    rejected = await shell("update", "-n", "buy", "-i", "50")
    assert (rejected.code, rejected.err) == (1, "rejected: Invalid: sold out\n")
    shape = (await shell("update", "-n", "buy", "-i", "50", "--update-id", "u3", "-o", "json")).json
    error = {"kind": "Invalid", "message": "sold out", "retryable": False, "details": None}
    assert shape == {"workflow_id": "shop", "update_id": "u3", "status": "rejected", "error": error}
    await shell("update", "-n", "close", "-i", "null")
    closed = await shell("update", "-n", "buy", "-i", "1")
    assert closed.code == 5
    assert "is not running, it is completed" in closed.err


async def test_an_update_fails(engine: Engine, shell: Shell) -> None:
    """With the details of its error."""
    await engine.worker()
    failed = await shell("update", "-n", "buy", "-i", "6", "-o", "json")
    assert (failed.code, failed.json["status"]) == (1, "failed")
    assert failed.json["error"]["details"] == {"n": 6}


@pytest.mark.parametrize(
    ("code", "says", "words"),
    [
        (2, "Missing option", ("update",)),
        (2, "must have 1-200 characters", ("update", "-n", "x", "--update-id", "{x}")),
        (2, "not JSON", ("query", "-n", "x", "-i", "{")),
        (2, "--timeout", ("query", "-n", "x", "--timeout", "soon")),
        (2, "'soon' is not one of", ("update", "-n", "x", "--wait", "soon")),
    ],
)
async def test_bad_input(shell: Shell, code: int, says: str, words: tuple[str, ...]) -> None:
    """It is refused before anything is asked."""
    answer = await shell(*words)
    assert answer.code == code, answer
    assert says in answer.err
