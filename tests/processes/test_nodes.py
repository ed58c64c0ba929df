"""Several nodes: letters, monitors, links and names across OS processes (design 4)."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from tests.processes.conftest import Stage
from tests.support.engine import within
from tests.support.mutants import mutant, proves, replaced

from luaflow.domain.messages import letter_to
from luaflow.store import inboxes, relay
from luaflow.store.delivery import Stamp
from luaflow.store.transitions import RequestId
from luaflow_worker import inbox
from luaflow_worker.names import Names
from luaflow_worker.processes import Processes

WAITS = """
local m = process.inbox():receive()
if m:topic() == "fail" then return nil, errors.new({message = "asked to", kind = "Conflict"}) end
process.send(m:from(), "answer", (m:payload():data()))
return m:topic()
"""


async def test_a_message_crosses_nodes_and_is_answered(stage: Stage) -> None:
    """Whoever has a PID reaches the process, wherever it runs, and monitors it."""
    await stage.app(
        {
            "p_waits": WAITS,
            "start": 'return process.spawn("app:p_waits", HOST)',
            "f": """
            local pid = ...
            local monitored = process.monitor(pid)
            local ok, err = process.send(pid, "ask", "x")
            if err then return nil, err end
            local m = process.inbox():receive()
            local e = process.events():receive()
            return { monitored, m:topic(), m:payload():data(), m:from() == pid, e.kind,
              e.result.value }
            """,
        }
    )
    one, two = await stage.node(), await stage.node()
    pid = await one.call("app:start", [])
    await one.processes.reachable()
    assert await within(two.call("app:f", [pid])) == [
        True,
        "answer",
        "x",
        True,
        "pid.exit",
        "ask",
    ]


async def test_links_terminate_and_cancel_cross_nodes(stage: Stage) -> None:
    """A link breaks across nodes; unlink holds; terminate and cancel arrive."""
    await stage.app(
        {
            "p_waits": WAITS,
            "p_events": "local e = process.events():receive() return e.reason",
            "start": "return process.spawn(..., HOST)",
            "f": """
            process.set_options({trap_links = true})
            local a, b, c, d = ...
            local events, out = process.events(), {}
            process.link(a)
            process.send(a, "fail")
            local e = events:receive()
            out[1] = { e.kind, e.result.error:kind(), e.from == a }
            process.link(b)
            process.monitor(b)
            process.terminate(b)
            out[2] = { events:receive().kind, events:receive().kind }
            process.monitor(c)
            process.cancel(c, "over there")
            out[3] = events:receive().result.value
            process.monitor(d)
            process.unmonitor(d)
            process.send(d, "fine", 1)
            process.inbox():receive()
            local case = channel.select({events:case_receive(), time.after("80ms"):case_receive()})
            out[4] = case.channel ~= events
            process.monitor(a)
            out[5] = events:receive().result.error:kind()
            return out
            """,
        }
    )
    one, two = await stage.node(), await stage.node()
    names = ["app:p_waits", "app:p_waits", "app:p_events", "app:p_waits"]
    pids = [await one.call("app:start", [name]) for name in names]
    await one.processes.reachable()
    assert await within(two.call("app:f", pids)) == [
        ["pid.link.down", "Conflict", True],
        ["pid.exit", "pid.link.down"],
        "over there",
        True,
        "NotFound",
    ]


async def test_a_node_that_is_gone(stage: Stage, monkeypatch: Any) -> None:
    """A send to it is NotFound at once; whoever watches a process of it is told in time."""
    monkeypatch.setattr(inbox, "BEAT_SECONDS", 0.05)
    await stage.app(
        {
            "p_waits": WAITS,
            "start": 'return process.spawn("app:p_waits", HOST)',
            "hears": "return process.inbox():receive():topic()",
            "f": """
            local pid, hears = ...
            process.monitor(pid)
            process.send(hears, "watching")
            local e = process.events():receive()
            local _, err = process.send(pid, "x")
            return { e.from == pid, e.result.error:kind(), kinds(err) }
            """,
        }
    )
    one, two = await stage.node(), await stage.node()
    pid = await one.call("app:start", [])
    await one.processes.reachable()
    hears = asyncio.create_task(one.call("app:hears", []))
    await asyncio.sleep(0)
    made, other = one.processes.calls.values()
    watching = asyncio.create_task(two.call("app:f", [pid, other.pid]))
    assert await within(hears) == "watching"
    # its OS process dies: nobody says good-bye, the inbox expires
    made.bonds.watchers.clear()
    await one.close()
    assert await within(watching) == [True, "Unavailable", "NotFound"]


async def test_names_of_the_namespace(stage: Stage) -> None:
    """Other scopes are one in all nodes: found, refused a second time, gone with their owner."""
    await stage.app(
        {
            "p_named": """
            local ok, err = process.registry.register("shared", nil, process.registry.EVENTUAL)
            if err then return nil, err end
            process.send(..., "named")
            process.inbox():receive()
            return ok
            """,
            "start": """
            local pid = process.spawn("app:p_named", HOST, process.pid())
            process.inbox():receive()
            return pid
            """,
            "has": 'return process.registry.lookup("shared")',
            "f": """
            local R, out = process.registry, {}
            out[1] = R.lookup("shared") == ...
            out[2] = kinds(select(2, R.register("shared", nil, R.STRONG)))
            out[2] = { out[2], R.unregister("shared", R.STRONG) }
            out[3] = process.monitor("shared")
            out[4] = process.send("shared", "go")
            out[5] = process.events():receive().result.value
            return out
            """,
            "again": """
            local R = process.registry
            while true do
              local ok, err = R.register("shared", nil, R.CONSISTENT)
              if ok then break end
            end
            return { R.register("shared", nil, R.CONSISTENT), R.unregister("shared", R.STRONG),
              R.unregister("shared", R.STRONG), kinds(select(2, R.lookup("shared"))) }
            """,
        }
    )
    one, two = await stage.node(), await stage.node()
    pid = await one.call("app:start", [])
    assert await within(two.call("app:f", [pid])) == [
        True,
        ["AlreadyExists", False],
        True,
        True,
        True,
    ]
    assert await within(two.call("app:again", [])) == [True, True, False, "NotFound"]


@proves(mutant("register_name", "if owner and owner ~= pid then", "if false then"))
async def test_one_owner_of_a_name(stage: Stage) -> None:
    """Of nodes that want a name at once one has it, keeps it, and nobody else frees it."""
    store = stage.engine.store
    p = inboxes.home(store, "it")

    async def register(pid: str) -> bytes:
        call = inboxes.register_name(partition=p, name="it", pid=pid)
        return bytes((await store.one(call))[0])

    words = await asyncio.gather(*(register(f"{{n{i:012x}@h|1}}") for i in range(5)))
    assert sorted(words) == [b"ok", *[b"taken"] * 4]
    owner = f"{{n{words.index(b'ok'):012x}@h|1}}"
    assert await register(owner) == b"ok"
    other = inboxes.unregister_name(partition=p, name="it", pid="{n000000000009@h|1}")
    assert await store.one(other) == [b"ok", 0]
    (ttl,) = await store.read(("PTTL", p.name("it")))
    assert 0 < ttl <= inboxes.TTL_MS


@proves(
    mutant("post_inbox", "if repeated() then return { 'ok' } end", ""),
    mutant("post_inbox", "remember()\n", "\n"),
)
async def test_a_letter_sent_twice_arrives_once(stage: Stage) -> None:
    """A repeat whose first answer was lost adds nothing: delivery is at most once."""
    store, node = stage.engine.store, "n0123456789ab"
    p = inboxes.home(store, node)
    await store.one(inboxes.keep_inbox(partition=p, node=node))
    post = inboxes.post_inbox(
        partition=p, node=node, letter=b"{}", request=RequestId("session", 1, 1)
    )
    assert await store.one(post) == await store.one(post) == [b"ok"]
    assert await store.read(("XLEN", p.inbox(node))) == [1]


@proves(
    mutant("post_inbox", "if rcall('EXISTS', inbox_key) == 0 then return { 'gone' } end", ""),
    mutant(
        "post_inbox",
        "if rcall('EXISTS', inbox_key) == 0 then return { 'gone' } end",
        "",
        ("post_inbox", "'NOMKSTREAM', ", ""),
    ),
)
async def test_a_dead_inbox_is_not_made_again(stage: Stage) -> None:
    """Whoever writes to a node that is gone is told so and leaves no key."""
    store, node = stage.engine.store, "n0123456789ab"
    p = inboxes.home(store, node)
    post = inboxes.post_inbox(
        partition=p, node=node, letter=b"{}", request=RequestId("session", 1, 1)
    )
    assert await store.one(post) == [b"gone"]
    assert await store.read(("EXISTS", p.inbox(node))) == [0]


@proves(mutant("post_inbox", "'MAXLEN', limit, ", ""))
async def test_an_inbox_has_a_bound(stage: Stage, monkeypatch: Any) -> None:
    """Too many letters that nobody reads: the oldest go."""
    monkeypatch.setattr(inboxes, "LIMIT", 5)
    store, node = stage.engine.store, "n0123456789ab"
    p = inboxes.home(store, node)
    await store.one(inboxes.keep_inbox(partition=p, node=node))
    for i in range(1, 9):
        await store.one(
            inboxes.post_inbox(
                partition=p, node=node, letter=b"%d" % i, request=RequestId("session", i, i)
            )
        )
    (left,) = await store.read(("XRANGE", p.inbox(node), "-", "+"))
    assert [bytes(fields[1]) for _, fields in left] == [b"4", b"5", b"6", b"7", b"8"]


@proves(mutant("keep_inbox", "rcall('PEXPIRE', inbox_key, ttl)", ""))
async def test_an_inbox_expires_with_its_node(stage: Stage) -> None:
    """It has a time to live, which the heartbeat renews."""
    store, node = stage.engine.store, "n0123456789ab"
    p = inboxes.home(store, node)
    assert await store.one(inboxes.keep_inbox(partition=p, node=node, ttl=5000)) == [b"made"]
    assert await store.one(inboxes.keep_inbox(partition=p, node=node)) == [b"kept"]
    (ttl,) = await store.read(("PTTL", p.inbox(node)))
    assert 5000 < ttl <= inboxes.TTL_MS
    await store.read(("DEL", p.inbox(node)))


async def test_letters_nobody_can_read_hurt_nobody(stage: Stage) -> None:
    """Rubbish in the inbox is logged; what comes behind it arrives."""
    await stage.app({"f": "return process.inbox():receive():topic()"})
    node = await stage.node()
    task = asyncio.create_task(node.call("app:f", []))
    await asyncio.sleep(0)
    (made,) = node.processes.calls.values()
    await node.processes.reachable()
    store = stage.engine.store
    key = inboxes.home(store, node.processes.node).inbox(node.processes.node)
    good = {"kind": "message", "to": made.pid, "from": "", "topic": "t", "input": []}
    for text in (b"no json", b"[]", b'{"kind":"x"}', b'{"to":1}', orjson.dumps(good)):
        await store.read(("XADD", key, "*", "e", text))
    assert await within(task) == "t"


async def test_what_was_read_is_removed(stage: Stage, monkeypatch: Any) -> None:
    """An inbox in use stays empty, and goes with its node."""
    await stage.app({"f": "local i = process.inbox() i:receive() i:receive() return 1"})
    node = await stage.node()
    task = asyncio.create_task(node.call("app:f", []))
    await asyncio.sleep(0)
    (made,) = node.processes.calls.values()
    await node.processes.reachable()
    other, trimmed = await stage.node(), asyncio.Event()
    read = node.processes.inbox._store.read

    async def noted(*commands: Any) -> list[Any]:
        answers = await read(*commands)
        if commands[0][0] == "XTRIM":
            trimmed.set()
        return answers

    monkeypatch.setattr(node.processes.inbox._store, "read", noted)
    for _ in range(2):
        await other.processes.post(
            {"kind": "message", "to": made.pid, "from": "", "topic": "t", "input": []}
        )
    assert await within(task) == 1
    store = stage.engine.store
    key = inboxes.home(store, node.processes.node).inbox(node.processes.node)
    left = [2]
    while left != [0]:
        await within(trimmed.wait())
        trimmed.clear()
        left = await store.read(("XLEN", key))
    await node.close()
    assert await store.read(("EXISTS", key)) == [0]


async def _deaf(self: Processes) -> None:
    return None


@proves(replaced(Processes, "reachable", _deaf))
async def test_a_function_is_reachable_before_its_pid_leaves(stage: Stage) -> None:
    """The inbox is there when the receiver can answer, at the first message already."""
    await stage.app(
        {
            "p_waits": WAITS,
            "start": 'return process.spawn("app:p_waits", HOST)',
            "f": """
            process.send(..., "ask", 1)
            local answer = channel.select({process.inbox():case_receive(),
              time.after("900ms"):case_receive()})
            return type(answer.value) == "userdata" and answer.channel == process.inbox()
            """,
        }
    )
    one, two = await stage.node(), await stage.node()
    pid = await one.call("app:start", [])
    await one.processes.inbox.start()
    assert await within(two.call("app:f", [pid])) is True


@proves(
    mutant("deliver_inbox", "if verdict then return { verdict } end", ""),
    mutant("deliver_inbox", "arrived()", ""),
)
async def test_a_letter_of_a_run_is_delivered_once_and_in_order(stage: Stage) -> None:
    """The mark of the sender's partition counts it; one that is ahead of its turn must wait."""
    store, node = stage.engine.store, "n0123456789ab"
    p = inboxes.home(store, node)
    await store.one(inboxes.keep_inbox(partition=p, node=node))

    async def deliver(number: int) -> bytes:
        stamp = Stamp(3, number, 7)
        call = inboxes.deliver_inbox(partition=p, node=node, stamp=stamp, letter=b"%d" % number)
        return bytes((await store.one(call))[0])

    words = [await deliver(n) for n in (1, 1, 3, 2, 2, 3)]
    assert words == [b"ok", b"duplicate", b"gap", b"ok", b"duplicate", b"ok"]
    (left,) = await store.read(("XRANGE", p.inbox(node), "-", "+"))
    assert [bytes(fields[1]) for _, fields in left] == [b"1", b"2", b"3"]


