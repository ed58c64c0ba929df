"""``luaflow deploy``: an app's workflows become known to a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luaflow_cli.check import look, show_warnings
from luaflow_cli.common import common, load_app, place, run, settings

if TYPE_CHECKING:
    from luaflow.deploy_schedules import ScheduleChange
    from luaflow.store.deployed import DeployedType


@click.command()
@click.argument("folder", required=False, metavar="[APP]")
@click.option("--check", "only_check", is_flag=True, help="Show what would change; store nothing.")
@common()
def deploy(folder: str | None, *, only_check: bool) -> None:
    """Store an app's workflows in Redis."""
    from luaflow.client import Client
    from luaflow.deploy import compare
    from luaflow.deploy import deploy as store_app
    from luaflow.deploy_schedules import compare_schedules, deploy_schedules
    from luaflow.store.checks import check_at_start

    loaded = load_app(folder)
    show_warnings(look(loaded))

    async def work() -> tuple[str, list[tuple[DeployedType, str]], list[ScheduleChange]]:
        async with await Client.connect(*place(loaded)) as client:
            found = await compare(client.store, loaded)
            if only_check:
                return client.namespace, found, await compare_schedules(client.store, loaded)
            client.store.part = "deploy"
            await check_at_start(client.store)
            await store_app(client.store, loaded)
            return client.namespace, found, await deploy_schedules(client.store, loaded)

    namespace, found, schedules = run(work())
    _show(namespace, found, schedules, stored=not only_check)


def _show(
    namespace: str,
    found: list[tuple[DeployedType, str]],
    schedules: list[ScheduleChange],
    *,
    stored: bool,
) -> None:
    from luaflow_cli.output import show_json, show_table

    if settings().json:
        types = [{**one._asdict(), "change": change} for one, change in found]
        changes = [one._asdict() for one in schedules]
        show_json(
            {"namespace": namespace, "deployed": stored, "types": types, "schedules": changes}
        )
        return
    if not found and not schedules:
        click.echo("the app has no workflow that a worker runs: there is nothing to deploy")
        return
    show_table(
        ("type", "task_queue", "bundle", "change"),
        [[one.type, one.task_queue, one.bundle, change] for one, change in found],
    )
    if schedules:
        click.echo()
        show_table(("schedule", "change"), schedules)
    click.echo(f"{'deployed to' if stored else 'not deployed to'} the namespace '{namespace}'")
