"""Asks a zygote for programs, in the place of the one call by which Python makes processes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import luaflow

PROGRAMS = ("luaflow_cli.main", "luaflow_worker.cli", "luaflow_scheduler.cli")
"""The modules that a zygote can become."""
# How our code has a child die with its parent: ``prctl`` and then ``python -m``.
_TRAMPOLINE = re.compile(r"prctl\(1, (\d+)\).*sys\.argv\[2:\]", re.DOTALL)


class Program(NamedTuple):
    """A command that is one of ours: what to run, and the signal at its parent's death (or 0)."""

    module: str
    arguments: list[str]
    death: int


def recognized(command: list[str]) -> Program | None:
    """The program that a command is, run as a module; None for any other command."""
    found = None
    if command[:2] == [sys.executable, "-m"]:
        found = Program(command[2], command[3:], 0)
    elif command[:2] == [sys.executable, "-c"] and (how := _TRAMPOLINE.search(command[2])):
        found = Program(command[4], command[5:], int(how[1]))
    return found if found and found.module in PROGRAMS else None


def environment_of(how: tuple[Any, ...]) -> dict[str, str]:
    """The variables that a new process would have."""
    if how[5] is None:
        return dict(os.environ)
    return dict(os.fsdecode(one).split("=", 1) for one in how[5])


def of_today(how: tuple[Any, ...]) -> bool:
    """Whether a new process would import the luaflow that is imported here, and no other one."""
    places = environment_of(how).get("PYTHONPATH", "").split(os.pathsep)
    found = (Path(one) for one in (os.fsdecode(how[4] or "."), *filter(None, places)))
    first = next((one for one in found if (one / "luaflow" / "__init__.py").exists()), None)
    return first is None or first.resolve() == Path(luaflow.__file__).resolve().parents[1]


def make(address: str, program: Program, how: tuple[Any, ...]) -> int:
    """Have a child made; ``how`` are the arguments of ``_posixsubprocess.fork_exec``."""
    kept = [number for number in how[3] if number != how[13]]
    request = {
        "watched": False,
        "parent": os.getpid(),
        **program._asdict(),
        "folder": os.fsdecode(how[4] or Path.cwd()),
        "environment": environment_of(how),
        "session": bool(how[15]),
        "kept": kept,
    }
    ends = (how[6], how[9], how[11])
    streams = [end if end >= 0 else own for own, end in enumerate(ends)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(f"\0{address}")
        socket.send_fds(client, [json.dumps(request).encode()], [*streams, *kept])
        return int(client.recv(16))


def maker(address: str) -> Callable[..., int]:
    """What takes the place of ``fork_exec`` in a program that starts others."""
    fork_exec: Callable[..., int] = subprocess._fork_exec  # type: ignore[attr-defined]

    def fork(*how: Any) -> int:
        program = recognized([os.fsdecode(word) for word in how[0]])
        return make(address, program, how) if program and of_today(how) else fork_exec(*how)

    return fork
