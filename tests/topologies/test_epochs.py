"""Messages between partitions when Sentinel has made another server the primary (design 5.6)."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from tests.protocol.hand import Hand, request
from tests.support.sentinel import Sentinels
from tests.topologies.journeys import insist

from luaflow.store.link import Arg
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace
from luaflow.store.relay import deliver, drain_outbox
from luaflow.store.store import Store

SENDER, RECEIVER = 3, 5


def says(hand: Hand, number: int) -> list[Arg]:
    """A request that signals a run of another partition."""
    body = {"name": f"m{number}", "input": []}
    kind = "WorkflowExecutionSignaled"
    target = hand.id_in(RECEIVER)
    mail = {"k": "message", "workflow_id": target, "from": None, "seq": number, "type": kind}
    return request(number, RECEIVER, {**mail, "body": body, "ok": "", "failed": ""})


async def heard(hand: Hand) -> list[str]:
    """What the run of the other partition was told."""
    route = await hand.store.route(hand.id_in(RECEIVER))
    events = await hand.events(route)
    return [e.body["name"] for e in events if e.type == "WorkflowExecutionSignaled"]


@pytest.mark.heavy
async def test_a_new_primary_raises_the_epoch(tmp_path: Path) -> None:
    """A message keeps the epoch it was written under; one of an older epoch counts no more."""
    async with Sentinels(tmp_path) as group:
        link = make_link(group.url)
        await create_namespace(link, "epochs", Settings(partitions=8, simulated=True))
        await link.close()
        store = await Store.open(group.url, "epochs")
        try:
            hand = Hand(store)
            outbox = store.partitions[SENDER].outbox(RECEIVER)
            await hand.idle(hand.id_in(RECEIVER))
            route, _ = await hand.idle(hand.id_in(SENDER), *says(hand, 1), others=[outbox])
            ((first, old),) = await hand.outbox(SENDER, RECEIVER)
            (entries,) = await store.read(("XRANGE", outbox, "-", "+"))
            text = bytes(entries[0][1][3])
            assert orjson.loads(text)["seq"] == 1
            # it waits in the outbox while the server changes, and is delivered under its own epoch
            await group.failover()
            await group.heal()
            await insist(lambda: hand.tell(route))
            task = await hand.take(route)
            await hand.commit(task, *says(hand, 2), others=[outbox])
            (_, kept), (second, new) = await hand.outbox(SENDER, RECEIVER)
            assert kept == old < new
            await drain_outbox(store, SENDER, RECEIVER)
            assert await heard(hand) == ["m1", "m2"]
            # who was slow brings the first one again, or one that the new primary does not know
            for number in (first, second, second + 1):
                verdict = await deliver(store, SENDER, number, old, text, oldest=number)
                assert verdict.word == "duplicate"
            assert await heard(hand) == ["m1", "m2"]
        finally:
            await store.close()
