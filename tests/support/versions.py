"""Which server a test or tool ran on, for the figures it writes."""

from __future__ import annotations

from typing import Any

import redis


def server_name(url: str) -> str:
    """Kind and version of a server: ``Valkey 9.1.2``."""
    with redis.Redis.from_url(url) as client:
        info: Any = client.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"
