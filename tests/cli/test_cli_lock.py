"""Locks on the command line: who has one, and a lost run gives it back."""

from __future__ import annotations

from functools import partial

import pytest
from tests.protocol.scenes_entity import asks
from tests.support.commands import Commands
from tests.support.player import Player

from luaflow.domain.ids import partition_of
from luaflow.store import entities
from luaflow.store.delivery import Stamp


async def _asked(player: Player, key: str) -> None:
    """Two runs that nobody knows have asked for a lock; one has it."""
    store = player.store
    p = store.partitions[partition_of(key, len(store.partitions))]
    for number, run in enumerate("ab", 1):
        mail = asks(run) | {"key": key}
        await store.one(entities.call(store, p, Stamp(3, number, 1), mail, None))
    # the numbers of the partition go on where these ended
    await store.read(("HSET", store.partitions[3].meta, f"out:{p.number}", 2))


@pytest.mark.parametrize(("key", "spelt"), [("till", "till"), ("slot\napp:pay\n", "slot app:pay")])
def test_a_lock_of_lost_runs(luaflow: Commands, key: str, spelt: str) -> None:
    """Show tells that they are gone, release gives back what they had."""
    assert luaflow("lock", "show", spelt).out == f"{spelt}: nobody has it, and nobody waits\n"
    luaflow.play(partial(_asked, key=key))
    held, waiting = luaflow("lock", "show", spelt).out.splitlines()
    assert held.split()[:3] == ["held", "w-a", "a"]
    assert waiting.split()[:3] == ["waiting", "w-b", "b"]
    assert "(gone:" in held
    found = luaflow("lock", "show", spelt, "-o", "json").json
    assert found["held"] == [{"workflow_id": "w-a", "run_id": "a", "gone": True}]
    released = luaflow("lock", "release", spelt, "-o", "json").json
    assert released == {"key": spelt, "released": ["w-a", "w-b"]}
    assert luaflow("lock", "show", spelt).out == f"{spelt}: nobody has it, and nobody waits\n"
    assert luaflow("lock", "release", spelt, "-o", "json").json["released"] == []
