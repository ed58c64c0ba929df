"""check, deploy and call: commands that read an app folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.apps import HEAD, WORKFLOW, write_app
from tests.support.commands import Commands

from luaflow.store.keys import bundle, hosts, types

FUNCTION = """\
  - name: add
    kind: function.lua
    source: file://add.lua
    method: add
  - name: shout
    kind: function.python
    handler: shouting:shout
"""
FILES: dict[str, str | bytes] = {
    "app.yaml": HEAD + WORKFLOW + FUNCTION,
    "wf.lua": "local function main(a) return a end\nreturn {main = main}\n",
    "add.lua": "local function add(a, b)\n  if not b then error('two!') end\n  return a + b\n"
    "end\nreturn {add = add}\n",
    "shouting.py": "def shout(text):\n    return text.upper() + '!'\n",
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write_app(tmp_path / "app", FILES)


def test_check_counts_and_warns(luaflow: Commands, app: Path) -> None:
    """A good app passes; a doubtful line is a warning with its place."""
    assert luaflow("check", str(app), "-o", "json").json == {
        "workflows": 1,
        "functions": 2,
        "warnings": [],
    }
    write_app(app, {"wf.lua": "local function main() return os.time() end\nreturn {main = main}\n"})
    answer = luaflow("check", str(app))
    assert answer.code == 0
    assert "wf.lua:1: " in answer.err
    (warning,) = luaflow("check", str(app), "-o", "json").json["warnings"]
    assert set(warning) == {"message", "file", "line", "remedy"}


@pytest.mark.parametrize("command", ["check", "deploy", "dev"])
def test_a_broken_app_is_told_by_line(luaflow: Commands, app: Path, command: str) -> None:
    """Lua that does not compile stops every command that would run it, with file and line."""
    write_app(app, {"wf.lua": "local function main()\nreturn {main = \n"})
    answer = luaflow(command, str(app))
    assert answer.code == 2
    assert "wf.lua:2" in answer.err or "wf.lua:3" in answer.err
    assert answer.err.startswith("error: ")


@pytest.mark.parametrize("command", ["check", "deploy", "dev"])
@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"wf.lua": "local function main() end\nreturn {other = main}\n"},
            'wf.lua:2: method "main" not found in module \u2013 end the file with return',
        ),
        (
            {"add.lua": "return {\n  main = print,\n}\n"},
            'add.lua:3: method "add" not found in module',
        ),
        (
            {"wf.lua": "local t\nlocal x = t.y\nreturn {main = print}\n"},
            "wf.lua:2: app:wf fails before its function is called: attempt to index a nil value",
        ),
        (
            {"wf.lua": "error(errors.new('no'))\n"},
            "app.yaml:10: app:wf fails before its function is called: no",
        ),
    ],
)
def test_code_that_cannot_begin(
    luaflow: Commands, app: Path, command: str, files: dict[str, str | bytes], says: str
) -> None:
    """A method that is missing, or a top level that fails, is an error with its place."""
    write_app(app, files)
    answer = luaflow(command, str(app))
    assert answer.code == 2
    assert "error: " in answer.err
    assert says in answer.err
    assert "method:" not in answer.err or f"with method: in {app / 'app.yaml'}:" in answer.err


@pytest.mark.parametrize("command", ["check", "deploy", "dev"])
def test_errors_do_not_hide_warnings(luaflow: Commands, app: Path, command: str) -> None:
    """What is doubtful is told, in order of line, before what is wrong."""
    lua = "return {main = function()\n  local a = os.time()\n  x = os.clock()\nend}\n"
    write_app(app, {"wf.lua": lua, "add.lua": "return {other = 1}"})
    lines = luaflow(command, str(app)).err.splitlines()
    words = [line.split(":")[0] for line in lines]
    assert words == ["warning", "warning", "warning", "error"]
    assert ["wf.lua:2:" in lines[0], "wf.lua:3:" in lines[1], "wf.lua:3:" in lines[2]] == [True] * 3


@pytest.mark.parametrize(
    ("lua", "says"),
    [
        ("local j = require('json')", "`modules` of app:wf \u2013 add json to modules: in"),
        ("local j = json.encode(1)", "(global 'json') \u2013 add json to modules: in"),
        ("local j = require('jsno')", "module 'jsno' not found \u2013 check its spelling, or add"),
    ],
)
def test_a_module_that_is_not_listed(luaflow: Commands, app: Path, lua: str, says: str) -> None:
    """Code that needs a module at once is told to list it, and where."""
    write_app(app, {"wf.lua": f"{lua}\nreturn print\n"})
    answer = luaflow("check", str(app))
    assert (answer.code, says in answer.err) == (2, True), answer.err


@pytest.mark.parametrize(
    "lua",
    [
        "local id = workflow.info().workflow_id .. process.pid() return {main = print}",
        "local a = funcs.call('app:add', 1, 2) return print",
        "coroutine.spawn(function() channel.new():receive() end) return {main = print}",
    ],
)
def test_a_top_level_may_do_what_runs_may(luaflow: Commands, app: Path, lua: str) -> None:
    """Nothing is wrong with code that asks who it is, or waits, outside of functions."""
    write_app(app, {"wf.lua": lua})
    assert luaflow("check", str(app)).code == 0


@pytest.mark.parametrize(
    ("modules", "lua", "place"),
    [
        ("", "local fs = require('fs') return {add = print}", "add.lua:1"),
        ("\n    modules: [fs]", "local x = fs.get('x') return {add = print}", "app.yaml:19"),
    ],
)
def test_entries_for_another_runtime_may_stay(
    luaflow: Commands, app: Path, modules: str, lua: str, place: str
) -> None:
    """A function that asks for a module that is not provided is warned of, and the rest runs."""
    function = FUNCTION.replace("method: add", f"method: add{modules}")
    write_app(app, {"app.yaml": HEAD + WORKFLOW + function, "add.lua": lua})
    answer = luaflow("check", str(app))
    assert answer.code == 0
    assert f"{place}: module 'fs' is not provided by this release of luaflow" in answer.err


def test_no_such_folder(luaflow: Commands, tmp_path: Path) -> None:
    """A folder that is not there is one error, without a line."""
    answer = luaflow("check", str(tmp_path / "none"))
    assert answer.code == 2
    assert f"error: {tmp_path / 'none'}: there is no such folder" in answer.err


@pytest.mark.parametrize("command", ["check", "deploy", "dev"])
def test_a_folder_without_an_app(luaflow: Commands, tmp_path: Path, command: str) -> None:
    """A folder where no file has a namespace is an error that names the file to write."""
    write_app(tmp_path, {"src/other.yaml": "a: 1\n", "src/wf.lua": "return {}\n"})
    answer = luaflow(command, str(tmp_path))
    assert answer.code == 2
    assert "there is no app in this folder" in answer.err
    assert "write src/_index.yaml" in answer.err
    assert not (tmp_path / ".luaflow").exists()


def test_an_app_without_entries_is_an_app(luaflow: Commands, tmp_path: Path) -> None:
    """Who has begun with a namespace is not told to begin."""
    app = write_app(tmp_path, {"a.yaml": "namespace: a\nentries: []\n"})
    assert luaflow("check", str(app)).code == 0


def test_call_outside_an_app(
    luaflow: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no app is, call asks the server."""
    monkeypatch.chdir(tmp_path)
    answer = luaflow("call", "app:nope", "1")
    assert (answer.code, "no workflow type 'app:nope'" in answer.err) == (4, True)


