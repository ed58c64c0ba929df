"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from luaflow_cli.common import Json

F = TypeVar("F", bound=Callable[..., Any])


def target(function: F) -> F:
    """Add the options that name a run."""
    function = click.option("-r", "--run-id", metavar="ID", help="This run of it.")(function)
    options: dict[str, Any] = {"required": True, "metavar": "ID", "help": "The workflow."}
    return click.option("-w", "--workflow-id", **options)(function)


def arguments(function: F) -> F:
    """Add the options that give arguments; ``parse_inputs`` reads them."""
    function = click.option(
        "--input-file", metavar="FILE", help="A file that holds one argument as JSON."
    )(function)
    return click.option(
        *("-i", "--input", "inputs"),
        type=Json(),
        multiple=True,
        metavar="JSON",
        help='An argument, such as \'{"name": "Ada"}\' or \'"text"\'; repeatable.',
    )(function)
