"""``luaflow check``: mistakes in an app, before anything runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from luaflow_cli.common import common, load_app, settings

if TYPE_CHECKING:
    from luaflow.registry import App, RegistryWarning
    from luaflow.registry.entries import LuaEntry
    from luaflow.registry.problems import Problems

_PLACE = re.compile(r"(.+?):(\d+): (.*)", re.DOTALL)
_NO_MODULE = re.compile(r"module '(.+)' not found\Z")
_REQUIRED = re.compile(r"module '([^']+)' not found")
_NO_GLOBAL = re.compile(r"\(global '(\w+)'\)\Z")


@click.command()
@click.argument("folder", required=False, metavar="[APP]")
@click.option("-v", "--verbose", is_flag=True, help="Name each entry, with its schemas.")
@common()
def check(folder: str | None, *, verbose: bool) -> None:
    """Look for mistakes in an app."""
    from luaflow_cli.output import counted, show_json

    loaded = load_app(folder)
    warnings = look(loaded)
    entries = _entries(loaded) if verbose else []
    if settings().json:
        show_json(
            {
                **({"entries": entries} if verbose else {}),
                "workflows": len(loaded.workflows),
                "functions": len(loaded.functions),
                "warnings": [
                    {"message": w.message, "file": w.file, "line": w.line, "remedy": w.remedy}
                    for w in warnings
                ],
            }
        )
        return
    show_warnings(warnings)
    _show_entries(entries)
    click.echo(
        f"{loaded.root}: {counted(len(loaded.workflows), 'workflow')},"
        f" {counted(len(loaded.functions), 'function')}, {counted(len(warnings), 'warning')}"
    )


def _entries(app: App) -> list[dict[str, Any]]:
    """What can be started or called: id, kind, schemas."""
    return [
        {
            "id": entry.id,
            "kind": entry.kind,
            "input_schema": entry.input_schema,
            "output_schema": entry.output_schema,
        }
        for entry in (*app.workflows.values(), *app.functions.values())
    ]


def _show_entries(entries: list[dict[str, Any]]) -> None:
    from luaflow_cli.output import show_fields

    for entry in entries:
        show_fields({key: value for key, value in entry.items() if value is not None})
        click.echo()


def look(app: App) -> list[RegistryWarning]:
    """The warnings about an app; RegistryErrors for what cannot run."""
    from luaflow.registry import check_app
    from luaflow.registry.entries import FunctionEntry, WorkflowEntry
    from luaflow.registry.problems import Problems

    problems = Problems(warnings=check_app(app, _compile))
    for entry in app.entries.values():
        if isinstance(entry, WorkflowEntry):
            _run_top_level(app, entry, "workflow", problems)
        elif isinstance(entry, FunctionEntry):
            _run_top_level(app, entry, "function", problems)
    problems.raise_if_any()
    return problems.in_order()


def _run_top_level(app: App, entry: LuaEntry, kind: str, problems: Problems) -> None:
    """Note as an error what would fail in every run of an entry, before its function is called."""
    from luaflow.lua import Engine, LoadError
    from luaflow.registry.bundle import bundle_entry
    from luaflow.registry.modules import KNOWN, PROVIDED
    from luaflow.replay.loading import source_of

    bundle = bundle_entry(app, entry.id)
    try:
        Engine(source_of(bundle), kind=kind).check()
        return
    except LoadError as error:
        message = error.message
    source = entry.source
    if message.startswith("method "):
        line = source.line(source.text.rstrip().count("\n") + 1)
        method = entry.method or "main"
        remedy = f"end the file with return {{ {method} = {method} }}"
        problems.error(message, source.file, line, f"{remedy}, or {_set_method(entry)}")
        return
    asked = {name for chunk in bundle.chunks.values() for name in chunk.modules}
    asked.update(_NO_MODULE.findall(message))
    if asked & (KNOWN - PROVIDED):
        return  # a warning says so: the entry may be for another runtime
    file, line, message = find_place(app, entry, message)
    message, remedy = _remedy(app, entry, file, message)
    problems.error(f"{entry.id} fails before its function is called: {message}", file, line, remedy)


def _set_method(entry: LuaEntry) -> str:
    return f"name what it returns with method: in {entry.file}:{entry.line('method')}"


def _remedy(app: App, entry: LuaEntry, file: str, message: str) -> tuple[str, str]:
    """What happened, and what to do: a module may only be missing in the YAML."""
    from luaflow.registry.entries import LuaEntry
    from luaflow.registry.modules import PROVIDED

    required, used = _REQUIRED.search(message), _NO_GLOBAL.search(message)
    name = (required or used or ("", ""))[1]
    if name in PROVIDED:
        others = (e for e in app.entries.values() if isinstance(e, LuaEntry))
        owner = next(e for e in (entry, *others) if e.source.file == file)
        remedy = f"add {name} to modules: in {owner.file}:{owner.line()}"
        return message.partition(": add it")[0], remedy
    if required:
        return message, f"check its spelling, or add {name} to imports:"
    return message, "mend the code outside of functions"


def find_place(app: App, entry: LuaEntry, message: str) -> tuple[str, int, str]:
    """The file and line that a message of Lua names, and the rest of it; else the entry's own."""
    from luaflow.registry.entries import LuaEntry

    sources = {e.source.chunk: e.source for e in app.entries.values() if isinstance(e, LuaEntry)}
    found = _PLACE.match(message)
    if found and (source := sources.get(found[1])):
        return source.file, source.line(int(found[2])), found[3]
    return entry.file, entry.line(), message


def _compile(source: bytes, chunk: str) -> str | None:
    """What the compiler says of Lua source; None when it compiles."""
    from luaflow.lua import BundleSource, Engine, LoadError

    try:
        Engine(BundleSource(entry_id=chunk, source=source, chunkname=chunk, method=""))
    except LoadError as error:
        return error.message
    return None


def show_warnings(warnings: list[RegistryWarning]) -> None:
    """Write warnings, one a line."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
