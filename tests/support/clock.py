"""Moving the clocks of a namespace."""

from __future__ import annotations

from collections.abc import Sequence

from luaflow.store import upkeep
from luaflow.store.keys import Partition
from luaflow.store.store import Store


async def shift(
    store: Store,
    ms: int,
    partitions: Sequence[Partition] | None = None,
    *,
    simulated: bool | None = None,
) -> None:
    """Move the clock of some partitions (None: of all) from where it is.

    Of a simulated namespace both clocks move, of another its own; ``simulated`` says it otherwise.
    """
    at = store.partitions if partitions is None else partitions
    virtual = store.settings.simulated if simulated is None else simulated
    now = await store.read(*(("HGET", p.meta, "vtime" if virtual else "offset") for p in at))
    await store.run(
        *(
            upkeep.shift_clock(partition=p, to=int(there or 0) + ms, simulated=virtual)
            for p, there in zip(at, now, strict=True)
        )
    )
