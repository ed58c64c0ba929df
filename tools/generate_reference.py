"""Write docs/reference anew from the code: python -m tools.generate_reference."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import click

from luaflow.domain import events
from luaflow.replay.recorded import _OPS as COMMAND_EVENTS
from luaflow.store import keys, scripts
from luaflow_cli.main import cli
from luaflow_scheduler.cli import main as scheduler
from luaflow_worker.cli import main as worker
from tools.event_fields import EVENTS
from tools.http_page import lines as http_lines
from tools.lua_pages import lua_page
from tools.metrics import exported
from tools.metrics_table import lines as metric_lines
from tools.programs import ROOT
from tools.values_page import INTRO, RULES, rows

FOLDER: Path = ROOT / "docs" / "reference"
STORE: Path = ROOT / "shared" / "luaflow" / "store"
NOTE = "<!-- written by python -m tools.generate_reference from {} -->\n"
_HEADER_WORDS = ("KEYS", "ARGV", "Returns")


def pages() -> dict[str, str]:
    """The pages of docs/reference that are generated, by file name."""
    return {
        "cli.md": cli_page(),
        "events.md": events_page(),
        "http-api.md": http_page(),
        "keys.md": keys_page(),
        "lua.md": _page(lua_page(NOTE.format("shared/luaflow/lua/library"))),
        "metrics.md": metrics_page(),
        "scripts.md": scripts_page(),
        "values.md": values_page(),
    }


# -- values ----------------------------------------------------------------------------------------


def values_page() -> str:
    """What each value looks like as JSON."""
    table = _table(("in Lua", "in Python", "as JSON"), rows())
    note = NOTE.format("shared/luaflow/domain/values.py")
    return _page(["# Values", "", note, INTRO, *table, "", RULES])


# -- the HTTP API ----------------------------------------------------------------------------------


def http_page() -> str:
    """Every request that the HTTP API answers."""
    note = NOTE.format("web/luaflow_web/openapi.py")
    return _page(["# The HTTP API", "", note, *http_lines()])


# -- metrics -------------------------------------------------------------------------------------


def metrics_page() -> str:
    """Every metric that a process exports."""
    note = NOTE.format("the objects that register them")
    return _page(["# Metrics", "", note, *metric_lines(exported())])


# -- keys ------------------------------------------------------------------------------------------


def keys_page() -> str:
    """Every key name: the table of the module's docstring, then how each name is spelled."""
    source = (STORE / "keys.py").read_text()
    module = ast.parse(source)
    intro, rows, after = _split_table(ast.get_docstring(module) or "")
    lines = [
        "# Keys",
        "",
        NOTE.format("shared/luaflow/store/keys.py"),
        _markdown(intro),
        "",
        *_table(rows[0], rows[1:]),
        "",
        _markdown(after),
        "",
        "## How each is spelled",
        "",
        "In a namespace `shop`, with `3` for the partition of a run's workflow id.",
        "",
        *_table(("name", "what it is"), _spelled(module)),
    ]
    return _page(lines)


def _split_table(text: str) -> tuple[str, list[tuple[str, ...]], str]:
    """The text before a table of reStructuredText, its rows (the first is the head), the rest."""
    before, _, rest = text.partition("\n===")
    rows: list[tuple[str, ...]] = []
    lines = ("===" + rest).splitlines()
    widths = [len(word) for word in lines[0].split()]
    marks = 0
    for number, line in enumerate(lines):
        if line.startswith("==="):
            marks += 1
            if marks == 3:
                return before, rows, "\n".join(lines[number + 1 :])
            continue
        first, second = widths[0] + 2, widths[0] + widths[1] + 4
        rows.append((line[:first].strip(), line[first:second].strip(), line[second:].strip()))
    raise ValueError("the table of keys has no end")


def _spelled(module: ast.Module) -> list[tuple[str, str]]:
    """A row for each function and method that returns a name, with the name it returns."""
    partition = keys.Partition("shop", 3)
    sample = {"receiver": 5, "sender": 5}
    rows = [(partition.meta, "The settings, clock and epoch of a partition.")]
    sets = ("timers", "leases", "gc", "vis")
    rows += [(getattr(partition, name), f"See `{name}` above.") for name in sets]
    for node in ast.walk(module):
        if not isinstance(node, ast.FunctionDef) or node.name == "__init__":
            continue
        names = [a.arg for a in node.args.args]
        values = [sample.get(a, f"<{a}>") for a in names]
        if names[0] == "self":
            found = getattr(partition, node.name)(*values[1:])
        else:
            found = getattr(keys, node.name)("shop", *values[1:])
        text = (ast.get_docstring(node) or "").removeprefix("Return ")
        rows.append((found, _markdown(text[0].upper() + text[1:])))
    return [(f"`{name}`", text) for name, text in rows]


# -- scripts ---------------------------------------------------------------------------------------


