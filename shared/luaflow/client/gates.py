"""Starting a run whose type is limited: its gate, and the request for its slot."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from luaflow.domain.flow import plan
from luaflow.errors import LuaflowError
from luaflow.store.gate import Gate
from luaflow.store.gates import slot_gate, wait_of
from luaflow.store.relay import drain_outbox
from luaflow.store.store import Store
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 5.0


async def gate_of(
    store: Store, flow: str, type: str, args: Sequence[Any], route: Route
) -> Gate | None:
    """The gate of a run that is about to be started; ``args`` as its first event has them."""
    wanted = plan(flow, type, args)
    wait = await wait_of(store, wanted.rate) if wanted and wanted.rate else 0
    return slot_gate(store, wanted, route, wait)


async def bring(store: Store, sender: int, receiver: int) -> None:
    """Bring a request for a slot to its entity at once, and the answer back.

    What cannot be had now is left to the schedulers: they look after an outbox a second later.
    """
    try:
        done = await drain_outbox(store, sender, receiver, patience=PATIENCE_SECONDS)
        for reply in done.replies:
            await drain_outbox(store, receiver, reply, patience=PATIENCE_SECONDS)
    except LuaflowError as error:
        log.warning("a run waits for its slot until a scheduler looks after it: %s", error)
