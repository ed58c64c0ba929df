"""How answers look: JSON for programs, tables and lines for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import orjson

from luaflow.domain import values

if TYPE_CHECKING:
    from luaflow.domain.events import Event
    from luaflow.errors import WorkflowFailed

_COLOURS = {
    "running": "blue",
    "completed": "green",
    "failed": "red",
    "timed_out": "red",
    "canceled": "yellow",
    "terminated": "yellow",
    "continued_as_new": "cyan",
}


def dump(value: Any, *, pretty: bool = False) -> str:
    """The JSON of a plain value."""
    option = orjson.OPT_INDENT_2 if pretty else None
    return orjson.dumps(value, option=option).decode()


def show_json(value: Any) -> None:
    """Write one object, on one line."""
    click.echo(dump(value))


def counted(number: int, what: str) -> str:
    """A number with its noun: ``1 workflow``, ``2 workflows``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def show_fields(fields: Mapping[str, Any]) -> None:
    """Write names and values, one a line; what is a table is written as JSON."""
    width = max(map(len, fields))
    for name, value in fields.items():
        if value is None or value in ({}, []):
            continue
        text = value if isinstance(value, str) else dump(value)
        click.echo(f"{name:<{width}}  {text}")


def show_started(found: Mapping[str, Any], already: str, *, as_json: bool) -> None:
    """Write what a start led to; ``already``: it was there, in words ('' where it was not)."""
    if as_json:
        show_json({**found, **({"existed": True} if already else {})})
        return
    show_fields(found)
    if already:
        click.echo(f"{already}: nothing new was started")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table: with rich where it is installed and somebody looks, plain text else."""
    if sys.stdout is not None and sys.stdout.isatty() and _rich_table(columns, rows):
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in ([name.upper() for name in columns], *rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(table)
    return True


def show_result(value: Any, *, as_json: bool) -> None:
    """Write the result of a workflow or call."""
    tree = values.encode(value)
    if as_json:
        show_json({"status": "completed", "result": tree})
    else:
        click.echo(dump(tree, pretty=True))


def show_failure(error: WorkflowFailed, *, as_json: bool) -> None:
    """Write how a workflow or call failed: to standard output for programs, else to error."""
    details = values.encode(error.details) if error.details else None
    if as_json:
        shape = {
            "kind": error.kind,
            "message": error.message,
            "retryable": error.retryable,
            "details": details,
        }
        show_json({"status": error.status, "error": shape})
        return
    kind = f"{error.kind}: " if error.kind else ""
    click.echo(f"{error.status}: {kind}{error.message}", err=True)
    if details:
        click.echo(dump(details, pretty=True), err=True)


def show_event(event: Event, *, as_json: bool) -> None:
    """Write one event on one line."""
    if as_json:
        show_json(event.to_json())
        return
    from luaflow.client.looking import rfc3339

    body = event.raw.decode(errors="replace")
    shown = body if len(body) <= 160 else body[:159] + "\u2026"
    click.echo(f"{event.id:>5}  {rfc3339(event.ts)}  {event.type}  {shown if body != '{}' else ''}")
