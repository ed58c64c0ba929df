"""What all commands share: where Redis is, how answers look, what errors cost."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from luaflow import Client
    from luaflow.registry import App

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """The common options of one call; None where nothing was said."""

    redis: str | None = None
    namespace: str | None = None
    app: str | None = None
    output: str = "text"

    @property
    def json(self) -> bool:
        """Whether answers are for programs."""
        return self.output == "json"


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        setattr(ctx.ensure_object(Settings), str(param.name), value)


def common(*, environment: bool = False) -> Callable[[F], F]:
    """Add the common options, which may stand before and after the command's name.

    ``environment`` is for the group: a variable must not beat what was typed.
    """
    specs = (
        ("--redis", "LUAFLOW_REDIS_URL", "Where Redis is.", {"metavar": "URL"}),
        ("--namespace", "LUAFLOW_NAMESPACE", "The namespace.", {"metavar": "NAME"}),
        ("--app", "LUAFLOW_APP", "The app folder.", {"metavar": "DIR"}),
        ("--output", "LUAFLOW_OUTPUT", "How answers look.", {"type": _OUTPUTS}),
    )

    def add(function: F) -> F:
        for name, variable, text, more in reversed(specs):
            names = ("-o", name) if name == "--output" else (name,)
            options: dict[str, Any] = {"expose_value": False, "callback": _keep, "help": text}
            if environment:
                options |= {"envvar": variable, "show_envvar": True}
            function = click.option(*names, **options, **more)(function)
        return function

    return add


class Json(click.types.StringParamType):
    """JSON that was typed; in a variable, spaces do not divide it into several."""

    name = "json"

    def split_envvar_value(self, rv: str) -> list[str]:
        """Take a variable as one value."""
        return [rv]


def name_variables(command: click.Command) -> None:
    """Give each option of a command, and of those below it, the variable ``LUAFLOW_<OPTION>``.

    Not the common options: those of the group read theirs, and what was typed before a verb must
    not be beaten by a variable that its verb reads again.
    """
    for param in command.params:
        if isinstance(param, click.Option) and param.expose_value and param.envvar is None:
            option = max(param.opts, key=len).lstrip("-")
            param.envvar = f"LUAFLOW_{option.replace('-', '_').upper()}"
    if isinstance(command, click.Group):
        for one in command.commands.values():
            name_variables(one)


_OUTPUTS = click.Choice(["text", "json"])


def settings() -> Settings:
    """The common options of this call."""
    return click.get_current_context().ensure_object(Settings)


def typed(ctx: click.Context, name: str) -> bool:
    """Whether a common option was typed in this call, and not taken from the environment."""
    words = click.core.ParameterSource.COMMANDLINE
    at: click.Context | None = ctx
    while at is not None:
        if at.get_parameter_source(name) is words:
            return True
        at = at.parent
    return False


def report(error: Exception) -> int:
    """Tell an error in one message on standard error; return the exit code."""
    from luaflow.errors import LuaflowError, exit_code

    if isinstance(error, BrokenPipeError):  # whoever reads us has seen enough
        sys.stdout = None
        return 0
    if isinstance(error, LuaflowError):
        for warning in getattr(error, "warnings", ()):  # of an app that does not load
            click.echo(f"warning: {warning}", err=True)
        click.echo(f"error: {error.message}", err=True)
        if "cannot reach Redis" in error.message and "LUAFLOW_REDIS_URL" not in os.environ:
            click.echo("LUAFLOW_REDIS_URL says where it is: luaflow dev prints the line", err=True)
        return exit_code(error)
    if isinstance(error, OSError):
        click.echo(f"error: {error}", err=True)
        return 1
    name = type(error).__name__
    click.echo(
        f"error: unexpected {name}: {error} (LUAFLOW_DEBUG=1 shows where; please report it)",
        err=True,
    )
    return 1


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end."""
    import asyncio

    return asyncio.run(work)


async def connect() -> Client:
    """A client of the namespace that the options name, or else the app of ``--app``."""
    from luaflow.client import Client

    return await Client.connect(*place())


def place(app: App | None = None) -> tuple[str | None, str | None]:
    """Where to work: address and namespace as given, else as the app's client entries say."""
    given = settings()
    url, namespace = given.redis, given.namespace
    if app is None and given.app and not (url and namespace):
        app = load_app(given.app)
    if app is not None:
        entries = app.clients.values()
        url = url or _agreed({entry.address for entry in entries})
        namespace = namespace or _agreed({entry.target_namespace for entry in entries})
    return url, namespace


def _agreed(words: set[str]) -> str | None:
    return words.pop() if len(words) == 1 else None


def load_app(path: str | None) -> App:
    """The app of a folder; the one of ``--app``, or this folder, without a path."""
    from luaflow.registry import load_app as load

    return load(Path(path or settings().app or "."))


def parse_json(text: str, what: str) -> Any:
    """The value of JSON that was typed; InvalidArgument that shows how to write text."""
    from luaflow.domain import values
    from luaflow.errors import InvalidArgument

    try:
        return values.loads(text)
    except InvalidArgument as error:
        if not error.message.startswith("not JSON"):
            raise InvalidArgument(f"{what} {text[:80]!r} cannot be stored: {error}") from None
        hint = f""" (text is written '{json.dumps(text)}')""" if len(text) < 40 else ""
        raise InvalidArgument(f"{what} {text[:80]!r} is {error}{hint}") from None


def parse_inputs(texts: tuple[str, ...], file: str | None = None) -> list[Any]:
    """The values of ``--input``, or of a file that holds one JSON value."""
    from luaflow.errors import InvalidArgument

    if file is None:
        return [parse_json(text, "the input") for text in texts]
    if texts:
        raise InvalidArgument("give --input or --input-file, not both")
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the input file cannot be read: {error}") from None
    return [parse_json(text, f"the input file {file}:")]


def parse_pairs(pairs: tuple[str, ...], option: str) -> dict[str, Any] | None:
    """The table of ``KEY=JSON`` options; None without any."""
    from luaflow.errors import InvalidArgument

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InvalidArgument(f"{option} {pair!r} must be KEY=JSON")
        found[key] = parse_json(text, f"{option} {key}")
    return found or None


def tell(verb: Callable[[Client], Any], found: dict[str, Any], text: str) -> None:
    """Do something that has no answer, then say so: as JSON (``found``) or in words."""
    from luaflow_cli.output import show_json

    async def work() -> None:
        async with await connect() as client:
            await verb(client)

    run(work())
    if settings().json:
        show_json(found)
    else:
        click.echo(text)
