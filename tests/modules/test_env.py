"""env: variables of an app, where they are kept, what may change them."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from tests.modules.support_modules import in_function, write_function

from luaflow.registry.envstore import EnvFailure, EnvStore

MODULES = ("env",)
ENTRIES: list[dict[str, Any]] = [
    {"name": "os", "kind": "env.storage.os"},
    {"name": "memory", "kind": "env.storage.memory"},
    {
        "name": "fixed",
        "kind": "env.storage.static",
        "values": {"HOST": "h", "PORT": 80, "ON": True},
    },
    {"name": "router", "kind": "env.storage.router", "storages": ["memory", "fixed"]},
    {"name": "loop", "kind": "env.storage.router", "storages": ["loop"]},
    {"name": "file", "kind": "env.storage.file", "file_path": "conf/app.env", "auto_create": True}
    | {"file_mode": 0o600, "dir_mode": 0o700},
    {"name": "nofile", "kind": "env.storage.file", "file_path": "gone.env"},
    {"name": "home", "kind": "env.variable", "variable": "LF_HOME", "storage": "os"},
    {"name": "host", "kind": "env.variable", "variable": "HOST", "storage": "router"},
    {"name": "port", "kind": "env.variable", "variable": "PORT", "storage": "fixed"},
    {
        "name": "mode",
        "kind": "env.variable",
        "variable": "MODE",
        "storage": "app:memory",
        "default": "x",
    },
    {"name": "locked", "kind": "env.variable", "variable": "LOCKED", "storage": "memory"}
    | {"default": 5, "readonly": True},
    {"name": "inner", "kind": "env.variable", "storage": "memory", "default": "private"},
    {"name": "kept", "kind": "env.variable", "variable": "KEPT", "storage": "file"},
    {"name": "late", "kind": "env.variable", "variable": "LATE", "storage": "nofile"},
    {"name": "round", "kind": "env.variable", "variable": "ROUND", "storage": "loop"},
    {"name": "lost", "kind": "env.variable", "variable": "LOST", "storage": "nowhere"},
    {"name": "second", "kind": "env.variable", "variable": "PORT", "storage": "memory"},
]


async def run(folder: Path, body: str, *args: Any) -> Any:
    """Call a function of the app with all the entries."""
    return await in_function(folder, body, *args, modules=MODULES, entries=ENTRIES)


KIND = """local function kind(f, ...) local v, e = f(...) return v == nil and e:kind() end """


async def test_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By public name or entry id; the storage's value, else the default."""
    monkeypatch.setenv("LF_HOME", "/home/x")
    body = """return { env.get("LF_HOME"), env.get("HOST"), env.get("PORT"), env.get("app:port"),
        env.get("MODE"), env.get("LOCKED"), env.get("app:inner") }"""
    assert await run(tmp_path, body) == ["/home/x", "h", "80", "80", "x", "5", "private"]


async def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Undeclared variables of the process stay out of reach: they may be secrets."""
    monkeypatch.setenv("LF_SECRET", "s")
    body = (
        KIND
        + """return { kind(env.get, ""), kind(env.get, nil), kind(env.get, 5),
        kind(env.get, "LF_SECRET"), kind(env.get, "LF_HOME"), kind(env.get, "inner"),
        kind(env.get, "KEPT"), kind(env.get, "LATE"), kind(env.get, "LOST"), kind(env.get, "ROUND"),
        select(2, env.get("LF_SECRET")):retryable() }"""
    )
    expected = ["Invalid"] * 3 + ["NotFound"] * 6 + ["Internal", False]
    assert await run(tmp_path, body) == expected


async def test_writing(tmp_path: Path) -> None:
    """Memory keeps it for the process, a router writes its first storage, a file keeps it on."""
    body = """local out = { env.set("MODE", "a"), env.get("MODE"), env.set("HOST", "new"),
        env.get("HOST"),
        env.set("KEPT", "v = 1"), env.get("KEPT"), env.set("app:inner", "seen"),
            env.get("app:inner") }
    local all = env.get_all()
    return { out, all }"""
    out, everything = await run(tmp_path, body)
    assert out == [True, "a", True, "new", True, "v = 1", True, "seen"]
    assert everything == {"HOST": "new", "KEPT": "v = 1", "LOCKED": "5", "MODE": "a", "PORT": "80"}
    assert await run(tmp_path, "return { env.get('MODE'), env.get('KEPT') }") == ["x", "v = 1"]
    file = tmp_path / "conf" / "app.env"
    assert file.read_text() == "KEPT=v = 1\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_writing_is_refused(tmp_path: Path) -> None:
    """Read-only variables and storages, names nobody declared, values of other types."""
    body = (
        KIND
        + r"""return { kind(env.set, "LOCKED", "y"), kind(env.set, "PORT", "81"),
        kind(env.set, "LF_HOME", "x"), kind(env.set, "NOPE", "x"), kind(env.set, "", "x"),
        kind(env.set, "MODE", 5), kind(env.set, "MODE", nil), kind(env.set, "KEPT", "a\nb"),
        kind(env.set, "KEPT", "a # b"), kind(env.set, "MODE", "\xff"), kind(env.set, "LATE", "x")
            }"""
    )
    denied, invalid = "PermissionDenied", "Invalid"
    assert await run(tmp_path, body) == [denied] * 3 + ["NotFound"] + [invalid] * 6 + ["NotFound"]


def test_files_are_read_as_people_write_them(tmp_path: Path) -> None:
    """Comments and blank lines are no values; the last line of a name holds; others are kept."""
    store = EnvStore(write_function(tmp_path, "", MODULES, ENTRIES))
    file = tmp_path / "conf" / "app.env"
    file.parent.mkdir()
    file.write_text("# a comment\n\nKEPT = old\nOTHER=1\nKEPT=new  # why\n")
    assert store.get("KEPT") == "new"
    store.set("KEPT", "newer")
    assert file.read_text() == "# a comment\n\nOTHER=1\nKEPT=newer\n"
    file.write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(EnvFailure, match="more than 1048576 bytes"):
        store.get("KEPT")
    assert [p.name for p in file.parent.iterdir()] == ["app.env"]
