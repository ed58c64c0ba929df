"""Child processes of ``dev`` and ``demo``: their lines pass on, none outlives its parent."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Sequence

import click

from luaflow.errors import LuaflowError

STOP_SECONDS = 40.0
"""How long a child may take to drain before it is killed."""
LAST_WORDS_SECONDS = 2.0
"""How long a child that has ended is listened to: what it started may hold the pipe open."""
MAX_LINE = 64 * 1024
"""A longer line is passed on in pieces of this size at least (bytes)."""

# What each program says once it works; its other lines, such as errors, begin alike.
_SERVES = re.compile(r"luaflow(-worker .*\) serves|-scheduler looks after| serve \(.*\) serves) ")

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


class ChildEnded(LuaflowError):
    """A process ended that should not have; ``code`` is its exit code (a signal: negative)."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Child:
    """A Python module run as a process; what it writes is passed on line by line."""

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], *, quiet: bool = False
    ) -> None:
        self.name = name
        self._quiet = quiet
        self._command = [module, *arguments]
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._serves = asyncio.Event()

    async def start(self) -> None:
        """Start it; return when it says that it serves. ChildEnded when it ends before.

        May be cancelled; ``stop`` then ends what runs already.
        """
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
        serves = asyncio.create_task(self._serves.wait())
        try:
            await asyncio.wait({ended, serves}, return_when=asyncio.FIRST_COMPLETED)
            if serves.done():
                return
            await self._last_words()
            raise ChildEnded(
                f"the {self.name} ended at once, with code {ended.result()}", ended.result()
            )
        finally:
            ended.cancel()
            serves.cancel()

    async def ended(self) -> ChildEnded:
        """Wait for the end; say how it was."""
        if self._process is None:
            raise LuaflowError(f"the {self.name} was not started")
        code = await self._process.wait()
        return ChildEnded(f"the {self.name} ended with code {code}", code)

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
        await self._last_words()

    async def _last_words(self) -> None:
        """Let the reader come to the end of what an ended process wrote."""
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=LAST_WORDS_SECONDS)
            self._reader.cancel()
            await asyncio.wait({self._reader})

    async def _pass_on(self) -> None:
        """Read until the end, come what may: a child whose pipe is full stands still."""
        if self._process is None or self._process.stdout is None:
            return
        rest = b""
        while chunk := await self._process.stdout.read(MAX_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) >= MAX_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._line(line)
        if rest:
            self._line(rest)

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if _SERVES.match(text):
            self._serves.set()
        if self._quiet:
            return
        try:
            click.echo(f"[{self.name}] {text}")
        except (OSError, ValueError):  # nobody reads us any more, or the disk is full
            self._quiet = True


async def start_all(children: Sequence[Child]) -> None:
    """Start children side by side: most of what they do at first is to load their code.

    Raises ChildEnded of the first one that ends; the others are not waited for then, and ``stop``
    ends what runs of them.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(child.start())
    except ExceptionGroup as ended:
        raise ended.exceptions[0] from None
