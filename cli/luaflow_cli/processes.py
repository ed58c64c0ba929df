"""Child processes of ``dev`` and ``demo``: their lines pass on, none outlives its parent."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

import click

from luaflow.errors import LuaflowError

STOP_SECONDS = 40.0
"""How long a child may take to drain before it is killed."""

# Runs in the child before the program: when our process is gone, however it ended, the kernel
# asks the child to stop.
_TRAMPOLINE = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this one is gone")
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
"""


class Child:
    """A Python module run as a process; what it writes is passed on line by line."""

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], *, quiet: bool = False
    ) -> None:
        self.name = name
        self._quiet = quiet
        self._command = [module, *arguments]
        self._program = module.partition(".")[0].replace("_", "-")  # begins the line it serves by
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._spoke = asyncio.Event()

    async def start(self) -> None:
        """Start it; return when it says that it serves. LuaflowError when it ends before."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _TRAMPOLINE,
            str(os.getpid()),
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we stop it
        )
        self._reader = asyncio.create_task(self._pass_on(), name=f"luaflow-dev-{self.name}")
        ended = asyncio.create_task(self._process.wait())
        spoke = asyncio.create_task(self._spoke.wait())
        await asyncio.wait({ended, spoke}, return_when=asyncio.FIRST_COMPLETED)
        spoke.cancel()
        if not ended.done():
            ended.cancel()
            return
        await self._reader
        raise LuaflowError(f"the {self.name} ended at once, with code {ended.result()}")

    async def ended(self) -> str:
        """Wait for the end; say how it was."""
        if self._process is None:
            raise LuaflowError(f"the {self.name} was not started")
        return f"the {self.name} ended with code {await self._process.wait()}"

    async def kill(self) -> int:
        """End it as a crash would (SIGKILL); return its process id."""
        process = self._process
        if process is None:
            raise LuaflowError(f"the {self.name} was not started")
        if process.returncode is None:
            process.kill()
        await process.wait()
        return process.pid

    async def stop(self) -> None:
        """Ask it to stop and wait for that; kill it when it takes too long."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader:
            await self._reader

    async def _pass_on(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        async for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip()
            if not self._quiet:
                click.echo(f"[{self.name}] {text}")
            if text.startswith(self._program):
                self._spoke.set()
