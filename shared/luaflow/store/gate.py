"""The gate of a new run, as the scripts that start one know it."""

from __future__ import annotations

from typing import NamedTuple

from luaflow.store.keys import Partition
from luaflow.store.link import Arg


class Gate(NamedTuple):
    """What the first task of a new run waits for: ``wait`` ms, or a slot.

    ``record`` gives the slot back one day; ``ask`` goes to the partition ``receiver`` and asks
    for it.
    """

    wait: int = 0
    record: bytes = b""
    receiver: int = 0
    ask: bytes = b""


def gate_args(p: Partition, gate: Gate | None) -> tuple[list[str], list[Arg]]:
    """The keys and arguments by which a script that starts a run knows of its gate."""
    if gate is None:
        return [], [0, b"", 0, b""]
    box = [p.outbox(gate.receiver)] if gate.ask else []
    return box, [gate.wait, gate.record, gate.receiver, gate.ask]
