"""How far something is, while it runs: a bar where rich is installed, else a line now and then.

It goes to standard error, and only where somebody looks: programs read standard output.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import click

LINE_SECONDS: Final = 1.0
"""How often a line is written where there is no bar."""


class Step(Protocol):
    """Something that goes on; ``total`` and what is done count the same things."""

    def __call__(self, done: float) -> None:
        """Say how much is done by now."""


@contextmanager
def progress(what: str, total: float, unit: str) -> Iterator[Step]:
    """Show how far something of so many ``unit`` is; what is entered takes how many are done."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done: None  # noqa: ARG005 - nobody looks
        return
    try:
        from rich import progress as bars
        from rich.console import Console
    except ImportError:
        yield _Lines(what, total, unit)
        return
    columns: tuple[Any, ...] = (
        bars.TextColumn("{task.description:<6}"),
        bars.BarColumn(),
        bars.TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {unit}"),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=min(done, total))


class _Lines:
    """A line a second."""

    def __init__(self, what: str, total: float, unit: str) -> None:
        self._words = (what, total, unit)
        self._last = time.monotonic()

    def __call__(self, done: float) -> None:
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            what, total, unit = self._words
            click.echo(f"{what}: {min(done, total):,.0f} of {total:,.0f} {unit}", err=True)
