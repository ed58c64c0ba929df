"""A part of an app brings along what it names of the rest."""

from __future__ import annotations

from pathlib import Path

from tests.support.apps import write_app

from luaflow.registry import App, load_app

FILES: dict[str, str | bytes] = {
    "src/_index.yaml": """\
namespace: app
entries:
  - {name: client, kind: temporal.client, address: "localhost:7233"}
  - {name: worker, kind: temporal.worker, client: client, task_queue: q}
  - {name: idle, kind: temporal.worker, client: client, task_queue: other}
  - {name: processes, kind: process.host}
  - {name: values, kind: env.storage.static, values: {NAME: ann}}
  - {name: name, kind: env.variable, variable: NAME, storage: values}
  - {name: lib, kind: library.lua, imports: {deep: "app:deep"}, source: return require("deep")}
  - {name: deep, kind: library.lua, source: return 1}
  - {name: flow, kind: workflow.lua, source: file://flow.lua,
     meta: {temporal: {workflow: {worker: worker}}}}
  - {name: act, kind: function.lua, source: return print}
  - {name: unused, kind: function.lua, source: return print}
  - {name: broken, kind: function.lua, source: "return function() x += 1 end"}
  - {name: another, kind: function.lua, source: return print, meta: {type: test}}
""",
    "src/flow.lua": "return function() return funcs.call('app:act') end",
    "src/wrong/_index.yaml": "namespace: wrong\nentries: 1\n",
    "src/worse/_index.yaml": "namespace: [",
    "src/test/_index.yaml": """\
namespace: app.test
meta: {type: test}
entries:
  - {name: one, kind: function.lua, imports: {lib: "app:lib"}, source: file://one.lua}
  - {name: two, kind: function.lua, source: "return funcs.call('app:broken', 'app:another')"}
""",
    "src/test/one.lua": 'return function() return process.exec("app:flow", "app:processes") end',
}


def load(tmp_path: Path, *only: str) -> App:
    folder = write_app(tmp_path / "app", FILES)
    return load_app(folder, {}, partly=True, only=[folder / "src" / name for name in only])


def test_what_is_named_comes_along(tmp_path: Path) -> None:
    """Imports, workers with their clients, ids in the code, hosts and variables; nothing else."""
    app = load(tmp_path, "test")
    assert set(app.entries) == {
        *("app.test:one", "app.test:two"),
        *("app:lib", "app:deep", "app:flow", "app:worker", "app:client", "app:act"),
        *("app:processes", "app:values", "app:name"),
    }
    assert app.workflows["app:flow"].worker == "app:worker"
    assert set(app.broken) == {"app:broken"}


def test_a_part_that_names_nothing_stays_alone(tmp_path: Path) -> None:
    """Hosts and variables belong to all; an entry that is there already comes once."""
    write_app(
        tmp_path / "app",
        {"src/alone/_index.yaml": "namespace: app\nname: lib\nkind: library.lua\nsource: return 2"},
    )
    app = load(tmp_path, "alone")
    assert set(app.entries) == {"app:lib", "app:processes", "app:values", "app:name"}
    assert app.entries["app:lib"].file.endswith("alone/_index.yaml")
