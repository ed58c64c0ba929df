"""A bundle is its content: same code, same name, on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.apps import HEAD, WORKFLOW, write_app

from luaflow.domain.failure import Invalid
from luaflow.registry import App, Bundle, bundle_entry, load_app, make_bundles

YAML = (
    HEAD
    + WORKFLOW
    + "    imports: {a: lib}\n"
    + """\
  - name: lib
    kind: library.lua
    source: file://lib.lua
    modules: [json]
    imports: {b: base}
  - {name: base, kind: library.lua, source: return 1}
  - {name: unused, kind: library.lua, source: return 2}
  - {name: lonely, kind: workflow.lua, source: return 3}
  - {name: thing, kind: registry.entry}
"""
)


def app_in(folder: Path, lib: str = "return {}") -> App:
    """The app of this file in a folder."""
    return load_app(write_app(folder, {"a.yaml": YAML, "wf.lua": "return {}", "lib.lua": lib}), {})


def test_deployments_name_everything(tmp_path: Path) -> None:
    """Only workflows with a worker are deployed, with all they import and nothing else."""
    (found,) = make_bundles(app_in(tmp_path))
    assert (found.type_name, found.entry_id) == ("app:wf", "app:wf")
    assert (found.worker_id, found.client_id, found.task_queue) == (
        "app:worker",
        "app:client",
        "orders",
    )
    bundle = found.bundle
    assert set(bundle.chunks) == {"app:wf", "app:lib", "app:base"}
    assert (bundle.method, bundle.main.modules) == ("main", ("funcs", "time", "workflow"))
    assert bundle.chunks["app:lib"].imports == {"b": "app:base"}
    assert [chunk.name for chunk in bundle.chunks.values()] == ["wf.lua", "lib.lua", "app:base"]


def test_the_name_follows_from_the_code_alone(tmp_path: Path) -> None:
    """Another folder gives the same name; another library text another one."""
    first, again, changed = (
        bundle_entry(app_in(tmp_path / name, lib), "app:wf")
        for name, lib in [("a", "return {}"), ("b", "return {}"), ("c", "return { }")]
    )
    assert first.name == again.name
    assert first.content == again.content
    assert changed.name != first.name
    assert len(first.name) == 32


def test_bytes_are_inverse_and_checked(tmp_path: Path) -> None:
    """What was stored comes back; a wrong byte is noticed."""
    bundle = bundle_entry(app_in(tmp_path), "app:wf")
    assert Bundle.from_bytes(bundle.content, bundle.name) == bundle
    assert Bundle.from_bytes(bundle.content).name == bundle.name
    with pytest.raises(Invalid, match="does not match its content"):
        Bundle.from_bytes(bundle.content + b" ", bundle.name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no", "not a bundle"),
        (b"[]", "not a bundle"),
        (b'{"format":2}', "upgrade this luaflow"),
        (b'{"format":1}', "not a bundle"),
        (
            b'{"format":1,"entry_id":"a:b","type_name":"t","method":null,"chunks":{}}',
            "the bundle lacks a:b",
        ),
    ],
)
def test_foreign_bytes_are_refused(content: bytes, message: str) -> None:
    """Nothing that is not a whole bundle is ever run."""
    with pytest.raises(Invalid, match=message):
        Bundle.from_bytes(content)


def test_only_lua_entries_have_bundles(tmp_path: Path) -> None:
    """Asking for another kind says so."""
    with pytest.raises(Invalid, match="only Lua entries"):
        bundle_entry(app_in(tmp_path), "app:thing")
