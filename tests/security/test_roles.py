"""The users of deploy/redis/users.acl: each can do its work, and nothing it has is idle."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.security.roles import DAYS, WITHIN, Town, expected
from tests.support import acl
from tests.support.keys import forget
from tests.support.topology import client_of

from luaflow.errors import LuaflowError
from luaflow.store.link import Link

GRACE = 1.0
"""Seconds a day may go on after something was refused."""
pytestmark = pytest.mark.one_server("users are of one server")


@pytest.fixture
def name(redis_url: str) -> Iterator[str]:
    """A namespace that may be left in any state."""
    found = f"acl-{uuid.uuid4().hex[:8]}"
    yield found
    with client_of(redis_url) as client:
        forget(client, found)


@pytest.fixture
async def admin(redis_url: str, name: str) -> AsyncIterator[Link]:
    """A link of one who may do anything; the users of the test go with it."""
    link = Link(redis_url)
    yield link
    await acl.drop_users(link, name)
    await link.close()


@pytest.fixture
async def town(redis_url: str, name: str, tmp_path: Path, admin: Link) -> Town:
    """The app of all roles, in a namespace of this test."""
    found = Town(redis_url, name, tmp_path / "app")
    await found.build()
    return found


async def refused(town: Town, admin: Link, role: str) -> set[str]:
    """What the server refuses the user of a role in its day, which ends with the first of it."""
    user = f"{town.namespace}-{role}"

    async def unexpected() -> set[str]:
        return set(await acl.refusals(admin, user)) - expected(role)

    day = asyncio.ensure_future(DAYS[role](town))
    try:
        async with asyncio.timeout(WITHIN):
            while not day.done() and not await unexpected():
                await asyncio.wait({day}, timeout=0.02)
        # it mostly ends by itself, and tidily; what waits for what never comes does not
        await asyncio.wait({day}, timeout=GRACE)
    finally:
        day.cancel()
        (ended,) = await asyncio.gather(day, return_exceptions=True)
    found = await unexpected()
    if isinstance(ended, LuaflowError):
        found.add(ended.message)
    elif isinstance(ended, Exception) and not found:
        raise ended
    return found


@pytest.mark.parametrize("role", DAYS)
async def test_each_role_can_do_its_work(town: Town, admin: Link, role: str) -> None:
    """Its whole day, with nothing refused, and nothing to be said about it at the start."""
    assert not await refused(town, admin, role)
    assert not town.said


PERMISSIONS = [
    (role, rule) for role, rules in acl.users("ns").items() for rule in rules if rule[0] in "~%&+"
]


@pytest.mark.heavy
@pytest.mark.parametrize(("role", "rule"), PERMISSIONS, ids=map(" ".join, PERMISSIONS))
async def test_no_permission_is_idle(town: Town, admin: Link, role: str, rule: str) -> None:
    """Without any one of them something of its day is refused."""
    mine = rule.replace("ns", town.namespace) if rule[0] != "+" else rule
    rules = acl.users(town.namespace)[role]
    assert mine in rules
    await acl.make_user(admin, town.namespace, role, [one for one in rules if one != mine])
    assert await refused(town, admin, role), f"{role} does not need {rule}"
