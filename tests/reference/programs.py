"""From the claims of a definition file to Lua programs that check them, and the app around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tools.lua_library import Block, Claim, Row, Section

HERE = Path(__file__).parent
PRELUDE = (HERE / "claims.lua").read_text()
EXAMPLE_URL = "https://api.example.com"
_WORD = re.compile(r'^(raises|like) (".*")$')
_ASSIGNS = re.compile(r"^(local |function |for |if |while |end\b|repeat|until|[\w.\[\]]+ = )")


class Program(NamedTuple):
    """The Lua source of one block, and where it runs."""

    row: str
    context: str
    source: str
    modules: tuple[str, ...]


def programs(sections: list[Section], url: str) -> Iterator[Program]:
    """Every program that a definition file asks for; ``url`` is where the example server is."""
    for section in sections:
        for row in section.rows:
            for block in row.blocks:
                for context in contexts(row, block):
                    source = PRELUDE + body(block).replace(EXAMPLE_URL, url)
                    yield Program(row.name, context, source, modules_of(source))


def contexts(row: Row, block: Block) -> tuple[str, ...]:
    """Where a block runs: where it says, else where its function may be used."""
    if block.context:
        return tuple(block.context.split())
    found = [] if row.workflows == "forbidden" else ["workflow"]
    if row.elsewhere in ("everywhere", "no effect"):
        found += ["function", "activity"]
    if row.elsewhere == "activities":
        found.append("activity")
    if row.elsewhere == "handlers":
        found.append("handler")
    return tuple(found)


def body(block: Block) -> str:
    """The main function of a block: each claim is checked, each plain line is run."""
    lines = ["\nlocal function main()"]
    lines += [_line(one) for one in block.claims]
    return "\n".join(
        [*lines, "  return table.concat(wrong, '\\n    ')", "end", "return {main = main}"]
    )


def _line(claim: Claim) -> str:
    if not claim.gives:
        return f"  {claim.code}"
    got = f"pack(pcall(function() return {claim.code} end))"
    line = _quoted(claim.code)
    if claim.kind:
        return f"  claim.fails({line}, {got}, {_quoted(claim.kind)})"
    word = _WORD.match(claim.gives)
    if word:
        return f"  claim.{word[1]}({line}, {got}, {word[2]})"
    return f"  claim.values({line}, {got}, {claim.gives})"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# (not the "activity" of the option "activity.id")
_USED = re.compile(r'(?<![".])\b([a-z_]\w*)[.:]|require\("(\w+)"\)')
_FILES = HERE.parents[1] / "shared" / "luaflow" / "lua" / "library"
_MODULES = frozenset(path.stem for path in _FILES.glob("*.lua"))


def modules_of(source: str) -> tuple[str, ...]:
    """The modules that a program uses, by the definition files there are."""
    used = {name for pair in _USED.findall(source) for name in pair}
    return tuple(sorted(used & _MODULES))


def write_app(folder: Path, found: list[Program]) -> dict[str, Program]:
    """Write the app of these programs beside the entries they may use; entry id -> program."""
    entries: list[dict[str, Any]] = yaml.safe_load((HERE / "app.yaml").read_text())["entries"]
    ids: dict[str, Program] = {}
    (folder / "src").mkdir(parents=True)
    for number, program in enumerate(found):
        name = f"{program.context}_{number}"
        kind = "workflow" if program.context == "workflow" else "function"
        what = {"workflow": "workflow", "activity": "activity"}.get(program.context)
        entry: dict[str, Any] = {"name": name, "kind": f"{kind}.lua"}
        entry["source"] = f"file://{name}.lua"
        (folder / "src" / f"{name}.lua").write_text(program.source)
        entry |= {"method": "main", "modules": list(program.modules)}
        if what:
            entry["meta"] = {"temporal": {what: {"worker": "worker"}}}
        entries.append(entry)
        ids[f"app:{name}"] = program
    text = yaml.safe_dump({"namespace": "app", "entries": entries}, sort_keys=False)
    (folder / "src" / "_index.yaml").write_text(text)
    return ids
