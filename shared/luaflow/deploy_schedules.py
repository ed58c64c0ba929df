"""Deploying the schedules of an app: made, changed or removed as its entries say.

A schedule belongs to the registry namespace of its entry. Those that namespace deployed before and
has no more are removed; schedules that people made are never touched. One whose entry says what it
said is left as it is: somebody may have paused it.
"""

from __future__ import annotations

from typing import NamedTuple

from luaflow.client.schedules import ScheduleHandle, create_schedule
from luaflow.errors import Refused
from luaflow.registry.app import App
from luaflow.registry.schedules import ScheduleEntry
from luaflow.store.schedules import Schedule, all_schedules
from luaflow.store.store import Store


class ScheduleChange(NamedTuple):
    """What a deploy does to a schedule: ``new``, ``changed``, ``same`` or ``removed``.

    ``foreign``: somebody else made one of that id, and nothing is deployed.
    """

    schedule_id: str
    change: str


async def compare_schedules(store: Store, app: App) -> list[ScheduleChange]:
    """What ``deploy_schedules`` would do, by id."""
    known = {one.name: one for one in await all_schedules(store)}
    found = [ScheduleChange(e.id, _change(e, known.get(e.id))) for e in _entries(app).values()]
    spaces = {entry.namespace for entry in app.entries.values()}
    gone = [
        ScheduleChange(name, "removed")
        for name, one in known.items()
        if one.plan.owner in spaces and name not in _entries(app)
    ]
    return sorted(found + gone)


async def deploy_schedules(store: Store, app: App) -> list[ScheduleChange]:
    """Make the schedules of an app what its entries say; its workflows are deployed before.

    Raises Refused, with nothing written, where an id is that of a schedule somebody else made.
    """
    changes, entries = await compare_schedules(store, app), _entries(app)
    for name, change in changes:
        if change == "foreign":
            raise Refused(
                f"there is a schedule {name!r} that was not deployed with this app: delete it, or"
                " give the entry another name"
            )
    for name, change in changes:
        if change == "removed":
            await ScheduleHandle(store, name).delete()
            continue
        entry = entries[name]
        assert entry.plan is not None
        if change == "changed":
            await ScheduleHandle(store, name).replace(entry.plan)
        elif change == "new":
            state = {"paused": entry.paused, "limited_actions": entry.limited_actions}
            await create_schedule(store, name, entry.plan, state)
    return changes


def _entries(app: App) -> dict[str, ScheduleEntry]:
    return {
        key: entry
        for key, entry in app.entries.items()
        if isinstance(entry, ScheduleEntry) and entry.plan is not None
    }


def _change(entry: ScheduleEntry, known: Schedule | None) -> str:
    if known is None:
        return "new"
    if known.plan.owner != entry.namespace:
        return "foreign"
    return "same" if known.plan == entry.plan else "changed"
