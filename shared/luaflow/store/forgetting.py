"""Removing a whole namespace: every key of it, then its name.

For namespaces that nobody works in any more: those that a measurement made for itself.
"""

from __future__ import annotations

from luaflow.store import keys
from luaflow.store.scanning import patterns, slices
from luaflow.store.store import Store


async def forget_namespace(store: Store) -> int:
    """Delete all keys of the store's namespace, then its name; how many keys there were.

    The servers look through all their keys in slices: nobody waits for long. Broken off, it may be
    repeated: the name goes last. Raises what reading raises.
    """
    count = 0
    name = store.namespace
    for pattern in patterns(name):
        async for found in slices(store, pattern):
            await store.read(*(("UNLINK", key) for key in found))
            count += len(found)
    await store.read(("HDEL", keys.NAMESPACES, name))
    return count
