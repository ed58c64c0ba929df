"""`check_app` names what will not work, each with line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.apps import HEAD, WORKFLOW, write_app

from luaflow.lua import BundleSource, Engine, LoadError
from luaflow.lua.files import ABSENT
from luaflow.registry import RegistryErrors, check_app, load_app
from luaflow.registry.modules import KNOWN, PROVIDED

MORE = """\
  - name: pay
    kind: function.lua
    source: return function() end
    meta: {temporal: {activity: {worker: worker}}}
  - {name: plain, kind: function.lua, source: return function() end}
  - {name: lone, kind: workflow.lua, source: return function() end}
  - name: child
    kind: workflow.lua
    source: return function() end
    meta: {temporal: {workflow: {worker: worker, name: Child}}}
"""
LIBRARY = """\
    imports: {l: lib}
  - name: lib
    kind: library.lua
    source: return 1
    modules:
      - json
      - env
"""
SAGA = """\
local funcs = require("funcs")

local function main(order)
    local compensations = {}
    local reservation, err = funcs.call("app:pay", order.items)
    if err then
        run_compensations(compensations)
        return {status = "failed", error = tostring(err)}
    end
    return {status = "completed", tracking = reservation.tracking}
end

local function run_compensations(compensations)
    for _, comp in ipairs(compensations) do
        funcs.call(comp.action, comp.args)
    end
end

