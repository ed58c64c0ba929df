"""What is written and read in one batch is of one server, also where that is another one by now."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.replication import Replication
from tests.support.runs import open_store

from luaflow.store.delivery import forget_messages


async def test_what_was_read_beside_a_refused_transition_is_read_again(tmp_path: Path) -> None:
    """Else an outbox of the old primary would be delivered in the name of the new one (5.6)."""
    async with Replication(tmp_path, replicas=0) as group:
        server = group.primary
        store = await open_store(group.url, "one", partitions=2)
        try:
            p = store.partitions[0]
            lost = asyncio.Event()
            store.link.on_change.append(lost.set)
            await server.ask("REPLICAOF", "127.0.0.1", 1)  # takes no writes, but answers reads
            claim = forget_messages(partition=p, receiver=1, delivered=())
            asked = asyncio.create_task(store.run(claim, ("XRANGE", p.outbox(1), "-", "+")))
            await asyncio.wait_for(lost.wait(), 10)
            await server.ask("REPLICAOF", "NO", "ONE")
            await server.ask("XADD", p.outbox(1), "1-0", "e", 1, "m", "{}")
            answer, page = await asked
            assert answer[0] == b"ok"
            assert [bytes(id_) for id_, _ in page] == [b"1-0"]
        finally:
            await store.close()