async def test_letters_to_nobody_are_settled(stage: Stage) -> None:
    """A node that is gone stops no outbox: the letter is taken off, and no key is made."""
    store, node = stage.engine.store, "n0123456789ab"
    p = inboxes.home(store, node)
    message = letter_to(node, {"to": f"{{{node}@h|1}}", "kind": "message"})
    assert (await relay.deliver(store, 3, 1, 7, message)).settled
    assert await store.read(("EXISTS", p.inbox(node))) == [0]


async def _forgets(self: Names) -> None:
    return None


@proves(replaced(Names, "renew", _forgets))
async def test_the_heartbeat_keeps_names(stage: Stage) -> None:
    """A name would expire; one that somebody else got meanwhile is not taken back."""
    await stage.app(
        {
            "hears": "return process.inbox():receive():topic()",
            "f": """
            process.registry.register("kept", nil, 1)
            process.registry.register("lost", nil, 1)
            process.send((...), "registered")
            process.inbox():receive()
            """,
        }
    )
    node = await stage.node()
    hears = asyncio.create_task(node.call("app:hears", []))
    await asyncio.sleep(0)
    (hearing,) = node.processes.calls.values()
    task = asyncio.create_task(node.call("app:f", [hearing.pid]))
    store, names = stage.engine.store, node.processes.names
    assert await within(hears) == "registered"
    kept, lost = (inboxes.home(store, n).name(n) for n in ("kept", "lost"))
    await store.read(("PEXPIRE", kept, 5000), ("HSET", lost, "pid", "{n000000000009@h|1}"))
    await node.processes._beat()
    (ttl,) = await store.read(("PTTL", kept))
    assert ttl > 5000
    assert list(names.shared) == ["kept"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await node.close()
    assert await store.read(("EXISTS", kept), ("EXISTS", lost)) == [0, 1]
