"""`luaflow check`: what in an app's code will not work, or not work twice alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from luaflow.registry.app import App
from luaflow.registry.entries import FunctionEntry, LuaEntry, WorkflowEntry
from luaflow.registry.links import similar
from luaflow.registry.lua_scan import Call, Scan, scan
from luaflow.registry.modules import BUILTINS, CORE, FORBIDDEN, KNOWN, PROVIDED
from luaflow.registry.problems import Problems, RegistryError, RegistryWarning

CompileCheck = Callable[[bytes, str], str | None]
"""Given Lua source and a chunk name: the compiler's message, or None when it compiles."""

_ERROR_LINE = re.compile(r":(\d+): ?(.*)", re.DOTALL)
_ID = re.compile(r"[\w.-]+:[\w./-]+\Z", re.ASCII)

_NOT_REPEATABLE: Final = {
    ("os", "time"): ("is workflow time, not the clock", "say so with time.now()"),
    ("os", "clock"): ("does not measure anything", "measure inside an activity"),
    ("math", "random"): (
        "gives the same numbers on every replay",
        "use uuid, draw it inside workflow.side_effect, or in an activity",
    ),
    ("math", "randomseed"): ("has no use", "remove it: the seed is the run's own"),
}
_OS: Final = frozenset({"clock", "date", "difftime", "platform", "time"})
_IN_PYTHON: Final = "do it in an entry of kind function.python, and call that with funcs.call"
_IN_ACTIVITY: Final = _IN_PYTHON.replace("an entry", "an activity")
_ACTIVITY_CALLS: Final = ("call", "async", "map")
_SPAWNS: Final = ("spawn", "spawn_monitored", "spawn_linked", "spawn_linked_monitored", "exec")


def check_app(app: App, compile_check: CompileCheck | None = None) -> list[RegistryWarning]:
    """All warnings about an app, those of loading it too, in order of place.

    Warns of a local function used above its declaration, of clocks, chance, io and assigned
    globals in workflows, of modules used but not listed, of activities and workflows called but
    not registered. Raises RegistryErrors (with the warnings) for a module that workflows may not
    use and, given `compile_check`, for Lua that does not compile.
    """
    problems = Problems(warnings=list(app.warnings))
    users = _workflow_code(app)
    for entry in app.entries.values():
        if isinstance(entry, LuaEntry):
            _Checker(app, entry, users.get(entry.id), problems).run(compile_check)
    problems.raise_if_any()
    return problems.in_order()


def refused(app: App) -> dict[str, list[RegistryError]]:
    """Workflow id -> the modules it may not use: what its code lists, or that of its imports."""
    found = {}
    for workflow in app.workflows.values():
        problems = Problems()
        for id_ in _code_of(app, workflow.id):
            entry = app.entries[id_]
            assert isinstance(entry, LuaEntry)
            _Checker(app, entry, workflow.id, problems).modules(scan(entry.source.text))
        if problems.errors:
            found[workflow.id] = problems.errors
    return found


def _not_provided(name: str) -> str:
    return f"module '{name}' is not provided by this release of luaflow"


def _workflow_code(app: App) -> dict[str, str]:
    """Entry id -> the workflow whose code it is part of."""
    users: dict[str, str] = {}
    for workflow in app.workflows.values():
        for id_ in _code_of(app, workflow.id):
            users.setdefault(id_, workflow.id)
    return users


def _code_of(app: App, workflow: str) -> list[str]:
    """The entries of a workflow's code: its own, and all that it imports."""
    found: list[str] = []
    todo = [workflow]
    while todo:
        entry = app.entries[todo.pop()]
        if entry.id not in found and isinstance(entry, LuaEntry):
            found.append(entry.id)
            todo.extend(entry.imports.values())
    return found


