"""The nodes of a Redis Cluster, and which of them has which slot."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

from luaflow.errors import InvalidArgument, Unavailable
from luaflow.store.address import Address, Place
from luaflow.store.noperm import denied
from luaflow.store.slots import SlotMap, read_slots
from luaflow.store.topology import Asker, NobodyThere, Topology

ASKED = 3
"""Nodes that are asked where the slots are, besides those of the address."""


class Nodes(Topology):
    """The primaries of a cluster. Its map is made better by each MOVED, too (``move``)."""

    every: ClassVar[float] = 2.0

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.map = SlotMap(())
        self._epoch = 0

    @property
    def places(self) -> set[Place]:
        """The primaries that have slots."""
        return set(self.map.primaries)

    def _asker(self) -> Asker:
        return Asker(self.address.of)

    def owner(self, slot: int | None) -> Place:
        """The primary of a slot, or any; Unavailable when nobody has it."""
        if slot is not None:
            found = self.map.owner(slot)
        else:  # not always the same one: it may be away
            found = random.choice(self.map.primaries) if self.map.primaries else None
        if found is None:
            what = "nodes" if slot is None else f"primary for the slot {slot}"
            raise Unavailable(f"the cluster at {self.address} has no {what} now")
        return found

    async def _look(self, asker: Asker, *, newer: bool) -> None:
        known = self.map.primaries
        places = {*self.address.places, *random.sample(known, min(ASKED, len(known)))}
        answers = await asker.ask(places, ("CLUSTER", "SLOTS"), ("CLUSTER", "INFO"))
        views = [
            (_standing(answer[1]), place, answer[0])
            for place, answer in answers.items()
            if isinstance(answer, list) and not isinstance(answer[0], ResponseError)
        ]
        if not views:
            raise self._nobody(answers)
        # one that was cut off from the others has not heard what they decided since
        (healthy, epoch), place, slots = max(views, key=lambda view: view[0])
        if newer and (not healthy or epoch < self._epoch):
            return
        self._epoch, self.map = epoch, read_slots(slots, place)

    def _nobody(self, answers: Mapping[Place, list[Any] | Exception]) -> Exception:
        for place, answer in answers.items():
            if isinstance(answer, list):
                if problem := denied(answer[0], self.address.url, ("CLUSTER SLOTS",)):
                    return problem
                return InvalidArgument(
                    f"the server at {place} is no node of a cluster ({answer[0]}): write "
                    f"redis://{place}"
                )
        why = "; ".join(f"{place}: {answer}" for place, answer in answers.items())
        return NobodyThere(f"cannot reach Redis at {self.address}: no node answers ({why})")

    async def check(self, connection: Connection, place: Place) -> None:
        """A node that is no primary sends to the one that is: nothing to check."""


def _standing(info: Any) -> tuple[bool, int]:
    """Whether a node sees the cluster whole, and of which epoch it knows."""
    if isinstance(info, ResponseError):
        return False, 0
    fields = dict(line.split(":", 1) for line in bytes(info).decode().split() if ":" in line)
    return fields.get("cluster_state") == "ok", int(fields.get("cluster_current_epoch", 0))
