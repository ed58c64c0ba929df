"""Loading a part of an app: broken entries are left out, missing ones are warned of."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.apps import write_app

from luaflow.registry import RegistryErrors, bundle_entry, load_app, make_bundles
from luaflow.registry.entries import FunctionEntry, WorkflowEntry

BASE = """\
namespace: app
entries:
  - {name: client, kind: temporal.client, address: "localhost:1"}
  - {name: worker, kind: temporal.worker, client: client, task_queue: q}
"""
PART = """\
namespace: part
entries:
  - {name: flow, kind: workflow.lua, source: "return print",
     meta: {temporal: {workflow: {worker: "app:worker"}}}}
  - {name: act, kind: function.lua, source: "return print", imports: {l: lib, m: "app.x:m"},
     meta: {temporal: {activity: {worker: "app:worker"}}}}
  - {name: lib, kind: library.lua, source: "return 1"}
"""


def test_only_some_folders(tmp_path: Path) -> None:
    """What is not there is warned of; what needs it loads without it."""
    other = "namespace: other\nname: act\nkind: function.lua\nsource: return print"
    write_app(tmp_path, {"src/other.yaml": other, "src/part/_index.yaml": PART})
    app = load_app(tmp_path, {}, partly=True, only=[tmp_path / "src" / "part"])
    assert sorted(app.entries) == ["part:act", "part:flow", "part:lib"]
    flow, act = app.entries["part:flow"], app.entries["part:act"]
    assert isinstance(flow, WorkflowEntry)
    assert isinstance(act, FunctionEntry)
    assert (flow.worker, act.activity, act.imports) == (None, None, {"l": "part:lib"})
    assert {warning.message for warning in app.warnings} == {
        "the worker app:worker of part:flow is not loaded",
        "the worker app:worker of part:act is not loaded",
        "the import app.x:m of part:act is not loaded",
    }
    assert make_bundles(app) == []
    assert sorted(bundle_entry(app, "part:act").chunks) == ["part:act", "part:lib"]
    assert app.faults("part:act") == []


def test_only_a_file(tmp_path: Path) -> None:
    """A path may be a file, too."""
    write_app(tmp_path, {"src/base.yaml": BASE, "src/part/_index.yaml": PART})
    app = load_app(tmp_path, {}, partly=True, only=[tmp_path / "src" / "base.yaml"])
    assert sorted(app.entries) == ["app:client", "app:worker"]


def test_a_broken_entry_is_left_out(tmp_path: Path) -> None:
    """With all that is wrong with it; who needs it has the same faults."""
    broken = PART.replace('library.lua, source: "return 1"', 'library.lua, source: "return {"')
    folder = write_app(tmp_path, {"src/base.yaml": BASE, "src/part/_index.yaml": broken})
    with pytest.raises(RegistryErrors):
        load_app(folder, {})
    app = load_app(folder, {}, partly=True)
    assert list(app.broken) == ["part:lib"]
    (error,) = app.faults("part:act")
    assert app.faults("part:lib") == [error]
    assert (error.line, error.what.split(",")[0]) == (7, "expected an expression")
    assert any("part:lib is left out: expected an expr" in one.message for one in app.warnings)


def test_a_worker_without_its_client_is_left_out(tmp_path: Path) -> None:
    """It could not be deployed: nobody would know where."""
    lost = BASE.replace("client: client", "client: none")
    folder = write_app(tmp_path, {"src/base.yaml": lost, "src/part/_index.yaml": PART})
    app = load_app(folder, {}, partly=True)
    assert list(app.workers) == []
    assert "the client app:none of app:worker is not loaded" in [w.message for w in app.warnings]


def test_a_file_that_is_no_yaml_is_an_error_still(tmp_path: Path) -> None:
    """Nobody knows what would be in it."""
    folder = write_app(tmp_path, {"src/base.yaml": BASE, "src/bad.yaml": "a: [\n"})
    with pytest.raises(RegistryErrors):
        load_app(folder, {}, partly=True)


def test_a_circle_is_cut(tmp_path: Path) -> None:
    """Where it closes, so that everything else can be bundled."""
    round_about = PART.replace('"return 1"}', '"return 1", imports: {a: act}}')
    folder = write_app(tmp_path, {"src/base.yaml": BASE, "src/part/_index.yaml": round_about})
    app = load_app(folder, {}, partly=True)
    (cut,) = [w.message for w in app.warnings if "circle" in w.message]
    assert "part:act -> part:lib -> part:act" in cut
    assert sorted(bundle_entry(app, "part:act").chunks) == ["part:act", "part:lib"]


def test_what_entries_have_against_each_other_is_a_warning(tmp_path: Path) -> None:
    """Such as two workflows of one type on one worker."""
    twice = (
        PART
        + """\
  - {name: again, kind: workflow.lua, source: "return print",
     meta: {temporal: {workflow: {worker: "app:worker", name: "part:flow"}}}}
"""
    )
    folder = write_app(tmp_path, {"src/base.yaml": BASE, "src/part/_index.yaml": twice})
    with pytest.raises(RegistryErrors):
        load_app(folder, {})
    app = load_app(folder, {}, partly=True)
    assert any("stands twice on app:worker" in warning.message for warning in app.warnings)
