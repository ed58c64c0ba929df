"""Builds: what was deployed as one, and how it goes."""

from __future__ import annotations

from pathlib import Path

from tests.support.apps import HEAD, WORKFLOW, write_app
from tests.support.commands import Commands

BUILD = """\
    worker_options: {use_versioning: true, deployment_name: shop, build_id: "1.0"}
"""


def test_builds_are_listed_and_deleted(luaflow: Commands, tmp_path: Path) -> None:
    """A deleted build is not there any more, and says so."""
    assert luaflow("build", "list", "-o", "json").json == {"builds": []}
    wf = "local function main(a) return a end\nreturn {main = main}\n"
    app = write_app(tmp_path / "app", {"app.yaml": HEAD + BUILD + WORKFLOW, "wf.lua": wf})
    bundle = luaflow("deploy", str(app), "-o", "json").json["types"][0]["bundle"]
    (shown,) = luaflow("build", "list", "-o", "json").json["builds"]
    assert shown == {"deployment": "shop", "build": "1.0", "bundles": {"app:wf": bundle}}
    assert "shop" in luaflow("build", "list").out
    assert "(1 workflow types)" in luaflow("build", "delete", "shop", "1.0").out
    again = luaflow("build", "delete", "shop", "1.0")
    assert (again.code, "there is no build '1.0' of 'shop'" in again.err) == (4, True), again
