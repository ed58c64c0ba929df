"""docs/reference/lua.md: the page of the Lua API, from its definition files."""

from __future__ import annotations

from collections.abc import Iterator

from tools.lua_library import IN_WORKFLOWS, Block, Claim, Row, Section, read_library, type_of

INTRO = """\
Every module, function and constant that Lua code may use. The same text is in the definition files
that `luaflow init` places for editors. **Each example is run by a test**: in the context that its
first line names, else in workflows, functions and activities, as far as its function may be used
there; `--> nil, Invalid` claims that the second result is an error of that kind.

What stands under *workflows*:
"""

CONTEXTS = {
    "workflow": "a workflow",
    "function": "a function",
    "activity": "an activity",
    "handler": "a handler",
    "form": "a handler of a form",
}


def lua_page(note: str) -> list[str]:
    """The lines of the page."""
    lines = ["# Lua", "", note, INTRO]
    lines += [f"- **{word}**: {meaning}" for word, meaning in IN_WORKFLOWS.items()]
    library = read_library()
    for name in sorted(library, key=lambda one: (one == "absent", one)):
        lines += ["", f"## {name}"]
        for section in library[name]:
            lines += list(_section(section, name))
    return lines


def _section(section: Section, file: str) -> Iterator[str]:
    yield ""
    if section.name not in (file, "globals"):
        yield f"### {section.name}"
        yield ""
    if section.text:
        yield section.text
        yield ""
    constants = [row for row in section.rows if row.constant]
    if section.kind == "shape":
        yield "| field | type | |"
        yield "|---|---|---|"
        for row in constants:
            kind = row.returns[0].replace("|", "\\|")
            yield f"| `{row.name}` | `{kind}` | {row.text} |"
        yield ""
    elif constants:
        yield "| constant | value | |"
        yield "|---|---|---|"
        for row in constants:
            value = f"`{row.value}`" if row.value else row.returns[0]
            yield f"| `{row.name}` | {value} | {row.text} |"
        yield ""
    for row in section.rows:
        if not row.constant:
            yield from _row(row)


def _row(row: Row) -> Iterator[str]:
    yield f"**`{row.signature}`** {_returns(row)}"
    yield ""
    yield row.text
    yield ""
    where = f"Workflows: {row.workflows}."
    if row.elsewhere != "everywhere":
        where += f" Elsewhere: {row.elsewhere}."
    yield where
    yield ""
    for block in row.blocks:
        yield from _block(block)
    for proof in row.proofs:
        yield f"Shown by `{proof}`."
        yield ""


def _returns(row: Row) -> str:
    types = [type_of(one) for one in row.returns]
    return f"→ `{', '.join(types)}`" if types else ""


def _block(block: Block) -> Iterator[str]:
    yield "```lua"
    if block.context:
        yield f"-- in {' or '.join(CONTEXTS[one] for one in block.context.split())}"
    for claim in block.claims:
        yield _claim(claim)
    yield "```"
    yield ""


def _claim(claim: Claim) -> str:
    return f"{claim.code} --> {claim.gives}" if claim.gives else claim.code
