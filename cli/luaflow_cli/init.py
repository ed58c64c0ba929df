"""``luaflow init``: a first app, and what editors need to complete and check it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import click

from luaflow_cli.common import common

EDITOR: Final = Path(".luaflow") / "editor"
"""Where an app's editor files lie; a later release writes them anew."""

LUARC: Final[dict[str, Any]] = {
    "runtime.version": "Lua 5.4",
    "workspace.library": [(EDITOR / "lua").as_posix()],
    # What luaflow's Lua does not have, or describes itself.
    "runtime.builtin": dict.fromkeys(
        ("basic", "coroutine", "debug", "io", "math", "os", "package", "string", "table"), "disable"
    ),
}
SETTINGS: Final = {
    "yaml.schemas": {
        (EDITOR / "registry.schema.json").as_posix(): ["src/**/*.yaml", "src/**/*.yml"]
    }
}

REGISTRY: Final = """\
namespace: app
entries:
  - name: client
    kind: temporal.client
    address: redis://localhost:6379 # luaflow dev brings its own server and overrides this

  - name: worker # serves one task queue
    kind: temporal.worker
    client: client
    task_queue: main

  - name: greeting # a workflow: decides what happens
    kind: workflow.lua
    source: file://greeting.lua
    modules: [funcs, time]
    meta: {temporal: {workflow: {worker: worker}}}

  - name: compose # an activity: does the work, may fail, is tried again
    kind: function.lua
    method: main
    source: file://compose.lua
    meta: {temporal: {activity: {worker: worker}}}
"""
GREETING: Final = """\
local funcs = require("funcs")
local time = require("time")

local function main(name)
    -- Its result is recorded: whatever crashes, it is not asked for twice.
    local text, err = funcs.call("app:compose", name)
    if err then
        return nil, err
    end
    time.sleep("1s") -- durable: it could be a month
    return text
end

return { main = main }
"""
COMPOSE: Final = """\
local function main(name)
    return "Hello, " .. (name or "world") .. "!"
end

return { main = main }
"""
APP: Final = {"_index.yaml": REGISTRY, "greeting.lua": GREETING, "compose.lua": COMPOSE}


@click.command()
@click.argument("folder", required=False, default=".", metavar="[APP]")
@common()
def init(folder: str) -> None:
    """Make a first app, and place what editors need.

    A folder that holds an app keeps it; only the editor files are written then: definitions of the
    Lua API, a schema of the registry, and the settings that name them where there are none.
    """
    from luaflow.errors import InvalidArgument

    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise InvalidArgument(f"{root} is a file \u2013 name a folder")
    made = [] if _holds_app(root) else _make_app(root)
    for path in (*made, *_place_editor_files(root)):
        click.echo(f"  {path}")
    if made:
        click.echo(f"next: luaflow dev {root}" if folder != "." else "next: luaflow dev")


def _holds_app(root: Path) -> bool:
    """Whether there is any registry file; one that cannot be read is somebody's, too."""
    folders = [root / "src", root]
    return any(any(one.glob("**/*.y*ml")) for one in folders if one.is_dir())


def _make_app(root: Path) -> list[Path]:
    source = root / "src"
    source.mkdir(parents=True, exist_ok=True)
    for name, text in APP.items():
        (source / name).write_text(text)
    return [source / name for name in APP]


def _place_editor_files(root: Path) -> list[Path]:
    import luaflow

    package = Path(luaflow.__file__).parent
    target = root / EDITOR
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(package / "lua" / "library", target / "lua")
    shutil.copy(package / "registry" / "registry.schema.json", target)
    written = [target]
    for path, content in (
        (root / ".luarc.json", LUARC),
        (root / ".vscode/settings.json", SETTINGS),
    ):
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(content, indent=2) + "\n")
            written.append(path)
    return written
