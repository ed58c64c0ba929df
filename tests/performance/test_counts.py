"""A step costs what the table says, whatever the machine: round trips, commands, bytes, Lua.

After a change that is meant: ``make counts``, and commit ``tests/performance/counts.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from luaflow.client.ending import Ending
from luaflow.client.handle import Handle
from tests.performance.scenes import SCENES, count
from tests.performance.table import differences, read
from tests.support.mutants import altered_kernel, altered_script

REMEDY = "if that is meant: make counts, and commit tests/performance/counts.json"


@pytest.mark.parametrize("name", SCENES)
async def test_a_step_costs_what_the_table_says(
    name: str, tmp_path: Path, server_binary: Path | None
) -> None:
    """Neither more nor less: what became cheaper is written down, too, or it may be lost again.

    On a machine with other work things come together that are apart elsewhere: the best of three.
    """
    scene, was, found = SCENES[name], read()[name], list[str]()
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        found = differences(scene, was, await count(scene, folder, server_binary))
        if not found:
            return
    raise AssertionError("\n".join([*found, REMEDY]))


def test_the_table_has_every_scene_and_no_other() -> None:
    """A scene that is taken out takes its line along."""
    assert list(read()) == list(SCENES)


_result = Handle.result_heard


async def _looks_first(self: Handle, ending: Ending) -> Any:
    await self._store.read(("EXISTS", "x"))
    return await _result(self, ending)


Planted = Callable[[], AbstractContextManager[Any]]
PLANTED: dict[str, tuple[Planted, str]] = {
    "a command in a script": (
        partial(altered_script, "start", "touch()", "touch() redis.call('TIME')"),
        "commands in start",
    ),
    "a round trip": (partial(patch.object, Handle, "result_heard", _looks_first), "round_trips"),
    "work in Lua": (
        partial(
            altered_kernel,
            "budget",
            "  K.libs.begin(env)",
            "  for _ = 1, 500 do end K.libs.begin(env)",
        ),
        "lua_instructions",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
async def test_what_is_planted_is_found(
    name: str, tmp_path: Path, server_binary: Path | None
) -> None:
    """One command, one round trip, a hundred instructions more in each step."""
    plant, told = PLANTED[name]
    with plant():
        now = await count(SCENES["order"], tmp_path, server_binary)
    found = differences(SCENES["order"], read()["order"], now)
    assert any(told in line and "worse" in line for line in found), found
