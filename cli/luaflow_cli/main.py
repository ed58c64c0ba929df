"""The ``luaflow`` command: loads what a command needs when it is called, and reports errors."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from luaflow_cli.common import common, name_variables, report

COMMANDS = {
    "workflow": "Start, watch, signal and end workflows.",
    "activity": "Run functions through a task queue, end activities from outside.",
    "schedule": "Start workflows again and again, at times.",
    "lock": "See who has a lock, give back what a lost run has.",
    "namespace": "Create and change namespaces.",
    "server": "Look at the server: is it fit to keep workflows?",
    "build": "List and delete builds.",
    "deploy": "Store an app's workflows in Redis.",
    "check": "Look for mistakes in an app.",
    "test": "Run the test entries of an app.",
    "call": "Call a function or run a workflow, and print its result.",
    "init": "Make a first app, and place what editors need.",
    "serve": "Serve the HTTP services of an app, and the HTTP API.",
    "dev": "Run everything for an app on this machine.",
    "bench": "Measure rates and times against your Redis.",
    "demo": "Watch an order survive the death of everything that runs it.",
}
"""Each command's name and one line about it; it lives in the module of that name."""


class Commands(click.Group):
    """The commands of ``COMMANDS``; ``--help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of their first use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(importlib.import_module(f"luaflow_cli.{cmd_name}"), cmd_name)
        name_variables(found)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing what is on it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whatever goes wrong is one message and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            if os.environ.get("LUAFLOW_DEBUG"):
                raise
            ctx.exit(report(error))


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        import luaflow

        click.echo(f"luaflow {luaflow.__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version.",
)
@common(environment=True)
def cli() -> None:
    """Durable workflows in Lua, on Redis.

    Exit codes: 0 done, 1 the workflow or call failed, 2 usage, 3 Redis cannot be reached,
    4 not found, 5 refused. Every option --some-option may also be given as LUAFLOW_SOME_OPTION,
    --redis as LUAFLOW_REDIS_URL.
    """


def main() -> None:
    """Run the command line of this process."""
    for number, word in enumerate(sys.argv[1:], 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            click.echo(f"error: argument {number}, {word!r}, is not UTF-8 text", err=True)
            sys.exit(2)
    try:
        cli(prog_name="luaflow")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
