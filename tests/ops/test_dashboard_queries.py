"""Every query of every board and every rule, on a real Prometheus that scrapes real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.ops.stand import WITHIN, Stand
from tools.check_alerts import FILE
from tools.check_dashboards import load, queries

from luaflow.embedded import EmbeddedServer
from luaflow.errors import LuaflowError

pytestmark = pytest.mark.timeout(180)


async def load_it(stand: Stand, turn: int) -> None:
    """Work of every kind: a rate needs a series that grows between two scrapes."""
    client = stand.client
    if not turn:
        await client.start("app:loops")
        await client.start("app:stray")
    handles = [await client.start("app:busy") for _ in range(3)]
    await client.start("app:fails")
    assert await stand.visit("/answers") == 200
    assert await stand.visit("/fails") == 500
    sleeping = await client.start("app:sleeps", id=f"sleeps-{turn}")
    with pytest.raises(LuaflowError, match="no query"):
        await sleeping.query("anything")
    for handle in handles:
        assert await handle.result(timeout=30) == "done"


async def test_every_query_has_an_answer(tmp_path: Path, server_binary: Path | None) -> None:
    """No query is refused, empty, or answered by nothing that is a number; no rule fails."""
    server = EmbeddedServer(tmp_path / "redis", binary=server_binary, extra=("--maxmemory", "1gb"))
    async with Stand(tmp_path, server, FILE) as stand:
        # A cache of one workflow: replays and evictions.
        await asyncio.gather(stand.worker("--cache", "1"), stand.scheduler(), stand.serve())
        asked = {
            (f"{name}: {where}", query)
            for name, one in load().items()
            for where, query in queries(one)
        }
        complaints = dict.fromkeys(asked, "it was not asked")
        turn = 0
        try:
            async with asyncio.timeout(WITHIN):
                while complaints:
                    await load_it(stand, turn)
                    await stand.scrapes.next()
                    turn += 1
                    answers = {one: await stand.complaint(one[1]) for one in complaints}
                    complaints = {one: text for one, text in answers.items() if text}
        except TimeoutError:
            lines = (f"{where}: {text}: {query}" for (where, query), text in complaints.items())
            raise AssertionError("\n".join(lines)) from None
        answer = await stand.ask("rules")
        rules = [rule for group in answer["groups"] for rule in group["rules"]]
        assert rules
        assert [rule for rule in rules if rule["health"] != "ok"] == []
