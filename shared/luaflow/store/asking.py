"""Questions about runs: a list a task queue, an answer by push (design 5.12).

A question is recorded nowhere: whoever asks subscribes to the channel of its answer, puts the
question into the list of the run's queue, and asks again when no answer comes. One worker takes it.
"""

from __future__ import annotations

from luaflow.store import keys
from luaflow.store.link import Call
from luaflow.store.reader import Reader
from luaflow.store.scripts import load
from luaflow.store.store import Store
from luaflow.store.waiting import BLOCK_MS

MOST_ASKS = 1000
"""Questions that may wait for the workers of one queue."""
ASK_MS = 60_000
"""How long they wait when nobody asks anything more."""


def ask(*, namespace: str, queue: str, text: bytes) -> Call:
    """Leave a question for the workers of a queue."""
    return Call(load("ask"), [keys.asks(namespace, queue)], [text, MOST_ASKS, ASK_MS])


async def take_ask(reader: Reader, lists: list[str]) -> bytes | None:
    """Wait for a question and take it; None: ask again."""
    found = await reader.read("BLPOP", *lists, BLOCK_MS // 1000)
    return bytes(found[1]) if found else None


async def forget_ask(store: Store, queue: str, text: bytes) -> bool:
    """Take back a question; False when a worker has taken it."""
    (removed,) = await store.read(("LREM", keys.asks(store.namespace, queue), 0, text))
    return bool(removed)


async def tell_answer(store: Store, ask_id: str, text: bytes) -> None:
    """Tell whoever waits for the answer."""
    await store.read(("PUBLISH", keys.answer(store.namespace, ask_id), text))
