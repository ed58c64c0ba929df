"""An app folder becomes typed entries; each mistake is one error with line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.apps import HEAD, WORKFLOW, write_app

from luaflow.errors import InvalidArgument
from luaflow.registry import RegistryErrors, load_app
from luaflow.registry.entries import FunctionEntry, LibraryEntry, PythonEntry

EVERYTHING = (
    HEAD
    + """\
    worker_options:
      identity: me
      max_concurrent_activity_execution_size: -1
      max_concurrent_workflow_task_pollers: 2
      worker_activities_per_second: 2.5
      sticky_schedule_to_start_timeout: 1m
      enable_logging_in_replay: yes
      use_versioning: true
      build_id: b1
      default_versioning_behavior: auto-upgrade
  - name: wf
    kind: workflow.lua
    source: file://lua/wf.lua
    modules: [funcs]
    imports: {lib: lib, other: "app:fn"}
    input_schema: file://schema.json
    meta: {luaflow: {workflow: {worker: worker, name: Order}}, tag: mine}
  - name: lib
    kind: library.lua
    source: |
      local x = 1
      return {x = x}
  - name: fn
    kind: function.lua
    source: file:///lua/fn.lua
    method: run
    meta:
      options: {activity.start_to_close_timeout: 5s}
      temporal: {activity: {worker: worker, local: true}}
  - name: py
    kind: function.python
    data:
      handler: pkg.mod:fn
    meta: {temporal: {activity: {worker: "app:worker"}}}
"""
)
FILES: dict[str, str | bytes] = {
    "src/deep/_index.yaml": EVERYTHING,
    "src/deep/lua/wf.lua": "\ufeffreturn {}",
    "src/lua/fn.lua": "return {}",
    "src/deep/schema.json": '{"type": "object"}',
    "src/none.yaml": "just: data\n",
    "src/list.yml": "[1]\n",
    "src/one.yml": "namespace: solo\nname: thing\nkind: registry.entry\nmeta: {a: 1}\nvalue: 2\n",
    "src/meta.json": '{"namespace": "j", "meta": {"a": 1, "b": 1}, "entries": '
    '[{"name": "e", "kind": "registry.entry", "meta": {"b": 2}}]}',
    "src/.hidden/x.yaml": "namespace: [broken\n",
    "outside.yaml": "namespace: [broken\n",
}


def test_a_whole_app_is_read(tmp_path: Path) -> None:
    """Kinds, defaults, references, inline text, imports, schemas, merged metadata."""
    app = load_app(write_app(tmp_path, FILES), {})
    assert app.warnings == []
    assert app.root == tmp_path
    workflow, library = app.workflows["app:wf"], app.entries["app:lib"]
    function, python = app.functions["app:fn"], app.functions["app:py"]
    assert isinstance(library, LibraryEntry)
    assert isinstance(function, FunctionEntry)
    assert isinstance(python, PythonEntry)
    assert (workflow.type_name, workflow.worker, workflow.method) == ("Order", "app:worker", "main")
    assert workflow.imports == {"lib": "app:lib", "other": "app:fn"}
    assert (workflow.source.text, workflow.source.chunk) == ("return {}", "deep/lua/wf.lua")
    assert workflow.input_schema == {"type": "object"}
    assert (library.source.chunk, library.source.line(2)) == ("app:lib", 31)
    assert (function.method, function.source.chunk) == ("run", "lua/fn.lua")
    assert function.activity is not None
    assert function.activity.local
    assert function.options == {"activity.start_to_close_timeout": "5s"}
    assert python.handler == "pkg.mod:fn"
    assert set(app.activities) == {"app:fn", "app:py"}
    assert app.entries["solo:thing"].data == {"value": 2}
    assert app.entries["j:e"].meta == {"a": 1, "b": 2}
    assert app.workflow("Order") is workflow
    assert app.workflow("app:wf") is workflow
    assert app.workflow("app:lib") is None
    options = app.workers["app:worker"].options
    assert options.max_concurrent_activity_execution_size == 1000
    assert options.sticky_schedule_to_start_timeout_ms == 60_000
    assert (options.identity, options.build_id) == ("me", "b1")
    assert options.enable_logging_in_replay
    assert options.default_versioning_behavior == "auto_upgrade"


def test_versioning_keys_count_only_with_use_versioning(tmp_path: Path) -> None:
    """A build id without use_versioning is not in force."""
    yaml = HEAD + "    worker_options: {build_id: b}\n"
    app = load_app(write_app(tmp_path, {"a.yaml": yaml}), {})
    assert app.workers["app:worker"].options.build_id == ""


def test_the_client_prefix_completes_the_queue(tmp_path: Path) -> None:
    """tq_prefix stands literally before the queue's name."""
    yaml = HEAD.replace("localhost:6379", "localhost:6379\n    tq_prefix: eu-")
    app = load_app(write_app(tmp_path, {"a.yaml": yaml}), {})
    assert app.workers["app:worker"].task_queue == "eu-orders"


