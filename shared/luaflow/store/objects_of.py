"""Where in an object store the payloads of a run, a workflow id or a job are, and when they go.

A key is ``<namespace>/<partition>/<kind>/<id>/+/<sha256>-<random>``. Kind ``r``: what stays with a
run, and goes with it. Kind ``w``: what may be handed on to the next run of a workflow id (inputs,
messages). Kind ``j``: of a plain job. Those of the last two go when a sweep finds their owner gone
for a while, and so do those of a run that never came to be (``luaflow.store.orphans``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luaflow.store.store import Store

_CHUNK = 200
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_END = "/+/"


def object_prefix(namespace: str, partition: int, kind: str, name: str) -> str:
    """What the keys of an owner's objects begin with."""
    text = "".join(chr(b) if b in _PLAIN else f"={b:02X}" for b in name.encode())
    parts = (text[i : i + _CHUNK] for i in range(0, len(text), _CHUNK))
    return f"{namespace}/{partition}/{kind}/{'/'.join(parts)}{_END}"


def object_key(namespace: str, partition: int, kind: str, name: str, digest: str) -> str:
    """The key of an object: named by its content, below its owner."""
    return object_prefix(namespace, partition, kind, name) + digest


def owner_of(key: str) -> tuple[int, str, str] | None:
    """Partition, kind and id of the owner of an object; None for a key that is not ours."""
    head, end, _ = key.rpartition(_END)
    parts = head.split("/", 3)
    if not end or len(parts) != 4 or not parts[1].isdigit():
        return None
    data = re.sub(
        r"=([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), parts[3].replace("/", "")
    ).encode("latin-1")
    return int(parts[1]), parts[2], data.decode(errors="replace")


async def forget_payloads(store: Store, partition: int, run_id: str) -> int:
    """Delete what a run that is removed has in the object store; how many objects that were.

    Call it once the run's keys are gone, and not for a run that was archived: they stay with it.
    Raises Unavailable: call it again, or leave them to the sweep.
    """
    if store.objects is None:
        return 0
    keys = await store.objects.keys(object_prefix(store.namespace, partition, "r", run_id))
    for key in keys:
        await store.objects.delete(key)
    return len(keys)
