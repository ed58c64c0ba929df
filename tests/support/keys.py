"""Which keys a test may leave behind: those with a time to live, an owner, or a fixed name.

A key that is none of these is garbage nobody would ever delete: growth without a bound.
"""

from __future__ import annotations

import re

from redis import Redis

from luaflow.store import keys
from luaflow.store.store import Store

# Of fixed number for each partition or queue: they stay as long as the namespace.
PERMANENT = {"meta", "timers", "leases", "gc", "vis", "jobs", "tq", "outbox", "mark"}
# Kept until somebody deletes it, as its index has it.
PERMANENT |= {"schedule", "schedules"}
# Deleted together with the key of the same name in another family.
OWNED_BY = {"hist": "run", "pend": "run"}
# Deleted by the retention, so their name must be in the partition's gc set once closed.
LIVING = {"wf", "run"}
# Of a namespace, outside partitions.
SHARED = {"types", "hosts", "builds", "workers", "bundle", "lanes"}


async def keys_like(store: Store, pattern: str) -> list[str]:
    """The keys of a pattern, on whichever server they are, sorted."""
    found = await store.each_server(("KEYS", pattern))
    return sorted({bytes(key).decode() for (names,) in found.values() for key in names})


def leftover_keys(server: Redis, namespace: str) -> list[str]:
    """The keys of the namespace that nothing will ever delete, sorted."""
    partitions = re.compile(
        rf"lf:\{{{re.escape(namespace)}:\d+\}}:(?P<family>[^:]+)(?::(?P<rest>.*))?\Z", re.DOTALL
    )
    name = re.escape(namespace)
    shared = re.compile(rf"lf:(?:{name}|\{{{name}\}}):(?P<family>[^:]+)(?::.*)?\Z", re.DOTALL)
    return sorted(
        name
        for key in server.scan_iter(match="lf:*", count=1000)
        if not _accounted_for(server, name := key.decode(), partitions, shared)
    )


def forget(server: Redis, namespace: str) -> None:
    """Delete all keys of the namespace."""
    for pattern in (f"lf:{{{namespace}[:}}]*", f"lf:{namespace}:*"):
        for key in server.scan_iter(match=pattern, count=1000):
            server.unlink(key)
    server.hdel("lf:namespaces", namespace)


def _accounted_for(
    server: Redis, name: str, partitions: re.Pattern[str], shared: re.Pattern[str]
) -> bool:
    if found := shared.match(name):
        return found["family"] in SHARED or server.ttl(name) != -1
    if not (found := partitions.match(name)):
        return True  # of another namespace
    family, rest = found["family"], found["rest"]
    if family in PERMANENT | LIVING or server.ttl(name) != -1:
        return True
    namespace = name[name.index("{") + 1 : name.index("}")].rpartition(":")[0]
    if family == "sticky" and server.zscore(keys.workers(namespace), found["rest"]) is not None:
        return True  # of a worker that is listed: schedulers remove it with the worker
    if family == "job":
        return server.hget(name, "status") == b"running"  # one that has ended has a time to live
    owner = OWNED_BY.get(family)
    if owner is None:
        return False
    prefix = name[: name.index("}:") + 2]
    return bool(server.exists(f"{prefix}{owner}:{rest}"))
