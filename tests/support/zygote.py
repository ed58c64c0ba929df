"""A process that has imported luaflow's programs and becomes one of them on request.

``python -m luaflow_worker.cli`` costs half a second of CPU before its first line is run; a fork of
this process costs a few hundredths. What is forked runs the same module by the same road, as
``python -m`` does, with arguments, environment, folder and standard streams of its own, is ended by
real signals and has a real exit code. Only the imports are those of this process.

A request is one packet on an abstract socket: JSON, and descriptors beside it. The new process is a
child of the one that made this process, which reads its id and waits for it as for any child. One
that is ``watched`` is for a client that is not our parent: it reads the exit code when the program
has ended, and the program ends when the client does.

A program that starts others gets a zygote of its own, made while it has done nothing yet.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import platform
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import uuid
from typing import Any

from tests.support import forks

ROOMS = ("luaflow", "luaflow_worker", "luaflow_scheduler", "luaflow_web", "luaflow_cli")
NAME = "zygote"
"""The name of such a process where processes are listed."""
STARTS_OTHERS = {"dev", "demo", "--processes"}
MAX_REQUEST = 1 << 17
MAX_FILES = 256
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE_PARENT = 0x8000
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def possible() -> bool:
    """Whether this machine can make a child for somebody else."""
    return sys.platform == "linux" and platform.machine() in _CLONE


def fork_sibling() -> int:
    """Fork, as a child of the parent of this process; it returns as ``os.fork`` does."""
    python = ctypes.PyDLL(None, use_errno=True)
    python.PyOS_BeforeFork()
    flags = _CLONE_PARENT | signal.SIGCHLD
    pid = int(python.syscall(_CLONE[platform.machine()], flags, 0, 0, 0, 0))
    if pid == 0:
        python.PyOS_AfterFork_Child()
        return 0
    error = ctypes.get_errno()
    python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel signal this process when its parent is gone, however that ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def load() -> None:
    """Import all that the programs may import."""
    for room in ROOMS:
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            importlib.import_module(found.name)
    for name in forks.PROGRAMS:
        sys.modules.pop(name)  # each is run, and runs once


def become(request: dict[str, Any], files: list[int]) -> None:
    """Take on what is the program's own; what follows is its run."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, b"python")
    _place(files, [0, 1, 2, *request["kept"]])
    os.chdir(request["folder"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = request["environment"]
    os.environ.clear()
    os.environ.update(environment)
    after = environment.get("PYTHONPATH", "").split(os.pathsep)
    rest = [path for path in sys.path[1:] if path not in before]
    sys.path[:] = [request["folder"], *filter(None, after), *rest]
    _open_streams(unbuffered=bool(environment.get("PYTHONUNBUFFERED")))
    sys.argv[1:] = request["arguments"]


def _place(files: list[int], numbers: list[int]) -> None:
    """Give descriptors their numbers; close all others."""
    high = [fcntl.fcntl(file, fcntl.F_DUPFD, MAX_FILES) for file in files]
    os.closerange(0, MAX_FILES)
    for file, number in zip(high, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def _open_streams(*, unbuffered: bool) -> None:
    """Text streams as the interpreter makes them when it starts."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = io.TextIOWrapper(
            open(number, "wb", closefd=False),  # noqa: SIM115
            encoding="utf-8",
            errors="strict" if name == "stdout" else "backslashreplace",
            line_buffering=name == "stderr",
            write_through=unbuffered,
        )
        setattr(sys, name, stream)
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115


def watch(request: dict[str, Any], files: list[int], client: socket.socket) -> None:
    """Run a program for a client and tell it the exit code; return only in the program."""
    here = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with(here)
        become(request, files)
        return
    for file in (0, 1, 2, *files):
        os.close(file)
    ended = os.pidfd_open(pid)
    with selectors.DefaultSelector() as selector:
        selector.register(ended, selectors.EVENT_READ)
        selector.register(client, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if ended in ready:
                _, status = os.waitpid(pid, 0)
                with contextlib.suppress(OSError):  # nobody asks any more
                    client.send(str(os.waitstatus_to_exitcode(status)).encode())
                os._exit(0)
            number = client.recv(16)
            os.kill(pid, int(number) if number else signal.SIGKILL)


def serve(listening: socket.socket) -> dict[str, Any]:
    """Answer requests; return in each program that is forked, with what was asked."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, NAME.encode())
    here = os.getpid()
    while True:
        client, _ = listening.accept()
        with contextlib.suppress(ChildProcessError):  # there is none
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        data, files, _, _ = socket.recv_fds(client, MAX_REQUEST, 16)
        request: dict[str, Any] = json.loads(data)
        watched = request["watched"]
        begun, begins = os.pipe()
        pid = os.fork() if watched else fork_sibling()
        if pid == 0:
            if request["session"]:
                os.setsid()
            os.close(begun)
            os.close(begins)
            if watched:
                die_with(here)
                watch(request, files, client)
            else:
                die_with(request["parent"], request["death"])
                become(request, files)
            client.detach()
            listening.detach()
            return request
        os.close(begins)
        os.read(begun, 1)  # as with exec: whoever has the pid may signal its session
        os.close(begun)
        if not watched:
            client.send(str(pid).encode())
        client.close()
        for file in files:
            os.close(file)


def listen(address: str) -> socket.socket:
    """Be there for requests."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(f"\0{address}")
    listening.listen(64)
    return listening


def beside(listening: socket.socket) -> dict[str, Any] | None:
    """Leave a zygote beside this program; what is asked of it returns in the new programs."""
    here = os.getpid()
    if os.fork():
        listening.close()
        return None
    die_with(here)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)  # whoever reads what the program says must see its end
    return serve(listening)


def main() -> str:
    """Prepare, say so, and serve; return the module to run, in each program."""
    address, parent = sys.argv[1], int(sys.argv[2])
    die_with(parent)
    load()
    gc.collect()
    gc.freeze()
    listening = listen(address)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    request = serve(listening)
    if STARTS_OTHERS & set(request["arguments"]):
        own = uuid.uuid4().hex
        fork_exec = subprocess._fork_exec  # type: ignore[attr-defined]
        subprocess._fork_exec = forks.maker(own)  # type: ignore[attr-defined]
        if asked := beside(listen(own)):
            subprocess._fork_exec = fork_exec  # type: ignore[attr-defined]
            request = asked
    return str(request["module"])


if __name__ == "__main__":
    # Out of every frame of this module: the program ends as a process ends, with the interpreter.
    runpy.run_module(main(), run_name="__main__", alter_sys=True)
