"""init: a first app that passes, and files for editors."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.apps import HEAD, write_app
from tests.support.commands import Commands


def test_a_first_app_passes_and_runs(luaflow: Commands, tmp_path: Path) -> None:
    """The app that init makes has no mistakes, and its function can be called."""
    shop = str(tmp_path / "shop")
    made = luaflow("init", shop)
    assert made.code == 0
    assert f"next: luaflow dev {shop}" in made.out
    assert "1 workflow, 1 function, 0 warnings" in luaflow("check", shop).out
    called = luaflow("call", "app:compose", '"Ada"', "--app", shop)
    assert called.out.strip() == '"Hello, Ada!"'


def test_an_app_is_kept(luaflow: Commands, tmp_path: Path) -> None:
    """Where there is an app, only the files for editors are written; settings are kept, too."""
    app = write_app(tmp_path / "app", {"src/app.yaml": HEAD, ".luarc.json": "{}"})
    assert luaflow("init", str(app)).code == 0
    assert sorted(one.name for one in (app / "src").iterdir()) == ["app.yaml"]
    assert (app / ".luarc.json").read_text() == "{}"
    assert (app / ".luaflow/editor/lua/funcs.lua").read_text().startswith("---@meta")
    schema = json.loads((app / ".luaflow/editor/registry.schema.json").read_text())
    assert schema["required"] == ["namespace"]


def test_a_file_is_refused(luaflow: Commands, tmp_path: Path) -> None:
    """A name that is taken by a file is a usage error."""
    (tmp_path / "shop").write_text("")
    found = luaflow("init", str(tmp_path / "shop"))
    assert found.code == 2
    assert "is a file" in found.err
