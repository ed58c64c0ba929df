"""The guards of tests/conftest.py bite."""

from __future__ import annotations

import redis.asyncio
from tests.support.keys import leftover_keys
from tests.support.topology import client_of


async def test_key_without_owner_is_found(
    raw: redis.asyncio.Redis, redis_url: str, namespace: str
) -> None:
    """Permanent, owned and expiring keys pass; a history without its run does not."""
    prefix = f"lf:{{{namespace}:3}}:"
    await raw.set(prefix + "meta", 1)
    await raw.set(prefix + "run:r1", 1)
    await raw.set(prefix + "hist:r1", 1)
    await raw.set(prefix + "sess:s", 1, ex=60)
    await raw.set(f"lf:{namespace}:types", 1)
    await raw.set(prefix + "hist:lost:x", 1)
    await raw.set(prefix + "odd", 1)
    await raw.set(f"lf:{namespace}:odd", 1)
    with client_of(redis_url) as server:
        found = leftover_keys(server, namespace)
    assert found == sorted([prefix + "hist:lost:x", prefix + "odd", f"lf:{namespace}:odd"])
    await raw.delete(*found)
