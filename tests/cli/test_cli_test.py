"""luaflow test: an app of suites that pass and fail, run with everything it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.apps import write_app
from tests.support.commands import Commands

INDEX = """\
namespace: app
entries:
  - {name: client, kind: temporal.client, address: "localhost:7233"}
  - {name: worker, kind: temporal.worker, client: client, task_queue: t,
     lifecycle: {auto_start: no}}
  - name: double
    kind: function.lua
    source: |
      return function(n: number): number
        print("doubling", n)
        return n * 2
      end
    meta: {temporal: {activity: {worker: worker}}}
  - name: flow
    kind: workflow.lua
    source: |
      return function(n: number): (number?, error?)
        time.sleep("5ms")
        return funcs.call("app:double", n)
      end
    modules: [funcs, time]
    meta: {temporal: {workflow: {worker: worker}}}
  - {name: other, kind: contract.binding}
"""
TESTS = """\
namespace: app.test
meta: {type: test}
entries:
  - {name: runs, kind: function.lua, source: "file://runs.lua", method: main,
     modules: [process], meta: {suite: flows, order: 2}}
  - {name: itself, kind: workflow.lua, source: "return function() return true end",
     meta: {suite: flows, order: 1, temporal: {workflow: {worker: "app:worker"}}}}
  - {name: host, kind: process.host, meta: {type: none}}
  - {name: as_process, kind: process.lua, source: "file://process.lua", method: main,
     modules: [process], meta: {suite: processes}}
"""
BAD = """\
namespace: app.bad
meta: {type: test, suite: bad}
entries:
  - {name: a_raises, kind: function.lua, source: "file://raises.lua", method: main}
  - {name: b_error, kind: function.lua, source: "return function() return nil, 'no luck' end"}
  - {name: c_false, kind: function.lua, source: "return function() return false end"}
  - {name: d_slow, kind: function.lua, source: "return function() time.sleep('1h') end",
     modules: [time], meta: {order: 9, timeout: 500ms}}
  - {name: e_module, kind: function.lua, modules: [sql],
     source: "return function() return require('sql').get('db') end"}
  - {name: f_import, kind: function.lua, imports: {lib: "app.lib:none"},
     source: "local lib = require('lib') return function() end"}
  - {name: g_syntax, kind: function.lua, source: "return function() x += 1 end"}
  - {name: h_workflow, kind: workflow.lua, source: "return function() error('inside') end",
     meta: {temporal: {workflow: {worker: "app:worker"}}}}
  - {name: i_unknown, kind: function.lua.bc, source: x}
  - {name: i_limit, kind: function.lua, source: "return print", meta: {timeout: soon}}
  - {name: j_library, kind: function.lua, imports: {lib: lib}, source: "return print"}
  - {name: lib, kind: library.lua, source: "return {", meta: {type: library}}
"""
FILES: dict[str, str | bytes] = {
    "src/_index.yaml": INDEX,
    "src/test/_index.yaml": TESTS,
    "src/test/runs.lua": """\
local function main(): boolean
  local value, err = process.exec("app:flow", "app:worker", 21)
  if err then error(err) end
  return value == 42
end
return { main = main }
""",
    "src/test/process.lua": """\
local function main()
  local pid = process.pid()
  if not pid:find("as_process", 1, true) then error("I am " .. pid) end
end
return { main = main }
""",
    "src/bad/_index.yaml": BAD,
    "src/bad/raises.lua": """\
type Nothing = nil
local function main(): Nothing
  print("about to fail", 1)
  error("broken")
