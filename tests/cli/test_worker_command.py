"""luaflow-worker as a command: what it refuses at the start, with one message and a code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.commands import Commands

from luaflow.embedded import EmbeddedServer


def worker(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``luaflow-worker <words>`` to its end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LUAFLOW")}
    return subprocess.run(
        [sys.executable, "-m", "luaflow_worker.cli", *words],
        env=env | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_metrics_address_that_cannot_be(luaflow: Commands, taken: int, processes: str) -> None:
    """A port that is taken, or a host that is not ours: one message, under a supervisor, too."""
    where = ("--queue", "q", "--processes", processes, "--redis", luaflow.url)
    for words in (("--metrics-port", str(taken)), ("--metrics-port", "0", "--metrics-host", "x.")):
        done = worker(*where, *words, LUAFLOW_NAMESPACE=luaflow.namespace)
        assert done.returncode == 1, done.stderr
        assert "luaflow-worker: cannot serve metrics on " in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--queue", "a{b"), "the queue 'a{b' is not a name"),
        (("--queue", "q", "--processes", "2", "--queue", "a b"), "the queue 'a b' is not a name"),
        (("--queue", "q", "--metrics-port", "99999"), "--metrics-port"),
        (("--queue", "q", "--hang-timeout", "0"), "--hang-timeout"),
        (("--queue", "q", "--hang-timeout", "nan"), "--hang-timeout"),
        (("--queue", "q", "--drain-timeout", "-1"), "--drain-timeout"),
        ((), "--queue"),
    ],
)
def test_bad_options_are_usage_errors(words: tuple[str, ...], says: str) -> None:
    """What cannot work is refused before anything is asked of a server."""
    done = worker(*words, LUAFLOW_REDIS_URL="redis://127.0.0.1:1")
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_app_is_a_usage_error(luaflow: Commands, tmp_path: Path) -> None:
    """An app that does not load ends the worker with its errors and code 2."""
    (tmp_path / "app.yaml").write_text("namespace: app\nentries:\n  - {name: x, kind: [}\n")
    words = ("--queue", "q", "--redis", luaflow.url, "--app", str(tmp_path))
    done = worker(*words, LUAFLOW_NAMESPACE=luaflow.namespace)
    assert done.returncode == 2
    assert "app.yaml:3" in done.stderr


def test_supervisor_gives_up_on_a_start_that_cannot_succeed(luaflow: Commands) -> None:
    """Without its namespace, or its server, a supervisor ends as a single worker would."""
    words = ("--queue", "q", "--processes", "2")
    done = worker(*words, "--redis", luaflow.url, "--namespace", "no-such")
    assert done.returncode == 4
    assert "there is no namespace 'no-such'" in done.stderr
    assert "ended with 4 before it served: giving up" in done.stderr
    assert worker(*words, "--redis", "redis://127.0.0.1:1").returncode == 3


@pytest.mark.usefixtures("true_processes")
@pytest.mark.parametrize("variable", ["LUAFLOW_QUEUE", "LUAFLOW_QUEUES"])
def test_queues_from_the_environment(luaflow: Commands, variable: str) -> None:
    """The variable has the name of the option; several queues stand with spaces between."""
    process = subprocess.Popen(
        [sys.executable, "-m", "luaflow_worker.cli"],
        env=os.environ | luaflow.env | {variable: "orders bills"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "serves orders, bills (all)" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=60)
    assert process.returncode == 0
    assert " serves " not in logged  # it is said once


@pytest.fixture
def evicting(tmp_path: Path, server_binary: Path | None) -> Iterator[Commands]:
    """The command line at a server that throws keys away when its memory is short."""
    with EmbeddedServer(tmp_path / "data", appendfsync="no", binary=server_binary) as server:
        commands = Commands(server.url, "default")
        assert commands("namespace", "create", "default").code == 0
        commands.play(lambda player: player.register("app:pay"))
        commands.play(
            lambda player: player.store.read(("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"))
        )
        yield commands


def test_a_server_that_evicts_gets_no_work(evicting: Commands) -> None:
    """Every command that would give it work is refused with the remedy; looking goes on."""
    example = str(Path(__file__).parents[2] / "examples" / "orders")
    for words in (
        ("workflow", "start", "-t", "app:pay"),
        ("workflow", "execute", "-t", "app:pay"),
        ("deploy", example),
        ("dev", example, "--redis", evicting.url),
        ("dev", example, "--redis", evicting.url, "--namespace", "fresh"),
        ("namespace", "create", "other"),
        ("namespace", "update", "--durability", "replicated"),
    ):
        answer = evicting(*words)
        assert (answer.code, "maxmemory-policy is 'allkeys-lru'" in answer.err) == (5, True), words
    assert evicting("workflow", "list", "-o", "json").json["workflows"] == []
    names = [one["name"] for one in evicting("namespace", "list", "-o", "json").json["namespaces"]]
    assert names == ["default"]
    assert "fast" in evicting("namespace", "describe").out


def test_durability_that_the_server_does_not_have(
    evicting: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    """fsynced on a server that keeps nothing on disk is refused where it is asked for."""
    evicting.play(
        lambda player: player.store.read(
            ("CONFIG", "SET", "maxmemory-policy", "noeviction"),
            ("CONFIG", "SET", "appendonly", "no"),
        )
    )
    for words in (("create", "other"), ("update", "default")):
        answer = evicting("namespace", *words, "--durability", "fsynced")
        assert (answer.code, "appendfsync always" in answer.err) == (5, True)
    ((waitaof,),) = evicting.play(lambda player: player.store.read(("COMMAND", "INFO", "WAITAOF")))
    if not waitaof:
        return  # (nor does it end while it writes its first AOF)
    evicting.play(
        lambda player: player.store.read(
            ("CONFIG", "SET", "appendonly", "yes"),
            ("CONFIG", "SET", "appendfsync", "everysec"),
            ("ACL", "SETUSER", "default", "-config", "-info"),
        )
    )
    update = ("namespace", "update", "--durability", "fsynced")
    start = ("workflow", "start", "-t", "app:pay")
    for command in (update, start):
        caplog.clear()
        assert evicting(*command).code == 0
        assert "hides INFO" in caplog.text