@dataclass(frozen=True, slots=True)
class _Checker:
    """The check of one Lua entry; `workflow` is the workflow it is part of, if it is."""

    app: App
    entry: LuaEntry
    workflow: str | None
    problems: Problems

    def run(self, compile_check: CompileCheck | None) -> None:
        source = self.entry.source
        message = compile_check(source.text.encode(), source.chunk) if compile_check else None
        if message is not None:
            self._syntax(message)
            return
        found = scan(source.text)
        self.modules(found)
        self._early(found)
        self._outside(found)
        if self.workflow:
            self._repeatable(found)
        for call in found.calls:
            self._call(call)

    def warn(self, message: str, line: int, remedy: str) -> None:
        source = self.entry.source
        self.problems.warn(message, source.file, source.line(line), remedy)

    def _syntax(self, message: str) -> None:
        match = _ERROR_LINE.search(message)
        line, what = (int(match.group(1)), match.group(2)) if match else (1, message)
        source = self.entry.source
        self.problems.error(
            f"{self.entry.id} does not compile: {what}",
            source.file,
            source.line(line),
            "mend the Lua syntax here",
        )

    # Modules.

    def modules(self, found: Scan) -> None:
        for index, name in enumerate(self.entry.modules):
            line = self.entry.line("modules", index)
            if self.workflow and name in FORBIDDEN:
                self._forbidden(name, self.entry.file, line)
            elif name in KNOWN - PROVIDED - self.entry.imports.keys():
                self.problems.warn(_not_provided(name), self.entry.file, line, _IN_PYTHON)
            elif name not in KNOWN:
                self.problems.warn(
                    f"module {name} of {self.entry.id} does not exist",
                    self.entry.file,
                    line,
                    similar(name, sorted(PROVIDED), "remove it, or import a library"),
                )
        ours = CORE.union(self.entry.modules, self.entry.imports)
        seen: set[str] = set()
        for name, line in found.requires:
            if name in ours or name in seen:
                continue
            seen.add(name)
            if self.workflow and name in FORBIDDEN:
                self._forbidden(name, self.entry.source.file, self.entry.source.line(line))
            else:
                self._not_listed(name, line)
        assigned = {one.name for one in found.assigned}
        for use in found.uses:
            name = use.path[0]
            if len(use.path) > 1 and name in KNOWN - ours - assigned - seen:
                seen.add(name)
                self._global(name, use.line)

    def _forbidden(self, name: str, file: str, line: int) -> None:
        where = f"{self.entry.id}, which {self.workflow} imports"
        where = where if self.workflow != self.entry.id else self.entry.id
        self.problems.error(
            f"module {name} is not available in workflows ({where})",
            file,
            line,
            _IN_ACTIVITY,
        )

    def _not_listed(self, name: str, line: int) -> None:
        if name in KNOWN - PROVIDED:
            self.warn(_not_provided(name), line, _IN_PYTHON)
        elif name in KNOWN:
            self.warn(
                f"module {name} is used but not listed in {self.entry.id}",
                line,
                f"add {name} to modules: in {self.entry.file}:{self.entry.line()}",
            )
        else:
            self.warn(
                f"module {name} does not exist and {self.entry.id} imports nothing of that name",
                line,
                similar(name, sorted(PROVIDED), f"add {name} to imports:"),
            )

    def _global(self, name: str, line: int) -> None:
        if name == "io" and not self.workflow:
            self.warn("io is not available", line, _IN_PYTHON)
        elif name in FORBIDDEN and self.workflow:
            self.warn(
                f"{name} is not available in workflows: it would not repeat on replay",
                line,
                _IN_ACTIVITY,
            )
        else:
            self._not_listed(name, line)

    # Order and repeatability.

    def _early(self, found: Scan) -> None:
        for use in found.early:
            if use.name in BUILTINS:
                continue
            declared = self.entry.source.line(use.declared)
            self.warn(
                f"{use.name} is nil here: its local function is declared below, in line {declared}",
                use.line,
                f"move the function {use.name} above its first use",
            )

    def _outside(self, found: Scan) -> None:
        """What `os` has elsewhere, and here not: programs, files, the environment."""
        for use in dict.fromkeys((u.path[:2], u.line) for u in (*found.uses, *found.module_uses)):
            (module, *names), line = use
            if module == "os" and names and names[0] not in _OS and "os" not in self.entry.imports:
                remedy = _IN_ACTIVITY if self.workflow else _IN_PYTHON
                self.warn(f"os.{names[0]} is not available", line, remedy)

    def _repeatable(self, found: Scan) -> None:
        uses = [
            (use.path[:2], use.line)
            for use in (*found.uses, *found.module_uses)
            if not (use.recorded and use.path[0] == "math")
        ]
        for path, line in dict.fromkeys(uses):
            if path in _NOT_REPEATABLE:
                what, remedy = _NOT_REPEATABLE[path]
                self.warn(f"{'.'.join(path)} in a workflow {what}", line, remedy)
        for one in found.assigned:
            self.warn(
                f"the global {one.name} is assigned in a workflow: its value does not outlive the"
                " run",
                one.line,
                f"declare it: local {'function ' if one.function else ''}{one.name}",
            )

    # Calls of activities and workflows by literal ids.

    def _call(self, call: Call) -> None:
        head, name = call.path[0], call.path[-1]
        if len(call.path) != 2 or head in self.entry.imports:
            return
        builder = call.method and _ID.match(call.argument) is not None
        if name in _ACTIVITY_CALLS and (head == "funcs" or builder):
            self._activity(call)
        elif name in ("exec", "call") and head == "workflow":
            self._workflow(call)
        elif name in _SPAWNS and (head == "process" or builder):
            self._spawn(call)
        elif name == "add" and builder and self.workflow:
            self._activity(call)

    def _is_id(self, call: Call) -> bool:
        if _ID.match(call.argument):
            return True
        self.warn(
            f"{call.argument!r} is not an entry id",
            call.line,
            f"write namespace:name, such as {self.entry.namespace}:{call.argument or 'name'}",
        )
        return False

    def _activity(self, call: Call) -> None:
        if not self._is_id(call):
            return
        target = self.app.functions.get(call.argument)
        if target is None and self.app.workflow(call.argument) is not None:
            what = "activity" if self.workflow else "function"
            self.warn(
                f"{call.argument} is a workflow and no {what}",
                call.line,
                f'use workflow.exec("{call.argument}", ...)',
            )
        elif target is None:
            ids = list(self.app.activities if self.workflow else self.app.functions)
            what = "activity" if self.workflow else "function"
            self.warn(
                f"{what} {call.argument} is called but not registered",
                call.line,
                similar(call.argument, ids, "add an entry of kind function.lua for it"),
            )
        elif self.workflow and target.activity is None:
            self.warn(
                f"{call.argument} is called from a workflow but is no activity",
                call.line,
                f"add meta.temporal.activity.worker in {target.file}:{target.line()}",
            )

    def _workflow(self, call: Call) -> None:
        if self._is_id(call):
            self._registered_workflow(call)

    def _spawn(self, call: Call) -> None:
        if not self._is_id(call):
            return
        if isinstance(self.app.entries.get(call.argument), FunctionEntry):
            return
        self._registered_workflow(call)
        host = call.second
        if _ID.match(host) and host not in self.app.workers:
            self.warn(
                f"{host}, where {call.argument} shall run, is no temporal.worker",
                call.line,
                similar(host, list(self.app.workers), "name a worker entry, or a task queue"),
            )

    def _registered_workflow(self, call: Call) -> None:
        target: WorkflowEntry | None = self.app.workflow(call.argument)
        if target is None:
            self.warn(
                f"workflow {call.argument} is called but not registered",
                call.line,
                similar(
                    call.argument,
                    list(self.app.workflows),
                    "add an entry of kind workflow.lua for it",
                ),
            )
        elif target.worker is None:
            self.warn(
                f"workflow {call.argument} is called but no worker runs it",
                call.line,
                f"add meta.temporal.workflow.worker in {target.file}:{target.line()}",
            )