def test_wippy_lock_names_the_folders(tmp_path: Path) -> None:
    """directories.src and directories.modules are read, nothing else."""
    entry = "namespace: {}\nname: e\nkind: registry.entry\n"
    files: dict[str, str | bytes] = {
        "wippy.lock": "directories: {src: ./code, modules: .wippy}\n",
        "code/a.yaml": entry.format("code"),
        ".wippy/a.yaml": entry.format("mods"),
        "src/a.yaml": entry.format("src"),
    }
    assert set(load_app(write_app(tmp_path, files), {}).entries) == {"code:e", "mods:e"}


def test_all_errors_come_at_once_in_order(tmp_path: Path) -> None:
    """A user mends everything in one go."""
    yaml = HEAD.replace("client: client", "client: no") + "  - {name: x, kind: library.lua}\n"
    with pytest.raises(RegistryErrors) as caught:
        load_app(write_app(tmp_path, {"a.yaml": yaml, "b.yaml": "namespace: [\n"}), {})
    assert [(Path(e.file).name, e.line) for e in caught.value.errors] == [
        ("a.yaml", 8),
        ("a.yaml", 10),
        ("b.yaml", 2),
    ]
    assert str(caught.value).count("\n") == 2


def test_links_out_of_the_folder_and_missing_folders(tmp_path: Path) -> None:
    """Neither a linked YAML file nor a folder that is not there is read."""
    (tmp_path / "x.yaml").write_text("namespace: a\n")
    app = tmp_path / "app"
    app.mkdir()
    (app / "x.yaml").symlink_to(tmp_path / "x.yaml")
    with pytest.raises(RegistryErrors, match="link out of the app folder"):
        load_app(app, {})
    with pytest.raises(InvalidArgument, match="no such folder"):
        load_app(tmp_path / "none", {})


def entry(text: str) -> str:
    """One more entry, beginning in line 10."""
    return HEAD + text


FN = "  - name: fn\n    kind: function.lua\n    source: return 1\n"


@pytest.mark.parametrize(
    ("yaml", "line", "what"),
    [
        (entry("  - {name: x, kind: db.sql.sqlite}\n"), 10, "has no meaning for luaflow"),
        (entry("  - {name: x, kind: workflow.luaa}\n"), 10, "is not a known kind"),
        (entry(FN + "    modles: [json]\n"), 13, "modles is not known and ignored"),
        (
            entry("    worker_options: {max_slots: 1}\n"),
            10,
            "worker_options.max_slots is not known",
        ),
        (entry(WORKFLOW.replace("worker: worker", "name: x")), 14, "worker is missing"),
        (
            entry(FN + "    meta: {options: {activity.timeout: 1s}}\n"),
            13,
            "activity.timeout is not",
        ),
        ("namespace: a\nentris: []\nentries: []\n", 2, "entris is not known"),
    ],
)
def test_doubtful_things_warn_and_load(tmp_path: Path, yaml: str, line: int, what: str) -> None:
    """What another runtime may know, or a misspelling, never stops an app."""
    app = load_app(write_app(tmp_path, {"a.yaml": yaml, "wf.lua": "return {}"}), {})
    assert [(warning.line, what in warning.message) for warning in app.warnings] == [(line, True)]


def test_versioning_without_a_build_id_says_so(tmp_path: Path) -> None:
    """It would do nothing; how runs move to newer code is another key, and holds without it."""
    yaml = (
        HEAD + "    worker_options: {use_versioning: true, default_versioning_behavior: pinned}\n"
    )
    app = load_app(write_app(tmp_path, {"a.yaml": yaml}), {})
    assert [w.message for w in app.warnings] == [
        "worker_options.use_versioning has no effect without build_id"
    ]
    assert app.workers["app:worker"].options.default_versioning_behavior == "pinned"
