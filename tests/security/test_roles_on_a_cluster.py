"""What roles need besides on a Redis Cluster, as deploy/redis/README.md says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.security.roles import DAYS, Town
from tests.support.acl import FILE
from tests.support.cluster import Cluster

from luaflow.errors import Refused

pytestmark = pytest.mark.heavy


def extra() -> list[str]:
    """The rules that the page names."""
    page = FILE.with_name("README.md").read_text()
    found = re.search(r"Redis Cluster:\*\* `([^`]+)`", page)
    assert found
    return found[1].split()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[str]:
    async with Cluster(tmp_path / "cluster", primaries=1, replicas=0) as group:
        yield group.url


@pytest.mark.parametrize("role", [role for role in DAYS if role != "metrics"])
async def test_each_role_can_do_its_work(cluster: str, tmp_path: Path, role: str) -> None:
    """Its whole day on a node of a cluster."""
    town = Town(cluster, "town", tmp_path / "app", extra=extra())
    await town.build()
    await DAYS[role](town)
    assert not town.said


async def test_without_them_nobody_is_found(cluster: str, tmp_path: Path) -> None:
    """Who may not ask for the slots is told so."""
    rules = [rule for rule in extra() if rule != "+cluster|slots"]
    town = Town(cluster, "town", tmp_path / "app", extra=rules)
    await town.build()
    with pytest.raises(Refused, match=r"run the command 'cluster\|slots'"):
        await DAYS["reader"](town)