def scripts_page() -> str:
    """Every server script: its header, which is its contract."""
    lines = [
        "# Server scripts",
        "",
        NOTE.format("shared/luaflow/store/scripts/*.lua"),
        "Each changes the state of a run, whole or not at all; it checks everything, then writes.",
        "`meta` in KEYS is bound to `meta_key`, and so on. A last name with `...` stands for many.",
        "An argument `name:int` is a number, all others are text. Times are milliseconds.",
        "",
        *_table(("script", "what it does"), [_summary(name) for name in scripts.names()]),
    ]
    for name in scripts.names():
        script = scripts.load(name)
        parts = _header(STORE / "scripts" / f"{name}.lua")
        lines += ["", f"## {name}", "", parts[""], ""]
        lines += [f"{parts['notes']}", ""] if parts.get("notes") else []
        lines += [f"- **KEYS** {_words(script.keys)}", f"- **ARGV** {_words(script.args)}"]
        if parts.get("Returns"):
            lines += [f"- **Returns** {_code(parts['Returns'])}"]
        if b"flags=allow-oom" not in script.body.split(b"\n", 1)[0]:
            lines += ["- Refused by the server when its memory is out; all others must go on."]
        includes = re.findall(r"^--- include (\w+)$", _source(name), re.MULTILINE)
        lines += [f"- Includes: {', '.join(f'[{i}](#{i})' for i in includes)}"] if includes else []
    lines += ["", "# Includes", "", "What scripts share; `--- include name` pulls one in."]
    for path in sorted((STORE / "scripts" / "includes").glob("*.lua")):
        lines += ["", f"## {path.stem}", "", "```text", _comment(path), "```"]
    return _page(lines)


def _source(name: str) -> str:
    return (STORE / "scripts" / f"{name}.lua").read_text()


def _comment(path: Path) -> str:
    """The comment a file begins with."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("--") or line.startswith("--- include"):
            break
        lines.append(line.removeprefix("--").removeprefix(" "))
    return "\n".join(lines)


def _header(path: Path) -> dict[str, str]:
    """The parts of a script's header by their word; the description is under ''."""
    parts: dict[str, list[str]] = {"": []}
    word = ""
    for line in _comment(path).splitlines():
        first, _, rest = line.partition(" ")
        said = first in _HEADER_WORDS
        if said:
            word = first
        elif word in ("KEYS", "ARGV"):
            word = "notes"
        parts.setdefault(word, []).append((rest if said else line).strip())
    found = {word: " ".join(lines) for word, lines in parts.items()}
    for word in ("", "notes"):
        text = found.get(word, "").removeprefix(f"{path.stem}: ")
        found[word] = text[:1].upper() + text[1:]
    return found


def _summary(name: str) -> tuple[str, str]:
    text = _header(STORE / "scripts" / f"{name}.lua")[""]
    return f"[{name}](#{name})", re.split(r"(?<=[.:;])\s", text)[0].rstrip(".:;")


def _words(names: Iterable[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


def _code(text: str) -> str:
    return re.sub(r"\{[^{}]*\}", lambda found: f"`{found[0]}`", text).replace("` | `", "` or `")


# -- events ----------------------------------------------------------------------------------------


def events_page() -> str:
    """Every event of a history, in groups, with when it is written and what it says."""
    groups = (
        ("The first event", {events.STARTED}),
        ("Before the first decision", {events.SLOT_GRANTED}),
        ("Messages", events.MESSAGES),
        ("The rest: outcomes of what the code asked for", events.REST),
        ("A decision", {events.TASK_COMPLETED}),
        ("Commands of a decision", commands()),
        ("The last event", set(events.CLOSING)),
    )
    lines = [
        "# Events",
        "",
        NOTE.format("shared/luaflow/domain/events.py"),
        (ast.get_docstring(ast.parse(Path(events.__file__).read_text())) or "").replace("``", "`"),
        "",
        "`luaflow workflow show -w ID -o json` prints them: `{id, ts, type, …}`, with the fields",
        "below. A field is there when it says something; `seq` is the number of a command.",
    ]
    for title, names in groups:
        lines += ["", f"## {title}", ""]
        rows = [(f"`{n}`", EVENTS[n][0], _words(EVENTS[n][1].split())) for n in sorted(names)]
        lines += _table(("event", "when", "fields"), rows)
    last = [(f"`{status}`", f"`{name}`") for name, status in events.CLOSING.items()]
    lines += ["", "## Statuses", "", *_table(("status", "its last event"), last)]
    return _page(lines)


def commands() -> set[str]:
    """The events that record a command and do not end the run."""
    return set(COMMAND_EVENTS) | {"MarkerRecorded"}


def all_events() -> set[str]:
    """The names of all events."""
    first = {events.STARTED, events.SLOT_GRANTED, events.TASK_COMPLETED}
    return first | {*events.NEWS, *events.CLOSING, *commands()}


# -- command lines ---------------------------------------------------------------------------------


def cli_page() -> str:
    """The help of every command."""
    lines = [
        "# Command lines",
        "",
        NOTE.format("the programs"),
        "What `--help` says of each command.",
    ]
    for name, command in (
        ("luaflow", cli),
        ("luaflow-worker", worker),
        ("luaflow-scheduler", scheduler),
    ):
        lines += _helps(name, command, None)
    return _page(lines)


def _helps(name: str, command: click.Command, parent: click.Context | None) -> list[str]:
    given = {**command.context_settings, "max_content_width": 90, "terminal_width": 90}
    context = click.Context(command, parent, name, **given)
    title = context.command_path
    lines = ["", f"## {title}", "", "```text", command.get_help(context), "```"]
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            found = command.get_command(context, word)
            if found is not None and not found.hidden:
                lines += _helps(word, found, context)
    return lines


# -- Markdown --------------------------------------------------------------------------------------


def _markdown(text: str) -> str:
    return text.strip().replace("``", "`")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        cells = (_markdown(cell).replace("|", "\\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _page(lines: Iterable[str]) -> str:
    text = "\n".join(line.rstrip() for line in "\n".join(lines).splitlines())
    return text.strip() + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text)
