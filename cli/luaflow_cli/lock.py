"""``luaflow lock``: who has a lock or a slot, and who waits; what a lost run has is given back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from luaflow_cli.common import common, connect, run, settings

if TYPE_CHECKING:
    from luaflow.store.store import Store

T = TypeVar("T")


@click.group()
@common()
def lock() -> None:
    """See who has a lock, or a slot of a concurrency limit, and who waits for it."""


@lock.command()
@click.argument("key")
@common()
def show(key: str) -> None:
    """Show who has a lock, and who stands in line, the first 64 of each.

    KEY is that of the lock as the code has it, or a slot as describe shows it ("slot app:pay").
    """
    from luaflow_cli.output import show_json

    found = run(_with_store(_look, key))
    if settings().json:
        show_json({"key": key, **found})
        return
    for state in ("held", "waiting"):
        for one in found[state]:
            gone = "  (gone: 'luaflow lock release' gives it back)" if one["gone"] else ""
            click.echo(f"{state:<8} {one['workflow_id']}  {one['run_id']}{gone}")
    if not found["held"] and not found["waiting"]:
        click.echo(f"{key}: nobody has it, and nobody waits")


@lock.command()
@click.argument("key")
@common()
def release(key: str) -> None:
    """Give back what runs have, or stand in line for, that are over or were lost.

    A run that lives keeps its lock: cancel or terminate it.
    """
    from luaflow_cli.output import counted, show_json

    names = run(_with_store(_give_back, key))
    if settings().json:
        show_json({"key": key, "released": names})
    else:
        click.echo(f"{key}: {counted(len(names), 'run')} that are gone gave it back")


async def _with_store(verb: Callable[[Store, str], Awaitable[T]], key: str) -> T:
    async with await connect() as client:
        *others, last = _spellings(key)
        for text in others:
            if await _is_known(client.store, text):
                return await verb(client.store, text)
        return await verb(client.store, last)


async def _is_known(store: Store, key: str) -> bool:
    from luaflow.store.holders import holders

    return bool(await holders(store, key) or await holders(store, key, line=True))


def _spellings(key: str) -> list[str]:
    """What a key may stand for: the parts of a slot's are told with blanks between them."""
    if not key.startswith("slot "):
        return [key]
    _, scope, *value = key.split(" ", 2)
    return [f"slot\n{scope}\n{''.join(value)}", f"slot\n\n{key[5:]}", key]


async def _look(store: Store, key: str) -> dict[str, Any]:
    from luaflow.store.holders import holders

    found = {"held": await holders(store, key), "waiting": await holders(store, key, line=True)}
    return {
        state: [
            {"workflow_id": one.workflow_id, "run_id": one.run_id, "gone": one.gone} for one in some
        ]
        for state, some in found.items()
    }


async def _give_back(store: Store, key: str) -> list[str]:
    from luaflow.domain.ids import partition_of
    from luaflow.store.holders import give_back, holders
    from luaflow.store.relay import drain_outbox

    some = [*await holders(store, key), *await holders(store, key, line=True)]
    names = []
    for one in some:
        if one.gone and (await store.one(give_back(store, key, one)))[0] == b"ok":
            names.append(one.workflow_id)
            home = int(one.member.split("|")[0])
            await drain_outbox(store, home, partition_of(key, len(store.partitions)))
    return names
