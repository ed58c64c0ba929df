"""Starting a run whose type is limited: its gate, and the request for its slot."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
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


def gate_of(
    store: Store, flow: str, type: str, args: Sequence[Any], route: Route
) -> tuple[Gate | None, Mapping[str, Any] | None]:
    """The gate of a run that is about to be started, and the rate limit to ask for its moment.

    ``args`` as its first event has them.
    """
    wanted = plan(flow, type, args)
    return slot_gate(store, wanted, route), wanted.rate if wanted else None


async def moment_of(store: Store, rate: Mapping[str, Any]) -> Gate | None:
    """The gate of a run whose rate limit has given it a moment; it is gone if nothing starts."""
    wait = await wait_of(store, rate)
    return Gate(wait) if wait else None


async def is_known(store: Store, route: Route) -> bool:
    """Whether there is a run of the workflow id, so that a start may well start nothing."""
    (run,) = await store.read(("HGET", route.partition.wf(route.workflow_id), "run"))
    return run is not None


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
