"""The workflow commands: the shapes of design 10, and what bad input costs."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

import orjson
import pytest
from tests.support.apps import HEAD, WORKFLOW, write_app
from tests.support.commands import Commands
from tests.support.player import Player

from luaflow.store import transitions
from luaflow.store.store import Store

SHAPE = {
    "workflow_id",
    "run_id",
    "type",
    "status",
    "task_queue",
    "start_time",
    "close_time",
    "history_length",
    "history_size",
    "attempt",
    "parent",
    "memo",
    "search_attributes",
    "pending_activities",
    "locks",
    "health",
}


def test_start_prints_ids(luaflow: Commands) -> None:
    """start -o json is {workflow_id, run_id, pid}."""
    answer = luaflow("workflow", "start", "-t", "app:pay", "-w", "w1", "-i", "{}", "-o", "json")
    assert answer.code == 0, answer.err
    assert set(answer.json) == {"workflow_id", "run_id", "pid"}
    assert answer.json["pid"] == "{app:client@app:worker|w1}"


def test_options_stand_anywhere(luaflow: Commands) -> None:
    """Common options are taken before the noun, before the verb and after it; the last one wins."""
    for words in (
        ("-o", "json", "workflow", "count"),
        ("workflow", "-o", "json", "count"),
        ("workflow", "count", "-o", "json"),
        ("--namespace", "nobody", "-o", "text", "workflow", "count", "-o", "json"),
    ):
        where = ("--namespace", luaflow.namespace)
        assert luaflow(*words, *where).json == {"count": 0}


def test_describe_and_list_have_the_same_shape(luaflow: Commands) -> None:
    """Each item of list is what describe says, with all documented fields."""
    luaflow("workflow", "start", "-t", "app:pay", "-w", "w1", "--memo", 'who="me"')
    described = luaflow("workflow", "describe", "-w", "w1", "-o", "json").json
    listed = luaflow("workflow", "list", "-o", "json").json
    assert set(described) >= SHAPE
    assert listed == {"workflows": [described], "next_page": None}
    assert described["memo"] == {"who": "me"}
    assert luaflow("workflow", "list").out.split() == [
        *("STATUS", "WORKFLOW_ID", "TYPE", "START_TIME"),
        *("running", "w1", "app:pay", described["start_time"]),
    ]
    assert "app:pay" in luaflow("workflow", "describe", "-w", "w1").out


def test_result_completed(luaflow: Commands) -> None:
    """result -o json is {status, result}."""
    luaflow("workflow", "start", "-t", "app:pay", "-w", "w1")
    luaflow.play(lambda player: player.close("w1", result={"paid": 1.0}))
    answer = luaflow("workflow", "result", "-w", "w1", "-o", "json")
    assert answer.json == {"status": "completed", "result": {"paid": 1.0}}
    assert luaflow("workflow", "result", "-w", "w1").out == '{\n  "paid": 1.0\n}\n'


def test_result_failed(luaflow: Commands) -> None:
    """A failed workflow is {status, error} and exit code 1; for people one line of error."""
    failure = {"kind": "Invalid", "message": "no card", "retryable": False, "details": {"n": 1}}
    luaflow("workflow", "start", "-t", "app:pay", "-w", "w1")
    luaflow.play(lambda player: player.close("w1", "failed", failure=failure))
    answer = luaflow("workflow", "result", "-w", "w1", "-o", "json")
    assert (answer.code, answer.json) == (1, {"status": "failed", "error": failure})
    answer = luaflow("workflow", "result", "-w", "w1")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("failed: Invalid: no card\n")


@pytest.mark.usefixtures("true_processes")
async def test_execute_waits_for_the_end(redis_url: str, luaflow: Commands) -> None:
    """execute, as a process, says what it started and prints the result when it is there."""
    store = await Store.open(redis_url, luaflow.namespace)
    words = ("workflow", "execute", "-t", "app:pay", "-w", "w1", "-i", "1", "-i", '"two"')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "luaflow_cli.main", *words),
        env={**os.environ, **luaflow.env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        assert (await process.stderr.readline()).startswith(b"started w1 (run ")
        task = await Player(store).take("w1")
        (first,) = await store.read(
            ("XRANGE", task.route.partition.hist(task.route.run_id), "1", "1")
        )
        assert b'"input":[1,"two"]' in first[0][1][5]
        body = b'{"result":"done"}'
        ending = ("Z", "completed", "WorkflowExecutionCompleted", body, 0, "", "", "close")
        await Player(store).commit(task, ending)
        out, err = await process.communicate()
        assert (process.returncode, out, err) == (0, b'"done"\n', b"")
    finally:
        await store.close()


def test_show_is_one_event_a_line(luaflow: Commands) -> None:
    """show -o json writes an object a line: id, ts, type and the body; text shows the same."""
    luaflow("workflow", "start", "-t", "app:pay", "-w", "w1")
    luaflow("workflow", "signal", "-w", "w1", "-n", "go", "-i", '{"a": 1}')
    luaflow.play(lambda player: player.close("w1", result=None))
    lines = luaflow("workflow", "show", "-w", "w1", "-o", "json", "--follow").out.splitlines()
    events = [orjson.loads(line) for line in lines]
    assert [event["id"] for event in events] == [1, 2, 3, 4]
    assert events[0]["type"] == "WorkflowExecutionStarted"
    assert events[0]["workflow_type"] == "app:pay"
    assert events[1]["input"] == [{"a": 1}]
    assert "WorkflowExecutionSignaled" in luaflow("workflow", "show", "-w", "w1").out


def test_verbs_reach_the_run(luaflow: Commands) -> None:
    """signal, cancel and terminate do what they say; a closed run refuses them with code 5."""
    run_id = luaflow("workflow", "start", "-t", "app:pay", "-w", "w1", "-o", "json").json["run_id"]
    for verb, *more in (("signal", "-n", "go"), ("cancel", "--reason", "r"), ("terminate", "-y")):
        answer = luaflow("workflow", verb, "-w", "w1", *more, "-o", "json")
        assert (answer.code, answer.json) == (0, {"workflow_id": "w1", "run_id": run_id})
    for verb, *more in (("signal", "-n", "go"), ("cancel",), ("terminate",)):
        answer = luaflow("workflow", verb, "-w", "w1", *more)
        assert answer.code == 5
        assert answer.err.startswith("error: the workflow 'w1' is ")


def test_count_takes_a_query(luaflow: Commands) -> None:
    """count counts what a query asks for."""
    for name in ("a", "b"):
        luaflow("workflow", "start", "-t", "app:pay", "-w", name)
    assert luaflow("workflow", "count").out == "2\n"
    query = "ExecutionStatus = 'Completed'"
    assert luaflow("workflow", "count", "--query", query, "-o", "json").json == {"count": 0}


def test_input_file(luaflow: Commands, tmp_path: Path) -> None:
    """An argument may stand in a file; one that is missing or not JSON is a usage error."""
    path = tmp_path / "in.json"
    path.write_text('{"a": [1]}')
    words = ("workflow", "start", "-t", "app:pay", "-w", "w1", "--input-file")
    assert luaflow(*words, str(path)).code == 0
    path.write_text("{")
    assert luaflow(*words, str(path)).code == 2
    assert luaflow(*words, str(tmp_path / "none")).code == 2


START = ("workflow", "start", "-t", "app:pay", "-i")


@pytest.mark.parametrize(
    ("code", "says", "words"),
    [
        (2, "the input 'abc' is not JSON", (*START, "abc")),
        (2, f"the input '{10**20}' cannot be stored: integer {10**20} does", (*START, str(10**20))),
        (2, """text is written '"abc"'""", (*START, "abc")),
        (2, "does not fit 64 bits", (*START, "99999999999999999999")),
        (2, "holds '{'", (*START, "1", "-w", "a{b}")),
        (2, r"holds '\n'", (*START, "1", "-w", "a\nb")),
        (2, "1-200 characters", (*START, "1", "-w", "x" * 201)),
        (2, "1-200 characters", ("workflow", "describe", "-w", "")),
        (2, "the task queue 'a b' is not a name", (*START, "1", "-q", "a b")),
        (2, "must be a duration", (*START, "1", "--run-timeout", "soon")),
        (2, "must be one of", (*START, "1", "--id-reuse-policy", "never")),
        (2, "must be KEY=JSON", (*START, "1", "--memo", "x")),
        (2, "cannot be read", ("workflow", "list", "--query", "what?")),
        (2, "Missing option", ("workflow", "start")),
        (2, "No such command 'fly'", ("workflow", "fly")),
        (2, "No such command 'fly'", ("fly",)),
        (2, "is not a valid integer", ("workflow", "list", "--limit", "many")),
        (4, "there is no workflow type 'app:nope'", ("workflow", "start", "-t", "app:nope")),
        (4, "there is no workflow with the id 'w9'", ("workflow", "describe", "-w", "w9")),
        (4, "there is no workflow with the id 'w9'", ("workflow", "result", "-w", "w9")),
        (4, "there is no workflow with the id 'w9'", ("workflow", "show", "-w", "w9")),
        (4, "there is no workflow with the id 'w9'", ("workflow", "stack", "-w", "w9")),
        (4, "there is no namespace 'nope'", ("--namespace", "nope", "workflow", "list")),
        (3, "cannot reach Redis", ("--redis", "redis://127.0.0.1:1", "workflow", "list")),
        (2, "cannot be read", ("--redis", "http://x", "workflow", "list")),
        (5, "the namespace allows 4000", (*START, '"' + "x" * 4000 + '"')),
    ],
)
def test_bad_input_is_one_clear_error(
    luaflow: Commands, code: int, says: str, words: tuple[str, ...]
) -> None:
    """Whatever is wrong is said in one message on standard error, with its exit code."""
    answer = luaflow(*words)
    assert (answer.code, answer.out) == (code, ""), answer
    assert says in answer.err
    assert answer.err.count("rror: ") == 1


def test_start_of_a_running_id_says_so(luaflow: Commands) -> None:
    """Text says that nothing new was started, JSON ``existed``; a repeated request is silent."""
    words = ("workflow", "start", "-t", "app:pay", "-w", "w1", "--request-id", "r1")
    assert [luaflow(*words).out.splitlines()[3:] for _ in range(2)] == [[], []]
    answer = luaflow(*words[:-2])
    assert (answer.code, answer.out.splitlines()[3:]) == (
        0,
        ["already running: nothing new was started"],
    )
    found = luaflow(*words[:-2], "-o", "json").json
    assert set(found) == {"workflow_id", "run_id", "pid", "existed"}
    assert found["existed"] is True


def test_a_request_id_is_done_once(luaflow: Commands) -> None:
    """signal and cancel with the same --request-id are done once, and both times fine."""
    luaflow("workflow", "start", "-t", "app:pay", "-w", "w1")
    for verb, *more in 2 * (("signal", "-n", "go"), ("cancel",)):
        answer = luaflow("workflow", verb, "-w", "w1", *more, "--request-id", "r1")
        assert answer.code == 0, answer.err
    lines = luaflow("workflow", "show", "-w", "w1", "-o", "json").out.splitlines()
    assert len(lines) == 3


def test_stack_of_a_stuck_run(luaflow: Commands, tmp_path: Path) -> None:
    """A run that cannot go on is not said to wait for nothing: first why, then the stack."""
    lua = "return {main = function() local a = process.listen('go'):receive() return a end}\n"
    app = write_app(tmp_path, {"a.yaml": HEAD + WORKFLOW, "wf.lua": lua})
    luaflow("deploy", str(app))
    luaflow("workflow", "start", "-t", "app:wf", "-w", "w1")
    luaflow("workflow", "start", "-t", "app:pay", "-w", "w2")  # of a bundle that is gone
    luaflow.play(partial(decide_nothing, "w1"))
    luaflow("workflow", "signal", "-w", "w1", "-n", "other")
    for name in ("w1", "w2"):
        luaflow.play(partial(fail, name))
    why = "stuck (failures in a row: 1): ran too long"
    stack = luaflow("workflow", "stack", "-w", "w1")
    assert stack.out.splitlines() == [why, "wf.lua:1: waits in receive"]
    stack = luaflow("workflow", "stack", "-w", "w2")
    assert (stack.code, stack.out) == (0, why + "\n")
    assert luaflow("workflow", "stack", "-w", "w2", "-o", "json").code == 4


async def decide_nothing(workflow_id: str, player: Player) -> None:
    """Let a run wait for what comes."""
    await player.commit(await player.take(workflow_id))


async def fail(workflow_id: str, player: Player) -> None:
    """Say that the code of a run could not go on."""
    task = await player.take(workflow_id)
    reason = orjson.dumps({"reason": "cpu", "message": "ran too long"})
    call = transitions.fail_task(
        route=task.route, turn=task.turn, worker=player.name, delay=60_000, reason=reason
    )
    assert (await player.store.one(call))[0] == b"ok"


def test_exists_is_refused(luaflow: Commands) -> None:
    """A start that the id policies refuse has code 5."""
    words = ("workflow", "start", "-t", "app:pay", "-w", "w1", "--id-conflict-policy", "fail")
    assert luaflow(*words).code == 0
    answer = luaflow(*words)
    assert answer.code == 5
    assert "is running (run " in answer.err


def test_the_app_says_where(luaflow: Commands, tmp_path: Path) -> None:
    """--app lends its client's address and namespace; an option beats both."""
    (tmp_path / "app.yaml").write_text(
        "namespace: app\nentries:\n- name: client\n  kind: temporal.client\n"
        f"  address: {luaflow.url}\n  namespace: {luaflow.namespace}\n"
    )
    nowhere = {"LUAFLOW_REDIS_URL": None, "LUAFLOW_NAMESPACE": None, "LUAFLOW_APP": str(tmp_path)}
    assert luaflow("workflow", "count", env=nowhere).out == "0\n"
    answer = luaflow("workflow", "count", "--namespace", "nope", env=nowhere)
    assert answer.code == 4