return {main = main}
"""


def app_folder(folder: Path, lua: str, yaml: str = HEAD + WORKFLOW + MORE) -> Path:
    """An app whose workflow has this source."""
    return write_app(folder, {"a.yaml": yaml, "wf.lua": lua})


@pytest.mark.parametrize(
    ("lua", "line", "what", "remedy"),
    [
        (
            SAGA,
            7,
            "run_compensations is nil here: its local function is declared below, in line 13",
            "move the function run_compensations above",
        ),
        ("\nlocal t = os.time()", 2, "os.time in a workflow", "time.now()"),
        ("local o = require('os')\nlocal t = o.time()", 2, "os.time in a workflow", "time.now()"),
        ("local r = math.random()", 1, "math.random in a workflow", "side_effect"),
        ("local h = require('html')", 1, "module 'html' is not provided by this", "python"),
        ("local h = expr.eval('x')", 1, "module 'expr' is not provided by this", "python"),
        ("local f = io.open('x')", 1, "io is not available in workflows", "activity"),
        ("counter = counter + 1", 1, "the global counter is assigned", "local counter"),
        ("function f() end", 1, "the global f is assigned", "declare it: local function f"),
        ("_G.foo = 1", 1, "the global foo is assigned", "declare it: local foo"),
        ("os.execute('ls')", 1, "os.execute is not available", "an activity of kind function.py"),
        ("local t = require('os').time()", 1, "os.time in a workflow", "time.now()"),
        ("funcs.call('app:child')", 1, "app:child is a workflow and no", "use workflow.exec("),
        (
            "process.spawn('app:child', 'app:wrker')",
            1,
            "no temporal.worker",
            "you mean app:worker?",
        ),
        ("process.spawn('app:child', 'a:b')", 1, "a:b, where app:child shall run, is no", "queue"),
        ("require('workflow').exec('app:no')", 1, "workflow app:no is called but not", ""),
        (
            "local j = require('json')",
            1,
            "module json is used but not listed in app:wf",
            "add json to modules:",
        ),
        ("return json.encode(1)", 1, "module json is used but not listed", "add json to modules:"),
        ("local j = require('jsn')", 1, "module jsn does not exist", "did you mean json?"),
        ("local f = http.get('x')", 1, "http is not available in workflows", "activity"),
        (
            "funcs.call('app:pya')",
            1,
            "activity app:pya is called but not registered",
            "did you mean app:pay?",
        ),
        ("funcs.async('app:nothing_like_it')", 1, "is called but not registered", "function.lua"),
        (
            "funcs.call('app:plain')",
            1,
            "app:plain is called from a workflow but is no activity",
            "add meta.temporal.activity.worker in",
        ),
        ("funcs.call('pay')", 1, "'pay' is not an entry id", "app:pay"),
        ("funcs.new():call('app:x')", 1, "activity app:x is called but not", ""),
        ("local s = workflow.saga() s:add('app:x')", 1, "activity app:x is called but not", ""),
        (
            "workflow.exec('app:chld')",
            1,
            "workflow app:chld is called but not registered",
            "did you mean app:child?",
        ),
        (
            "workflow.call('app:lone')",
            1,
            "workflow app:lone is called but no worker runs it",
            "add meta.temporal.workflow.worker in",
        ),
        ("process.spawn('app:x', 'app:worker')", 1, "workflow app:x is called but not", ""),
        (
            "process.with_options({}):spawn_monitored('app:x', 'q')",
            1,
            "workflow app:x is called",
            "",
        ),
    ],
)
def test_each_doubt_is_one_warning(
    tmp_path: Path, lua: str, line: int, what: str, remedy: str
) -> None:
    """Exactly one warning, at the line in the Lua file, with a remedy."""
    app = load_app(app_folder(tmp_path, lua), {})
    warnings = check_app(app)
    assert len(warnings) == 1, "\n".join(map(str, warnings))
    assert (warnings[0].file, warnings[0].line) == (str(tmp_path / "wf.lua"), line)
    assert what in warnings[0].message
    assert remedy in warnings[0].remedy


@pytest.mark.parametrize(
    "lua",
    [
        "local funcs = require('funcs') local time = require('time') funcs.call('app:pay')",
        "time.sleep('1s') workflow.exec('Child' .. '') workflow.exec('app:child')",
        "process.spawn('app:child', 'app:worker') process.spawn('app:plain', 'app:host')",
        "local e = errors.new('x') local c = channel.new() os.date('%c', 0) math.floor(1.5)",
        "local r = workflow.side_effect(function() if true then return math.random() end end)",
        "local json = order.json json.x = 1 return json.field",
        "local s = {call = 1} s:call('hello')",
        "local function f() return print('a: b') end",
    ],
)
def test_good_code_is_silent(tmp_path: Path, lua: str) -> None:
    """No warning about what works."""
    assert check_app(load_app(app_folder(tmp_path, lua), {})) == []


def test_functions_are_checked_by_their_own_rules(tmp_path: Path) -> None:
    """Clocks and globals are free outside workflows; unlisted modules and unknown ids are not."""
    lua = "counter = os.time() _ = os.getenv('A')\nlocal h = require('sql')\n"
    lua += "funcs.call('app:no')"
    yaml = HEAD + "  - {name: fn, kind: function.lua, source: 'file://wf.lua', modules: [funcs]}\n"
    warnings = check_app(load_app(app_folder(tmp_path, lua, yaml), {}))
    assert [(warning.line, warning.message) for warning in warnings] == [
        (1, "os.getenv is not available"),
        (2, "module 'sql' is not provided by this release of luaflow"),
        (3, "function app:no is called but not registered"),
    ]


def test_modules_of_other_runtimes_are_a_warning_where_they_are_listed(tmp_path: Path) -> None:
    """The app loads; what is listed is told once, in the YAML; a library of that name is not."""
    yaml = (
        HEAD
        + "  - {name: fn, kind: function.lua, source: 'file://wf.lua', modules: [fs, sql, time],\n"
        + "     imports: {sql: app:lib}}\n"
        + "  - {name: lib, kind: library.lua, source: return 1}\n"
    )
    lua = "local f, s = require('fs'), require('sql')\nreturn fs.get(s)"
    (warning,) = check_app(load_app(app_folder(tmp_path, lua, yaml), {}))
    assert (warning.file, warning.line) == (str(tmp_path / "a.yaml"), 10)
    assert warning.message == "module 'fs' is not provided by this release of luaflow"
    assert "function.python" in warning.remedy


def test_chance_is_doubted_beside_a_side_effect(tmp_path: Path) -> None:
    """Only what the recorded function itself draws is recorded."""
    lua = "workflow.side_effect(function()\n  return math.random()\nend)\nmath.random()"
    (warning,) = check_app(load_app(app_folder(tmp_path, lua), {}))
    assert warning.line == 4


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_provided_is_what_require_finds(name: str) -> None:
    """The list that check knows is the one of the sandbox."""
    code = BundleSource("app:fn", f"return {{main = require('{name}') and print}}", modules=(name,))
    if name in PROVIDED | ABSENT:
        Engine(code, kind="function").check()
    else:
        with pytest.raises(LoadError, match=f"module '{name}' not found"):
            Engine(code, kind="function").check()


@pytest.mark.parametrize(
    ("yaml", "file", "line", "what"),
    [
        (
            HEAD + WORKFLOW.replace("[funcs", "[http_client, funcs"),
            "a.yaml",
            13,
            "module http_client is not available in workflows (app:wf)",
        ),
        (HEAD + WORKFLOW, "wf.lua", 2, "module sql is not available in workflows (app:wf)"),
        (
            HEAD + WORKFLOW.replace("wf.lua", "ok.lua") + LIBRARY,
            "a.yaml",
            21,
            "module env is not available in workflows (app:lib, which app:wf imports)",
        ),
    ],
)
def test_forbidden_modules_are_errors(
    tmp_path: Path, yaml: str, file: str, line: int, what: str
) -> None:
    """In the list, by require, and through an imported library: one error with its line."""
    lua = "return 1" if "http_client" in yaml else "\nlocal x = require('sql')"
    app = load_app(write_app(tmp_path, {"a.yaml": yaml, "wf.lua": lua, "ok.lua": "return 1"}), {})
    with pytest.raises(RegistryErrors) as caught:
        check_app(app)
    (error,) = caught.value.errors
    assert (error.file, error.line, error.what) == (str(tmp_path / file), line, what)
    assert "activity" in error.remedy


def test_lua_that_does_not_compile_is_an_error(tmp_path: Path) -> None:
    """The compiler is a parameter; its line is mapped into the file, inline text included."""
    yaml = (
        HEAD
        + WORKFLOW
        + "  - name: lib\n    kind: library.lua\n    source: |\n      ok()\n      bad()\n"
    )
    app = load_app(app_folder(tmp_path, "return 1", yaml), {})
    asked: list[str] = []

    def compile_check(source: bytes, chunk: str) -> str | None:
        asked.append(chunk)
        return f"{chunk}:2: '=' expected near <eof>" if b"bad" in source else None

    with pytest.raises(RegistryErrors) as caught:
        check_app(app, compile_check)
    (error,) = caught.value.errors
    assert (error.file, error.line) == (str(tmp_path / "a.yaml"), 19)
    assert error.what == "app:lib does not compile: '=' expected near <eof>"
    assert asked == ["wf.lua", "app:lib"]


def test_warnings_are_in_order_of_place(tmp_path: Path) -> None:
    """One list holds everything there is to say, whoever saw it first."""
    yaml = HEAD + WORKFLOW + "  - {name: x, kind: no.such}\n"
    lua = "x = 1\nos.clock()\nlocal j = require('json')"
    warnings = check_app(load_app(app_folder(tmp_path, lua, yaml), {}))
    assert [warning.line for warning in warnings] == [15, 1, 2, 3]