def test_call_in_a_broken_app(
    luaflow: Commands, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that does not load is told; the server is not asked instead."""
    write_app(app, {"app.yaml": "namespace: app\nentries: [\n"})
    monkeypatch.chdir(app)
    answer = luaflow("call", "app:add", "1", env={"LUAFLOW_REDIS_URL": "redis://127.0.0.1:1"})
    assert (answer.code, "app.yaml:" in answer.err) == (2, True), answer.err


def test_deploy_stores_bundles_and_types(luaflow: Commands, app: Path) -> None:
    """Deployed types can be started by name, and name a bundle that is there."""
    checked = luaflow("deploy", str(app), "--check", "-o", "json").json
    assert (checked["deployed"], [t["change"] for t in checked["types"]]) == (False, ["new"])
    assert luaflow("workflow", "start", "-t", "app:wf").code == 4
    (one,) = luaflow("deploy", str(app), "-o", "json").json["types"]
    assert (one["type"], one["task_queue"], one["host"]) == ("app:wf", "orders", "app:worker")

    async def look(player: object) -> list[object]:
        store = player.store  # type: ignore[attr-defined]
        name = store.namespace
        found: list[object] = await store.read(
            ("EXISTS", bundle(name, one["bundle"])),
            ("HEXISTS", types(name), "app:wf"),
            ("HGET", hosts(name), "app:worker"),
        )
        return found

    assert luaflow.play(look) == [1, 1, b'{"client":"app:client","task_queue":"orders"}']
    assert luaflow("workflow", "start", "-t", "app:wf").code == 0
    assert "same" in luaflow("deploy", str(app)).out
    write_app(app, {"wf.lua": "local function main() return 2 end\nreturn {main = main}\n"})
    assert "changed" in luaflow("deploy", str(app), "--check").out


def test_deploy_of_an_app_without_workflows(luaflow: Commands, tmp_path: Path) -> None:
    """There is nothing to deploy, and that is said."""
    app = write_app(tmp_path / "app", {"app.yaml": HEAD})
    assert "nothing to deploy" in luaflow("deploy", str(app)).out


def test_call_runs_functions_here(luaflow: Commands, app: Path) -> None:
    """A Lua and a Python function run in this process; Redis is not even asked."""
    nowhere = {"LUAFLOW_REDIS_URL": "redis://127.0.0.1:1", "LUAFLOW_APP": str(app)}
    assert luaflow("call", "app:add", "2", "-3", env=nowhere).out == "-1\n"
    answer = luaflow("call", "app:shout", '"hi"', "-o", "json", env=nowhere)
    assert answer.json == {"status": "completed", "result": "HI!"}


def test_call_that_fails(luaflow: Commands, app: Path) -> None:
    """A failed call is {status, error} and exit code 1; bad arguments are a usage error."""
    answer = luaflow("call", "app:add", "2", "--app", str(app), "-o", "json")
    assert answer.code == 1
    assert answer.json["status"] == "failed"
    assert "two!" in answer.json["error"]["message"]
    assert luaflow("call", "app:add", "two", "--app", str(app)).code == 2
    assert luaflow("call", "app:nope", "--app", str(app)).code == 4


def test_help_is_quick() -> None:
    """luaflow --help imports no client, no Lua and no redis."""
    script = (
        "import sys; from luaflow_cli.main import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\n"
        "bad = {'redis', 'lupa', 'yaml', 'orjson', 'asyncio.base_events', 'luaflow.client'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.usefixtures("true_processes")
def test_argument_that_is_not_utf8() -> None:
    """A word that is no text is one clear error, as a process."""
    words = ("-m", "luaflow_cli.main", "workflow", "describe", "-w", b"\xff")
    command = [os.fsencode(word) for word in (sys.executable, *words)]
    done = subprocess.run(command, env=os.environ, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"argument 4" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.usefixtures("true_processes")
def test_version() -> None:
    """--version says which luaflow this is."""
    command = [sys.executable, "-m", "luaflow_cli.main", "--version"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("luaflow ")


def test_no_server_says_where_the_address_comes_from(luaflow: Commands) -> None:
    """In a terminal that was not told the address, the commonest mistake, a line says how."""
    told = luaflow("namespace", "list", "--redis", "redis://127.0.0.1:1")
    assert "LUAFLOW_REDIS_URL says" not in told.err
    untold = luaflow(
        *("namespace", "list", "--redis", "redis://127.0.0.1:1"), env={"LUAFLOW_REDIS_URL": None}
    )
    assert (untold.code, "luaflow dev prints the line" in untold.err) == (3, True)
