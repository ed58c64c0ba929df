"""``luaflow server``: is the server fit to keep workflows?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luaflow_cli.common import common, place, run, settings

if TYPE_CHECKING:
    from luaflow.store.findings import Finding


@click.group()
@common()
def server() -> None:
    """Look at the server that keeps the workflows."""


@server.command()
@common()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Say what is wrong with the server, as workers and schedulers see it.

    Exit codes: 0 it is fit (there may be warnings), 5 it must not be used, 3 it cannot be reached.
    """
    from luaflow_cli.output import show_json

    address, found = run(_look())
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


def _warnings(found: list[Finding]) -> str:
    from luaflow_cli.output import counted

    warnings = sum(1 for one in found if one.level == "warn")
    return f", {counted(warnings, 'warning')}" if warnings else ""


async def _look() -> tuple[str, list[Finding]]:
    """What the server is, and what is wrong with it for the namespace."""
    from luaflow.client.client import DEFAULT_NAMESPACE, DEFAULT_URL
    from luaflow.store.checks import check_all, product_of
    from luaflow.store.store import Store

    url, namespace = place()
    store = await Store.open(url or DEFAULT_URL, namespace or DEFAULT_NAMESPACE, name="luaflow-cli")
    try:
        return await product_of(store), await check_all(store)
    finally:
        await store.close()
