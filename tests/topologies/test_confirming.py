"""What Sentinels may do to a durability level is said before it happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.mutants import proves, replaced
from tests.support.sentinel import Sentinels

from luaflow.store import checks
from luaflow.store.checks import check_server
from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings


@pytest.mark.parametrize(
    ("asks_for", "option"),
    [
        (lambda n: Settings(durability="replicated", replicas=n), "--replicas 2"),
        (lambda n: Settings(durability="fsynced", synced_replicas=n), "--synced-replicas 2"),
    ],
)
@proves(replaced(checks, "_replicas", lambda *_, **__: ()))
async def test_fewer_confirm_than_may_take_over(
    tmp_path: Path, asks_for: Callable[[int], Settings], option: str
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
                told = await check_server(link, asks_for(replicas))
            finally:
                await link.close()
            found = [one for one in told if one.check == "replicas"]
            assert [one.level for one in found] == ["warn"] * len(wanted)
            assert all(text in one.text for text, one in zip(wanted, found, strict=True)), found
            assert all(option in one.text for one in found)
