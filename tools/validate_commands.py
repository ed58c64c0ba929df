"""Are these command lines ones that our programs take? The program's own parser says so."""

from __future__ import annotations

from collections.abc import Sequence

import click

from luaflow_cli.main import cli
from luaflow_scheduler.cli import main as scheduler
from luaflow_worker.cli import main as worker

PROGRAMS: dict[str, click.Command] = {
    "luaflow": cli,
    "luaflow-worker": worker,
    "luaflow-scheduler": scheduler,
}


def wrong(words: Sequence[str]) -> str | None:
    """What is wrong with a command line, in a sentence; None when nothing is. Nothing is run."""
    name, *rest = words
    command = PROGRAMS.get(name)
    if command is None:
        return f"{name} is none of {', '.join(PROGRAMS)}"
    try:
        _parse(name, command, rest, None)
    except click.ClickException as error:
        return f"{' '.join(words)}: {error.format_message()}"
    return None


def _parse(
    name: str, command: click.Command, words: list[str], parent: click.Context | None
) -> None:
    with command.make_context(name, words, parent=parent, auto_envvar_prefix=None) as context:
        # (the words behind a group's options: the command and what it is given)
        rest = [*context._protected_args, *context.args]  # noqa: SLF001 - click has no name for it
        if not isinstance(command, click.Group):
            return
        _, below, words = command.resolve_command(context, rest)
        if below is not None:
            _parse(below.name or "", below, words, context)
