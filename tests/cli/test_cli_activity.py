"""``luaflow activity``: functions through a task queue, and activities ended from outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.apps import HEAD, write_app
from tests.support.commands import Commands

from luaflow.store.store import Store
from luaflow_worker.worker import Worker, WorkerConfig

ENTRIES = """\
  - name: double
    kind: function.lua
    source: file://work.lua
    method: double
    meta: {temporal: {activity: {worker: worker}}}
  - name: fails
    kind: function.lua
    source: file://work.lua
    method: fails
    meta:
      options: {activity.retry_policy: {maximum_attempts: 1}}
      temporal: {activity: {worker: worker}}
  - name: defers
    kind: function.python
    handler: deferring:defers
    meta: {temporal: {activity: {worker: worker}}}
"""
WORK = """
local function double(x) return x * 2 end
local function fails() return nil, errors.new('Conflict', 'no') end
return { double = double, fails = fails }
"""
DEFERRING = """
from pathlib import Path
from luaflow import activity


def defers(path):
    Path(path).write_text(activity.defer())
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """An app of three functions, registered on the queue `orders`."""
    files: dict[str, str | bytes] = {"_index.yaml": HEAD + ENTRIES, "work.lua": WORK}
    return write_app(tmp_path / "app", files | {"deferring.py": DEFERRING})


@contextmanager
def serving(luaflow: Commands, app: Path) -> Iterator[None]:
    """A worker of the app, in a thread with a loop of its own."""
    ready, stop = threading.Event(), threading.Event()

    async def work() -> None:
        store = await Store.open(luaflow.url, luaflow.namespace)
        worker = Worker(store, WorkerConfig(("orders",), app=app))
        await worker.start()
        ready.set()
        await asyncio.to_thread(stop.wait)
        await worker.stop()
        await store.close()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        stop.set()
        thread.join()


def test_execute_prints_the_result(luaflow: Commands, app: Path) -> None:
    """execute is start and result; the queue is that of the app's worker."""
    with serving(luaflow, app):
        words = ("activity", "execute", "-t", "app:double", "-i", "21", "--app", str(app))
        assert luaflow(*words, "-o", "json").json == {"status": "completed", "result": 42}
        assert luaflow(*words).out == "42\n"


def test_start_describe_list_and_result(luaflow: Commands, app: Path) -> None:
    """What was started is listed until it has ended; the same id is the same job."""
    words = ("activity", "start", "-t", "app:double", "-a", "j1", "-q", "orders", "-i", "4")
    assert luaflow(*words, "-o", "json").json == {"job_id": "j1"}
    assert luaflow(*words, "-o", "json").json == {"job_id": "j1", "existed": True}
    (listed,) = luaflow("activity", "list", "-o", "json").json["activities"]
    described = luaflow("activity", "describe", "-a", "j1", "-o", "json").json
    assert listed == described
    assert (described["state"], described["activity"]) == ("scheduled", "app:double")
    assert "j1" in luaflow("activity", "list").out
    with serving(luaflow, app):
        assert luaflow("activity", "result", "-a", "j1", "-o", "json").json["result"] == 8
    assert luaflow("activity", "list", "-o", "json").json == {"activities": []}
    assert "completed" in luaflow("activity", "describe", "-a", "j1").out


def test_a_failure_costs_exit_code_1(luaflow: Commands, app: Path) -> None:
    """The shape is that of a failed workflow; the app's options count."""
    words = ("activity", "execute", "-t", "app:fails", "--app", str(app), "-o", "json")
    with serving(luaflow, app):
        answer = luaflow(*words)
    assert (answer.code, answer.json["status"]) == (1, "failed")
    assert (answer.json["error"]["kind"], answer.json["error"]["message"]) == ("Conflict", "no")


def test_what_is_not_there(
    luaflow: Commands, app: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Unknown jobs and functions are exit code 4, bad options and tokens 2."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert luaflow("activity", "result", "-a", "nobody").code == 4
    assert luaflow("activity", "describe", "-a", "nobody").code == 4
    assert luaflow("activity", "cancel", "-a", "nobody").code == 4
    assert luaflow("activity", "start", "-t", "app:none", "--app", str(app)).code == 4
    answer = luaflow("activity", "start", "-t", "app:double")
    assert (answer.code, "which queue" in answer.err) == (2, True)
    words = ("activity", "start", "-t", "app:double", "-q", "orders")
    answer = luaflow(*words, "--start-to-close-timeout", "soon")
    assert (answer.code, "start_to_close_timeout" in answer.err) == (2, True)
    assert luaflow("activity", "complete", "--token", "x").code == 2


def test_cancel_and_options(luaflow: Commands) -> None:
    """A delayed job is asked to stop; its options are those that were typed."""
    words = ("activity", "start", "-t", "app:f", "-a", "j1", "-q", "orders", "--start-delay", "1h")
    more = ("--retry-maximum-attempts", "3", "--heartbeat-timeout", "5s", "--result-ttl", "2m")
    assert luaflow(*words, *more).code == 0
    assert luaflow("activity", "cancel", "-a", "j1", "-o", "json").json == {"job_id": "j1"}
    state = luaflow("activity", "describe", "-a", "j1", "-o", "json").json["state"]
    assert state == "cancel_requested"


def test_complete_and_fail(luaflow: Commands, app: Path) -> None:
    """An activity that said defer() is ended by the token it gave out, once."""
    for number, (verb, words) in enumerate(
        (("complete", ("--result", "[1]")), ("fail", ("--reason", "no", "--non-retryable")))
    ):
        token = app / f"token-{number}"
        start = ("activity", "start", "-t", "app:defers", "-a", f"j{number}", "--app", str(app))
        assert luaflow(*start, "-i", f'"{token}"').code == 0
        with serving(luaflow, app):
            luaflow.play(lambda player, n=number: state_is(player.store, f"j{n}", "@"))  # type: ignore[misc]
        told = ("activity", verb, "--token", token.read_text(), *words)
        assert luaflow(*told).code == 0
        again = luaflow(*told)
        assert (again.code, "ended already" in again.err) == (4, True)
    assert luaflow("activity", "result", "-a", "j0", "-o", "json").json["result"] == [1]
    assert luaflow("activity", "result", "-a", "j1").code == 1


async def state_is(store: Store, job: str, worker: str) -> None:
    """Wait until the attempt of a job is held by `worker`: what it does is not told anywhere."""
    p = store.partition(job)
    async with asyncio.timeout(10):
        record = b""
        while worker.encode() not in record.split(b"|"):
            (found,) = await store.read(("HGET", p.job(job), "a:1"))
            record = bytes(found)


def test_check_shows_schemas(luaflow: Commands, app: Path) -> None:
    """check -v names what can be called, and what it takes."""
    index = app / "_index.yaml"
    schema = "    method: double\n    input_schema: {type: number}\n"
    index.write_text(index.read_text().replace("    method: double\n", schema))
    entries = luaflow("check", str(app), "-v", "-o", "json").json["entries"]
    (double,) = (entry for entry in entries if entry["id"] == "app:double")
    assert (double["input_schema"], double["output_schema"]) == ({"type": "number"}, None)
    said = luaflow("check", str(app), "-v").out
    assert "app:double" in said
    assert '"type": "number"' in said or '"type":"number"' in said
