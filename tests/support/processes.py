"""Real processes of luaflow for a test, each in a session of its own; all end with the test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

# Runs in the child before the program: when the test's process is gone, however it ended, the
# kernel kills the program.
_TRAMPOLINE = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the test is gone")
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
"""
WITHIN = 60.0
"""Seconds a test waits for a line or an end before it fails."""


class Program:
    """A Python module run as a process; what it writes is read line by line until it ends."""

    def __init__(
        self, name: str, ready: str, on_line: Callable[[str], None] = lambda _: None
    ) -> None:
        self.name = name
        self.ready = ready
        """What it says when it works."""
        self.lines: list[str] = []
        self._on_line = on_line
        self._more = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self, module: str, *arguments: str, **environment: str) -> Self:
        """Start it; returns at once."""
        python = (sys.executable, "-c", _TRAMPOLINE, str(os.getpid()))
        return await self.spawn(*python, module, *arguments, **environment)

    async def spawn(self, *command: str, **environment: str) -> Self:
        """Start any program, read as the others are."""
        self._process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._read(), name=f"read-{self.name}")
        return self

    @property
    def pid(self) -> int:
        """Its process id, and that of its session."""
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.returncode is None

    async def line(self, pattern: str, within: float = WITHIN) -> re.Match[str]:
        """The first line that matches, said already or to come; fails when there is none."""
        return (await self.said(pattern, 1, within))[0]

    async def said(self, pattern: str, times: int, within: float = WITHIN) -> list[re.Match[str]]:
        """All lines that match, once there are so many."""
        wanted = re.compile(pattern)
        found: list[re.Match[str]] = []
        looked = 0
        try:
            async with asyncio.timeout(within):
                while True:
                    more, ended = self._more, self._reader is None or self._reader.done()
                    found += filter(None, map(wanted.search, self.lines[looked:]))
                    looked = len(self.lines)
                    if len(found) >= times:
                        return found
                    if ended:
                        break
                    await more.wait()
        except TimeoutError:
            pass
        text = f"{self.name} did not say {pattern!r} {times} times:\n{self.last_words()}"
        raise AssertionError(text)

    def send(self, number: int) -> None:
        """Send a signal to the process alone."""
        assert self._process
        self._process.send_signal(number)

    async def ended(self, within: float = WITHIN) -> int:
        """Wait for its end; its exit code, negative where a signal ended it."""
        assert self._process
        assert self._reader
        try:
            async with asyncio.timeout(within):
                code = await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} did not end:\n{self.last_words()}") from None
        return code

    async def silent(self, within: float = WITHIN) -> None:
        """Return when it and all it started have ended: nobody is left who could say a word."""
        assert self._reader
        async with asyncio.timeout(within):
            await asyncio.shield(self._reader)

    async def stop(self, within: float = WITHIN) -> int:
        """SIGTERM, wait; the exit code."""
        self.send(signal.SIGTERM)
        return await self.ended(within)

    async def kill(self) -> None:
        """End it and all it started, without notice; safe when it is gone."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # nobody of its session is left
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        if self._reader:
            await self._reader

    def last_words(self) -> str:
        """The end of what it said."""
        return "".join(self.lines[-60:])

    async def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        async for raw in self._process.stdout:
            line = raw.decode(errors="replace")
            self.lines.append(line)
            self._on_line(line)
            self._stir()
        # after this task is done, so that whoever waits sees that nothing more comes
        asyncio.get_running_loop().call_soon(self._stir)

    def _stir(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()


class Fleet:
    """Workers and schedulers of one namespace: ``async with Fleet(url, …) as fleet: ...``.

    ``effects`` is the file that activities write to, ``gate`` the pipe that held ones read from.
    ``on_line`` hears every line of every process. When the block ends, however it ends, so do
    all processes that were started in it.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        app: Path,
        effects: Path,
        gate: Path,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.url = url
        self._namespace = namespace
        self._app = app
        self._environment = {"CRASH_EFFECTS": str(effects), "CRASH_GATE": str(gate)}
        self._on_line = on_line
        self.programs: list[Program] = []

    async def worker(self, *options: str, url: str | None = None, ready: bool = True) -> Program:
        """Start a worker of the queue ``orders``; with ``ready``, return when it serves."""
        arguments = ["--queue", "orders", "--app", str(self._app), *options]
        program = Program(self._name("worker"), "^luaflow-worker .* serves", self._on_line)
        return await self._start(program, "luaflow_worker.cli", arguments, url, ready=ready)

    async def scheduler(self, *, url: str | None = None, ready: bool = True) -> Program:
        """Start a scheduler; with ``ready``, return when it looks after the namespace."""
        program = Program(self._name("scheduler"), "^luaflow-scheduler looks after", self._on_line)
        arguments = ["--metrics-port", "0"]
        return await self._start(program, "luaflow_scheduler.cli", arguments, url, ready=ready)

    def _name(self, kind: str) -> str:
        return f"{kind}-{len(self.programs)}"

    async def _start(
        self, program: Program, module: str, arguments: list[str], url: str | None, *, ready: bool
    ) -> Program:
        self.programs.append(program)
        where = ["--redis", url or self.url, "--namespace", self._namespace]
        await program.start(module, *where, *arguments, **self._environment)
        if ready:
            await program.line(program.ready)
        return program

    async def stop(self) -> list[int]:
        """Stop all that runs as an operator would, once it has come up; their exit codes."""
        running = [p for p in self.programs if p.running]
        await asyncio.gather(*(p.line(p.ready) for p in running))
        return list(await asyncio.gather(*(p.stop() for p in running)))

    def last_words(self) -> str:
        """What all of them said last: why a test failed."""
        return "\n".join(f"--- {p.name}\n{p.last_words()}" for p in self.programs)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(program.kill() for program in self.programs))
        if error is not None:
            error.add_note(self.last_words())


class Gate:
    """Two pipes in the file system that held activities read from: first attempts, later ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pipes = []
        for name in ("first", "later"):
            os.mkfifo(f"{path}.{name}")
            # both ways, so that no opening of it waits
            self._pipes.append(os.open(f"{path}.{name}", os.O_RDWR))

    def let_first(self) -> None:
        """Let one first attempt go on, whether it waits already or comes later."""
        os.write(self._pipes[0], b".")

    def let_later(self) -> None:
        """The same for an attempt that is not the first."""
        os.write(self._pipes[1], b".")

    def close(self) -> None:
        """Forget them."""
        for pipe in self._pipes:
            os.close(pipe)
