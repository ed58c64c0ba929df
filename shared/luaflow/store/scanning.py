"""All keys of a pattern, server by server, a slice at a time: nobody waits for long."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from luaflow.store.store import Store

PAGE: Final = 1000
"""Keys that a server looks at in one go."""


def patterns(namespace: str) -> tuple[str, ...]:
    """What all keys of a namespace match; not its line in the hash of namespaces."""
    return f"lf:{namespace}:*", f"lf:{{{namespace}}}:*", f"lf:{{{namespace}:*"


async def slices(store: Store, pattern: str) -> AsyncGenerator[list[bytes], None]:
    """The keys that match, some at a time; those of a server that joins meanwhile may be left out.

    Raises what reading raises.
    """
    ask = ("MATCH", pattern, "COUNT", PAGE)
    for address in await store.each_server(("PING",)):
        cursor = b"0"
        while True:
            answers = await store.each_server(("SCAN", cursor, *ask))
            answer = answers.get(address, [[b"0", []]])[0]
            if isinstance(answer, Exception):
                raise answer
            cursor, found = answer
            if found:
                yield found
            if cursor == b"0":
                break
