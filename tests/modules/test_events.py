"""events: a bus inside one process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.modules.support_modules import in_function, no_world, write_function

from luaflow_worker.calling import call_function
from luaflow_worker.modules.events import matches, pattern_of

MODULES = ("events", "time")

CASES: dict[str, tuple[str, Any]] = {
    "an event": (
        """local sub = events.subscribe("orders")
        local sent = events.send("orders", "created", "/1", { total = 5 })
        events.send("orders", "bare", "/2")
        local a, ok = sub:channel():receive()
        local b = sub:channel():receive()
        return { sent, ok, a.system, a.kind, a.path, a.data.total, b.kind, b.data == nil }""",
        [True, True, "orders", "created", "/1", 5, "bare", True],
    ),
    "kinds and patterns": (
        """local sub = events.subscribe("orders.*", "a|b")
        local some = events.subscribe("orders.*", "(created|gone)")
        local all = events.subscribe("**")
        events.send("orders.x.y", "created", "p") events.send("orders.x", "other", "p")
        events.send("orders.x", "gone", "p") events.send("users", "created", "p")
        local out, r = { some:channel():receive().kind }
        for i = 2, 5 do out[i] = all:channel():receive().system end
        return out""",
        ["gone", "orders.x.y", "orders.x", "orders.x", "users"],
    ),
    "closing": (
        """local sub = events.subscribe("s")
        events.send("s", "k", "p")
        sub:channel():receive()
        local a, b = sub:close(), sub:close()
        local v, ok = sub:channel():receive()
        return { a, b, v == nil, ok, events.send("s", "k", "p") }""",
        [True, True, True, False, True],
    ),
    "what is not read is bounded": (
        """local sub = events.subscribe("s")
        for i = 1, 500 do events.send("s", "k", "p", i) end
        local out = { sub:channel():receive().data }
        time.sleep("20ms")
        local n = 0
        while not channel.select({ sub:channel():case_receive(), default = true }).default do
            n = n + 1
        end
        return { out[1], n <= 128 }""",
        [1, True],
    ),
    "refusals": (
        """local function kind(f, ...) local v, e = f(...) return v == nil and e:kind() end
        return { kind(events.subscribe, ""), kind(events.subscribe), kind(events.subscribe, "s", 5),
            kind(events.send, "", "k", "p"), kind(events.send, "s", "", "p"), kind(events.send,
                "s", "k", ""),
            kind(events.send, "s", "k"), kind(events.send, "s", "k", "p", print),
            kind(events.subscribe, ("x"):rep(201)) }""",
        ["Invalid"] * 9,
    ),
    "subscriptions of one call are bounded": (
        """for i = 1, 100 do events.subscribe("s" .. i) end
        return select(2, events.subscribe("one more")):kind()""",
        "Invalid",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_events(tmp_path: Path, name: str) -> None:
    """Everything there is."""
    body, expected = CASES[name]
    assert await in_function(tmp_path, body, modules=MODULES) == expected


async def test_from_one_call_to_another(tmp_path: Path) -> None:
    """Calls of one process hear each other; one that ended hears nothing."""
    body = """if ... then return events.send("news", "k", "p", ...) end
    return events.subscribe("news"):channel():receive().data"""
    app = write_function(tmp_path, body, MODULES)
    entry = app.functions["app:f"]
    waiting = asyncio.create_task(call_function(app, entry, [], no_world))
    while not waiting.done():
        await call_function(app, entry, ["told"], no_world)
        await asyncio.sleep(0)  # the others' turn
    assert waiting.result() == "told"
    assert await call_function(app, entry, ["nobody"], no_world) is True


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.**", "a.b.c", True),
        ("*.b", "a.b", True),
        ("a*", "abc", True),
        ("(a|b).c", "b.c", True),
        ("(a|b).c", "c.c", False),
        ("a(", "a(", True),
        ("", "", True),
        ("**", "", True),
    ],
)
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    """Stars, choices, and texts that look like them."""
    assert matches(pattern_of(pattern), text) is expected


def test_no_pattern_takes_long() -> None:
    """A set of places instead of tries that multiply."""
    began = time.thread_time()
    assert not matches(pattern_of("*a" * 100), "a" * 499 + "b")
    assert time.thread_time() - began < 2
