"""A client process that starts one run, and is killed between the run's object and its start."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from luaflow.client.client import Client
from luaflow.objects import Folder


async def _put(folder: Folder, key: str, data: bytes) -> None:
    await _PUT(folder, key, data)
    os.kill(os.getpid(), signal.SIGKILL)


async def _start(url: str, namespace: str) -> None:
    async with await Client.connect(url, namespace) as client:
        await client.start("app:flow", "L" * 5000, id="never")


_PUT = Folder.put

if __name__ == "__main__":
    setattr(Folder, "put", _put)  # noqa: B010 - mypy wants no other way
    asyncio.run(_start(*sys.argv[1:3]))