end
return { main = main }
""",
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write_app(tmp_path / "app", FILES)


@pytest.fixture
def fresh(redis_url: str, namespace: str) -> Commands:
    """The command line; its namespace does not exist yet."""
    return Commands(redis_url, namespace)


def told(answer: Any) -> dict[str, dict[str, Any]]:
    """The tests by name, from the JSON."""
    return {test["id"].partition(":")[2]: test for test in answer.json["tests"]}


def test_tests_that_pass(fresh: Commands, app: Path) -> None:
    """Suites in order, each test as what it is: function, process, workflow; exit code 0."""
    answer = fresh("test", str(app), "--include", "test", "--include", "_index.yaml")
    assert answer.code == 0, answer.out + answer.err
    lines = [line.split()[:2] for line in answer.out.splitlines() if line]
    assert lines[:4] == [
        ["flows"],
        ["ok", "app.test:itself"],
        ["ok", "app.test:runs"],
        ["processes"],
    ]
    assert "SUITE" in answer.out
    assert answer.out.endswith("3 passed, 0 failed\n")
    assert "1 warning (--verbose shows them)" in answer.err


def test_tests_that_fail(fresh: Commands, app: Path) -> None:
    """Each failure says what and where; one that cannot be loaded fails alone; exit code 1."""
    answer = fresh("test", str(app), "-o", "json")
    assert (answer.code, answer.json["passed"], answer.json["failed"]) == (1, 3, 11), answer.err
    tests = told(answer)
    assert [test["suite"] for test in answer.json["tests"]] == ["bad"] * 11 + ["flows"] * 2 + [
        "processes"
    ]
    errors = {
        name: (test["error"]["kind"], test["error"]["message"])
        for name, test in tests.items()
        if test["error"]
    }
    assert errors["a_raises"] == ("Internal", "broken")
    assert errors["b_error"] == ("Internal", "no luck")
    assert errors["c_false"] == ("Internal", "it returned false")
    assert errors["d_slow"][0] == "Timeout"
    assert "did not end within 0.5 s" in errors["d_slow"][1]
    assert errors["e_module"][0] == "Unavailable"
    assert "not provided by luaflow" in errors["e_module"][1]
    assert "module 'lib' not found" in errors["f_import"][1]
    assert "Lua has no '+='" in errors["g_syntax"][1]
    assert "inside" in errors["h_workflow"][1]
    assert "kind function.lua.bc cannot be run" in errors["i_unknown"][1]
    assert "meta.timeout:" in errors["i_limit"][1]
    assert "expected an expression" in errors["j_library"][1]
    raised = tests["a_raises"]
    assert raised["error"]["file"] == str(app / "src/bad/raises.lua")
    assert (raised["error"]["line"], raised["log"]) == (
        4,
        ["bad/raises.lua:3: info: about to fail 1"],
    )
    assert tests["g_syntax"]["error"]["line"] == 13
    assert tests["d_slow"]["ms"] >= 500
    assert "bad" not in {test["suite"] for name, test in tests.items() if name not in errors}


def test_a_failure_for_people(fresh: Commands, app: Path) -> None:
    """The place and the log of a failed test stand below it."""
    answer = fresh("test", str(app), "-k", "a_raises", "-k", ":itself", "--suite", "bad")
    assert answer.code == 1
    name = app / "src/bad/raises.lua"
    assert "  FAIL  app.bad:a_raises  " in answer.out
    assert (
        f"        {name}:4: broken\n        | bad/raises.lua:3: info: about to fail 1\n"
        in answer.out
    )
    assert answer.out.endswith("0 passed, 1 failed\n")


def test_the_log_holds_what_workflows_say(fresh: Commands, app: Path) -> None:
    """Lines of the activities and workflows that a test starts belong to the test."""
    answer = fresh("test", str(app), "-k", "runs", "-o", "json")
    assert told(answer)["runs"]["log"] == ["app:double:2: info: doubling 21"]
    assert "| app:double:2: info: doubling 21" in fresh("test", str(app), "-k", "runs", "-v").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-k", "nothing"), "no test entry was found"),
        (("--include", "../other"), "--include ../other: there is no such folder in"),
        (("--include", "none"), "--include none: there is no such folder in"),
        (("--timeout", "0"), "--timeout"),
        (("second",), "one app at a time"),
    ],
)
def test_usage(fresh: Commands, app: Path, words: tuple[str, ...], says: str) -> None:
    """What cannot be run is exit code 2, before anything starts."""
    answer = fresh("test", str(app), *words)
    assert (answer.code, says in answer.err) == (2, True), answer.err


def test_included_folders(fresh: Commands, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several after one --include, from the source folder, the app folder or from here."""
    write_app(app, {"src/wrong/_index.yaml": "namespace: wrong\nentries: 1\n"})
    assert fresh("test", str(app)).code == 2
    both = fresh("test", str(app), "--include", "test", "src/bad", "-o", "json")
    assert (both.code, len(both.json["tests"])) == (1, 14)
    monkeypatch.chdir(app.parent)
    one = fresh("test", "app", "--include", "app/src/test", "-k", "as_process", "-v")
    assert one.code == 0, one.err
    assert "is not loaded" not in one.err  # what the tests name comes along


def test_without_a_server(app: Path) -> None:
    """A named server that is not there is exit code 3."""
    answer = Commands("redis://127.0.0.1:1", "t-none")("test", str(app))
    assert answer.code == 3


def alone(app: Path, *words: str) -> subprocess.Popen[str]:
    """The command as a process, with nothing said in the environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LUAFLOW")}
    return subprocess.Popen(
        [sys.executable, "-m", "luaflow_cli.main", "test", str(app), *words],
        env=env | {"TMPDIR": str(app.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_server_of_its_own(app: Path) -> None:
    """Without a server all is brought along and gone at the end, whatever the YAML names."""
    with alone(app, "--suite", "flows") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert out.endswith("2 passed, 0 failed\n")
    assert sorted(app.parent.iterdir()) == [app]
    assert sorted(app.iterdir()) == [app / "src"]


def test_the_limit_of_all(fresh: Commands, app: Path) -> None:
    """--timeout is for tests without a limit of their own."""
    slow = BAD.replace(", timeout: 500ms", "")
    write_app(app, {"src/bad/_index.yaml": slow})
    answer = fresh("test", str(app), "-k", "d_slow", "--timeout", "0.3")
    assert (answer.code, "did not end within 0.3 s" in answer.out) == (1, True), answer.out


@pytest.mark.usefixtures("true_processes")
def test_ctrl_c_ends_everything(app: Path) -> None:
    """While a test waits: the server is gone, and so is its folder."""
    write_app(app, {"src/bad/_index.yaml": BAD.replace(", timeout: 500ms", "")})
    with alone(app, "-k", "d_slow") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "bad\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in err
    assert sorted(app.parent.iterdir()) == [app]
