"""What a process may send to another node: no more than a payload may have (design 3.8)."""

from __future__ import annotations

from typing import Any

from tests.processes.conftest import Stage
from tests.support.engine import within
from tests.support.mutants import proves, replaced

from luaflow_worker import world


def any_size(body: bytes, *_: Any) -> bytes:
    """Nothing is too large."""
    return body


@proves(replaced(world, "check_size", any_size))
async def test_a_message_to_another_node_has_a_limit(stage: Stage) -> None:
    """Ten thousand letters may wait in an inbox: none of them is of any size. Here it is a copy."""
    await stage.app(
        {
            "p_waits": "return #process.inbox():receive():payload():data()",
            "start": 'return process.spawn("app:p_waits", HOST)',
            "f": """
            local pid, n = ...
            local _, err = process.send(pid, "much", ("x"):rep(n))
            return err and err:kind() or "sent"
            """,
        }
    )
    one, two = await stage.node(), await stage.node()
    limit = stage.engine.store.settings.payload_max_bytes
    pid = await one.call("app:start", [])
    await one.processes.reachable()
    assert await within(two.call("app:f", [pid, limit])) == "Conflict"
    assert await within(one.call("app:f", [pid, limit])) == "sent"
