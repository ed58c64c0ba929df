"""Programs that tests fork are processes like those that ``python -m`` makes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support import forking, forks
from tests.support.forking import FORKS

pytestmark = pytest.mark.skipif(not forking.wanted(), reason="programs are not forked here")

WORDS = (
    ("luaflow_cli.main", "--version"),
    ("luaflow_cli.main", "call", "app:nope"),
    ("luaflow_worker.cli", "--queue", "a{b"),
    ("luaflow_worker.cli", "--no-such"),
    ("luaflow_scheduler.cli", "--help"),
)
SCHEDULER = "luaflow_scheduler.cli"


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("LUAFLOW")}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=env, capture_output=True, check=False
    )


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_fork_says_and_ends_as_a_process_does(words: tuple[str, ...], tmp_path: Path) -> None:
    """Exit code, both streams, and the name that usage errors begin with."""
    forked = run(*words, folder=tmp_path)
    with FORKS.true():
        true = run(*words, folder=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        true.returncode,
        true.stdout,
        true.stderr,
    )


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@contextmanager
def at_work(
    listening: socket.socket, command: list[str]
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A scheduler that waits for the silent server's first word, and its connection."""
    where = ("--metrics-port", "0", "--redis", f"redis://127.0.0.1:{listening.getsockname()[1]}")
    with subprocess.Popen([*command, *where], stderr=subprocess.DEVNULL) as process:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(30)
            yield process, connection


def gone(connection: socket.socket) -> bool:
    """Whether the process at the other end of a connection ends."""
    while connection.recv(4096):
        pass
    return True


def test_a_fork_is_our_child_and_dies_of_a_signal(silent: socket.socket) -> None:
    """Its id is that of the process, it is waited for as any child, its code says the signal."""
    command = [sys.executable, "-m", SCHEDULER]
    with at_work(silent, command) as (process, connection):
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"\nPPid:\t{os.getpid()}\n" in status
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
        assert gone(connection)


def test_a_watched_fork_ends_with_its_client(silent: socket.socket) -> None:
    """What a shell started is gone when its client is killed."""
    with at_work(silent, FORKS.command(SCHEDULER)) as (client, connection):
        client.kill()
        assert client.wait(30) == -signal.SIGKILL
        assert gone(connection)


def test_another_luaflow_is_run_by_itself(tmp_path: Path) -> None:
    """Where the path or the folder has another one, as an older release, that one is run."""
    package = tmp_path / "luaflow_cli"
    package.mkdir()
    (tmp_path / "luaflow").mkdir()
    (tmp_path / "luaflow" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "main.py").write_text("print('of old')\n")
    assert run("luaflow_cli.main", folder=tmp_path).stdout == b"of old\n"
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    env = os.environ | {"PYTHONPATH": path}
    words = [sys.executable, "-m", "luaflow_cli.main"]
    assert subprocess.run(words, env=env, capture_output=True, check=True).stdout == b"of old\n"


def test_what_is_no_program_of_ours_is_none() -> None:
    """Other modules and other commands start as ever."""
    python = sys.executable
    assert forks.recognized([python, "-m", "luaflow_worker.cli", "-x"])
    assert not forks.recognized([python, "-m", "pip"])
    assert not forks.recognized([python, "-c", "print()", "luaflow_worker.cli"])
    assert not forks.recognized([python])
    assert not forks.recognized(["bash", "-c", "luaflow"])