def test_every_option_has_a_variable(luaflow: Commands) -> None:
    """LUAFLOW_<OPTION> stands for an option; what was typed beats it; JSON is not divided."""
    env = {
        "LUAFLOW_TYPE": "app:pay",
        "LUAFLOW_WORKFLOW_ID": "w1",
        "LUAFLOW_INPUT": '{"a": "b c"}',
        "LUAFLOW_MEMO": 'who="me and you"',
    }
    assert luaflow("workflow", "start", env=env).code == 0
    assert luaflow("workflow", "start", "-w", "w2", env=env).code == 0
    listed = luaflow("workflow", "list", "-o", "json", env={"LUAFLOW_LIMIT": "1"}).json
    assert [one["workflow_id"] for one in listed["workflows"]] == ["w2"]
    found = luaflow("workflow", "describe", "-o", "json", env=env).json
    assert found["memo"] == {"who": "me and you"}
    first = luaflow("workflow", "show", "-o", "json", env=env).out.splitlines()[0]
    assert orjson.loads(first)["input"] == [{"a": "b c"}]
    env = {"LUAFLOW_NAMESPACE": "no-such"}
    assert luaflow("--namespace", luaflow.namespace, "workflow", "count", env=env).out == "2\n"


def test_dev_takes_its_options_from_variables(luaflow: Commands, tmp_path: Path) -> None:
    """The port and the data folder of dev, too."""
    app = write_app(tmp_path / "app", {"a.yaml": HEAD})
    (tmp_path / "file").touch()
    answer = luaflow("dev", str(app), env={"LUAFLOW_PORT": "nine"})
    assert (answer.code, "'nine' is not a port" in answer.err) == (2, True)
    answer = luaflow("dev", str(app), env={"LUAFLOW_DATA": str(tmp_path / "file" / "data")})
    assert (answer.code, str(tmp_path / "file") in answer.err) == (1, True)
