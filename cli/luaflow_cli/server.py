"""``luaflow server``: is the server fit to keep workflows?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from luaflow_cli.common import common, place, run, settings

if TYPE_CHECKING:
    from luaflow.store.copying import Copied
    from luaflow.store.findings import Finding


@click.group()
@common()
def server() -> None:
    """Look at the server that keeps the workflows."""


@server.command()
@click.option(
    "--part",
    type=click.Choice(["worker", "scheduler", "serve", "deploy"]),
    help="Of which part of luaflow this is the user: what it needs.",
)
@common()
@click.pass_context
def check(ctx: click.Context, part: str | None) -> None:
    """Say what is wrong with the server, as workers and schedulers see it.

    Exit codes: 0 it is fit (there may be warnings), 5 it must not be used, 3 it cannot be reached.
    """
    from luaflow_cli.output import show_json

    address, found = run(_look(part or ""))
    fit = all(one.level != "refuse" for one in found)
    if settings().json:
        shapes = [{"check": f.check, "level": f.level, "text": f.text} for f in found]
        show_json({"server": address, "fit": fit, "findings": shapes})
    else:
        for one in found:
            click.echo(f"{one.level} ({one.check}): {one.text}")
        click.echo(f"{address}: {'fit' if fit else 'must not be used'}{_warnings(found)}")
    if not fit:
        ctx.exit(5)


@server.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@common()
def users(file: Path) -> None:
    """Make the users of an ACL file on the server, or make them anew; others stay.

    For servers whose files are out of reach. It has to be done again where the server does not
    keep its users, and on each node of a cluster by itself.
    """
    from luaflow_cli.output import show_json

    rules = _users_of(file)
    names = run(_make(rules))
    if settings().json:
        show_json({"users": names})
        return
    click.echo(f"made: {', '.join(names)}")


def _users_of(file: Path) -> list[list[str]]:
    """The rules of an ACL file: the name of a user, then what it may."""
    from luaflow.errors import InvalidArgument

    found = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not found or any(words[0] != "user" or len(words) < 3 for words in found):
        raise InvalidArgument(f"{file} is no ACL file: each line is 'user NAME rules…'")
    return [words[1:] for words in found]


async def _make(users: list[list[str]]) -> list[str]:
    from luaflow.client.client import DEFAULT_URL
    from luaflow.store.links import make_link
    from luaflow.store.users import make_users

    link = make_link(place()[0] or DEFAULT_URL, name="luaflow-cli")
    try:
        return await make_users(link, users)
    finally:
        await link.close()


def _warnings(found: list[Finding]) -> str:
    from luaflow_cli.output import counted

    warnings = sum(1 for one in found if one.level == "warn")
    return f", {counted(warnings, 'warning')}" if warnings else ""


async def _look(part: str) -> tuple[str, list[Finding]]:
    """What the server is, and what is wrong with it for the namespace."""
    from luaflow.client.client import DEFAULT_NAMESPACE, DEFAULT_URL
    from luaflow.store.checks import check_all, product_of
    from luaflow.store.store import Store

    url, namespace = place()
    store = await Store.open(url or DEFAULT_URL, namespace or DEFAULT_NAMESPACE, name="luaflow-cli")
    store.part = part
    try:
        return await product_of(store), await check_all(store)
    finally:
        await store.close()


@server.command()
@click.option("--from", "source", metavar="URL", required=True, help="Where the namespace is.")
@click.option("--to", "target", metavar="URL", required=True, help="Where it is to be.")
@common()
def copy(source: str, target: str) -> None:
    """Copy a namespace to another server: one server, Sentinel or a cluster.

    Stop all workers, schedulers and clients first. Every key is compared afterwards; the source is
    only read. Refused, exit code 5: a target that has the namespace, workers that are still there.
    """
    from luaflow_cli.output import show_json

    namespace = place()[1] or "default"
    done = run(_copy(source, target, namespace))
    if settings().json:
        show_json({"namespace": namespace, **done._asdict()})
    else:
        click.echo(f"copied and compared: {done.keys} keys, {done.bytes} bytes")
        click.echo(f"digest: {done.digest}")


async def _copy(source: str, target: str, namespace: str) -> Copied:
    from luaflow.store.copying import copy_namespace
    from luaflow.store.links import make_link

    ours, theirs = make_link(source), make_link(target)
    try:
        return await copy_namespace(
            ours, theirs, namespace, lambda text: click.echo(text, err=True)
        )
    finally:
        await ours.close()
        await theirs.close()
