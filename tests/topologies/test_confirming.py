"""What Sentinels may do to a durability level is said before it happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.mutants import proves, replaced
from tests.support.sentinel import Sentinels

from luaflow.store import checks
from luaflow.store.checks import check_server
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings


def asked(number: str, replicas: int) -> dict[str, Any]:
    """How many replicas a namespace asks for, as settings."""
    return {number: replicas}


@pytest.mark.parametrize(
    ("durability", "number", "option"),
    [
        ("replicated", "replicas", "--replicas 2"),
        ("fsynced", "synced_replicas", "--synced-replicas 2"),
    ],
)
@proves(replaced(checks, "_replicas", lambda *_, **__: ()))
async def test_fewer_confirm_than_may_take_over(
    tmp_path: Path, durability: str, number: str, option: str
) -> None:
    """One of two replicas confirms, and the other one may be promoted; said only where one may."""
    async with Sentinels(tmp_path, sentinels=1) as group:
        for url, replicas, wanted in (
            (group.url, 1, ["1 of 2 replicas confirm what is written: one that has not"]),
            (group.url, 2, []),
            (group.primary.url, 1, []),
        ):
            link = make_link(url)
            try:
                settings = replace(Settings(durability=durability), **asked(number, replicas))
                told = await check_server(link, settings)
            finally:
                await link.close()
            found = [one for one in told if one.check == "replicas"]
            assert [one.level for one in found] == ["warn"] * len(wanted)
            assert all(text in one.text for text, one in zip(wanted, found, strict=True)), found
            assert all(option in one.text for one in found)
