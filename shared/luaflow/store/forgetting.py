"""Removing a whole namespace: every key of it, then its name.

For namespaces that nobody works in any more: those that a measurement made for itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from luaflow.store import keys
from luaflow.store.store import Store

PAGE: Final = 1000
"""Keys that a server looks at in one go."""


async def forget_namespace(store: Store) -> int:
    """Delete all keys of the store's namespace, then its name; how many keys there were.

    The servers look through all their keys in slices: nobody waits for long. Broken off, it may be
    repeated: the name goes last. Raises what reading raises.
    """
    count = 0
    name = store.namespace
    for pattern in (f"lf:{{{name}:*", f"lf:{{{name}}}:*", f"lf:{name}:*"):
        async for found in _slices(store, pattern):
            await store.read(*(("UNLINK", key) for key in found))
            count += len(found)
    await store.read(("HDEL", keys.NAMESPACES, name))
    return count


async def _slices(store: Store, pattern: str) -> AsyncGenerator[list[bytes], None]:
    """The keys of a pattern, server by server, some at a time."""
    for address in await store.each_server(("PING",)):
        cursor = b"0"
        while True:
            ask = ("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE)
            answer = (await store.each_server(ask)).get(address, [[b"0", []]])[0]
            if isinstance(answer, Exception):
                raise answer
            cursor, found = answer
            if found:
                yield found
            if cursor == b"0":
                break
