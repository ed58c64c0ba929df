"""What must hold at the end of a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luaflow.store.store import Store
from tests.protocol.invariants import problems_of

if TYPE_CHECKING:
    from tests.simulation.world import Outcome, World


async def check(world: World, store: Store, outcome: Outcome) -> list[str]:
    return await problems_of(store, rest=True)
