"""How a process comes to its store: with a little patience, and only on a server that is fit."""

from __future__ import annotations

import asyncio
import logging

from luaflow.errors import NotLetIn, Unavailable
from luaflow.store.checks import check_at_start
from luaflow.store.store import Store

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""How long a server may take to be there; of several, ``Store.open`` waits longer."""
PAUSE_SECONDS = 0.5


async def open_store(url: str, namespace: str, stop: asyncio.Event, *, name: str) -> Store | None:
    """Connect and check the server; None when ``stop`` was set meanwhile.

    Raises Unavailable when there is no server after five seconds, Refused when it must not be used
    (it evicts keys …), NotFound for an unknown namespace.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_SECONDS
    told = False
    while not stop.is_set():
        try:
            return await _open(url, namespace, name)
        except NotLetIn:
            raise  # (patience helps nobody with a wrong password)
        except Unavailable as error:
            if loop.time() > end:
                raise
            if not told:
                why = str(error).rstrip(".")
                log.info("%s; trying again for %.0f s", why, PATIENCE_SECONDS)
                told = True
        try:
            await asyncio.wait_for(stop.wait(), PAUSE_SECONDS)
        except TimeoutError:
            continue
    return None


async def _open(url: str, namespace: str, name: str) -> Store:
    store = await Store.open(url, namespace, name=name)
    try:
        await check_at_start(store)
    except BaseException:
        await store.close()
        raise
    return store
