"""``luaflow build``: the builds of worker deployments that runs can be started with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luaflow_cli.common import common, place, run, settings

if TYPE_CHECKING:
    from luaflow.client import Client


@click.group()
@common()
def build() -> None:
    """List and delete builds."""


@build.command("list")
@common()
def list_() -> None:
    """List the builds that were deployed."""
    from luaflow.store.deployed import list_builds
    from luaflow_cli.output import show_json, show_table

    async def work() -> dict[tuple[str, str], dict[str, str]]:
        async with await _client() as client:
            return await list_builds(client.store)

    found = run(work())
    if settings().json:
        builds = [
            {"deployment": deployment, "build": name, "bundles": types}
            for (deployment, name), types in found.items()
        ]
        show_json({"builds": builds})
        return
    rows = [[*key, kind, bundle] for key, types in found.items() for kind, bundle in types.items()]
    show_table(("deployment", "build", "type", "bundle"), rows)


@build.command()
@click.argument("deployment")
@click.argument("build_id", metavar="BUILD")
@common()
def delete(deployment: str, build_id: str) -> None:
    """Delete a build; runs that began with it go on."""
    from luaflow.store.deployed import delete_build
    from luaflow_cli.output import show_json

    async def work() -> int:
        async with await _client() as client:
            return await delete_build(client.store, deployment, build_id)

    types = run(work())
    if settings().json:
        show_json({"deployment": deployment, "build": build_id, "types": types})
        return
    click.echo(f"the build {build_id} of {deployment} is deleted ({types} workflow types)")


async def _client() -> Client:
    from luaflow.client import Client

    return await Client.connect(*place())
