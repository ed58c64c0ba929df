"""Runs a page of documentation: its files are written, its commands run, its outputs compared.

What a page may hold, in the order of its blocks:

- ``sh``: commands of one shell session. `luaflow dev`, `luaflow-worker` and `luaflow-scheduler`
  begin a line when they are started; they run until the same command is given again, or to the
  end of the page.
- ``text`` right behind ``sh``: its output, line by line; ``…`` stands for anything, and alone on a
  line for any lines. Commands may fail only where the page shows their ``error:`` or ``failed:``.
  A block that only looks is run again until it shows that: workflows take their time.
- any other language: the block is a file when the paragraph before it names one: `folder/file`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple, Self

from tests.support.forking import FORKS

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    "luaflow": "luaflow_cli.main",
    "luaflow-worker": "luaflow_worker.cli",
    "luaflow-scheduler": "luaflow_scheduler.cli",
}
READY = {
    "luaflow dev": "Ctrl-C stops it",
    "luaflow serve": "serves",
    "luaflow-worker": "serves",
    "luaflow-scheduler": "looks after",
}
"""Programs that run on, and what they say when they are ready."""
PORTS = ("8080", "8233")
"""Ports that pages name; another page is tried at the same time, and the machine may use them."""
_LOOKS = tuple(f"luaflow workflow {w}" for w in ("list", "count", "show", "describe", "stack"))
_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w.-]+/[\w./-]+\.\w+)`")


class Block(NamedTuple):
    """A fenced block: its language, its text, the file the line before it names, its line."""

    language: str
    text: str
    file: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()].rstrip("\n").rpartition("\n\n")[2]
        named = [] if before.endswith("```") else _NAMED.findall(before)
        body = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[2], body, named[-1] if named else "", line))
    return found


class Session:
    """A shell session in a folder of its own, with the commands of luaflow on its path."""

    def __init__(self, folder: Path, *, server: str) -> None:
        """``server`` takes the place of redis://localhost:6379 in commands."""
        self.folder = folder
        self._ports = {port: _free_port() for port in PORTS}
        self._server = server
        self._running: dict[str, _Program] = {}
        self._state = folder / ".state"
        self._prepare()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in reversed(self._running.values()):
            program.stop()

    def _prepare(self) -> None:
        for room in ("examples", "deploy/redis"):
            shutil.copytree(
                ROOT / room,
                self.folder / room,
                ignore=shutil.ignore_patterns(".luaflow", "__pycache__"),
            )
        programs = self.folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, module in PROGRAMS.items():
            _script(programs / name, f'exec {shlex.join(FORKS.command(module))} "$@"')
        _script(programs / "python", f'exec {shlex.quote(sys.executable)} "$@"')
        # what make does is tested where it is done: here each target must be one
        _script(programs / "make", f'exec {shutil.which("make")} -n -C {ROOT} "$@" >/dev/null')
        (programs / "activate").write_text(f'PATH="{programs}:$PATH"\n')
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LUAFLOW")}
        path = f"{programs}:{environment['PATH']}"
        port = str(self._ports["8233"])  # where a page says none, and luaflow would take that one
        self._environment = environment | {
            "PATH": path,
            "PYTHONUNBUFFERED": "1",
            "LUAFLOW_PORT": port,
        }
        self._state.write_text(f"cd {self.folder}\n")

    def filled(self, text: str) -> str:
        """A text of a page with ports that are free here."""
        for port, free in self._ports.items():
            text = text.replace(port, free)
        return text

    def run(self, text: str) -> tuple[int, str]:
        """Run a block of commands; return the exit code and what it wrote."""
        out, code = "", 0
        text = self.filled(text.replace("redis://localhost:6379", self._server))
        for part in _parts(text):
            name = _name(part)
            if name:
                out += self._start(name, part)
            else:
                code, said = self._shell(part)
                out += said
            if code:
                break
        return code, out

    def _shell(self, commands: str) -> tuple[int, str]:
        keep = f"{{ export -p; echo cd \"'$PWD'\"; }} >{self._state}"
        script = f". {self._state}\nset -e\n{commands}\nset +e\n{keep}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    def _start(self, name: str, command: str) -> str:
        before = self._running.pop(command, None)
        if before:
            before.stop()
        line = command.removesuffix("&").strip()
        # dev has a terminal of its own: what the page exports is said in the second one
        first = f"cd {self.folder}" if name == "luaflow dev" else f". {self._state}"
        program = _Program(["bash", "-c", f"{first}\nexec {line}"], self._environment)
        self._running[command] = program
        return program.until(READY[name])


class _Program:
    """A program in the background."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self._rest: threading.Thread | None = None

    def until(self, text: str) -> str:
        """Wait for a line; return what was written up to it, and read on in the background."""
        out = self._process.stdout
        assert out is not None
        said = ""
        for line in out:
            said += line
            if text in line:
                self._rest = threading.Thread(target=out.read, name="documentation-program")
                self._rest.start()
                return said
        raise AssertionError(f"ended with {self._process.wait()} before it said {text!r}:\n{said}")

    def stop(self) -> None:
        """Press Ctrl-C and wait for the end."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        if self._rest:
            self._rest.join()
        if self._process.stdout:
            self._process.stdout.close()


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return str(listening.getsockname()[1])


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _name(line: str) -> str:
    """The program a line starts, if it is one that runs on."""
    asks = {"-h", "--help", "--version"} & set(line.split())
    return next((name for name in READY if f"{line} ".startswith(f"{name} ") and not asks), "")


def _parts(text: str) -> list[str]:
    """The commands in between programs that run on, and these one by one."""
    parts: list[str] = []
    for line in text.splitlines():
        if _name(line) or not parts or _name(parts[-1]):
            parts.append(line)
        else:
            parts[-1] += "\n" + line
    return parts


def only_looks(text: str) -> bool:
    """Whether a block of commands changes nothing, and may be run again."""
    return all(line.startswith(_LOOKS) for line in text.splitlines())


def matches(expected: str, actual: str) -> bool:
    """Whether the shown output, with its dots, is found in the actual one, line by line."""
    pattern = ""
    for line in expected.strip("\n").splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.rstrip().split("…")) + r" *\n"
    return re.search(rf"^{pattern}", actual + "\n", re.MULTILINE) is not None
