"""Lists of which one run is damaged, on the command line."""

from __future__ import annotations

from tests.support.commands import Commands
from tests.support.player import Player


async def _damage(player: Player) -> None:
    route = await player.store.route("bad")
    await player.store.read(("HSET", route.partition.run(route.run_id), "attrs", "{"))


def test_one_damaged_run_is_named_beside_the_list(luaflow: Commands) -> None:
    """The others are listed; the exit code says that something is missing."""
    for name in ("bad", "well"):
        assert luaflow("workflow", "start", "-t", "app:pay", "-w", name).code == 0
    luaflow.play(_damage)
    listed = luaflow("workflow", "list")
    assert listed.code == 1
    assert "well" in listed.out
    assert "bad" not in listed.out
    assert listed.err.startswith("error: the workflow 'bad' cannot be listed: what is stored of")
    assert "restore it from a backup, or terminate the run" in listed.err
    as_json = luaflow("workflow", "list", "-o", "json")
    assert (as_json.code, as_json.err) == (1, listed.err)
    assert [run["workflow_id"] for run in as_json.json["workflows"]] == ["well"]
    assert [run["workflow_id"] for run in as_json.json["damaged"]] == ["bad"]
    assert luaflow("workflow", "terminate", "-w", "bad", "-y").code == 0
