"""Workflow types: where the code of a type is and which queue it runs on, as deployed."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import orjson

from luaflow.domain.ids import closest
from luaflow.errors import NotFound
from luaflow.store import keys
from luaflow.store.store import Store

KNOWN_SECONDS: Final = 0.2
"""How long a process may go by what it read of a type; a deploy that changes one waits as long."""


class DeployedType(NamedTuple):
    """A workflow type as ``luaflow deploy`` left it; ``host`` and ``client`` are entry ids.

    ``versioning`` is "auto_upgrade" where its runs move to the newest code by themselves.
    ``input_schema`` is JSON text; '' where the input is not checked. ``flow`` is what limits its
    runs (``luaflow.domain.flow``), '' for nothing. ``retention``: JSON, ms by outcome; '' as usual.
    """

    type: str
    entry_id: str
    bundle: str
    task_queue: str
    host: str
    client: str
    versioning: str = ""
    input_schema: str = ""
    flow: str = ""
    retention: str = ""

    def to_bytes(self) -> bytes:
        """The JSON that stands in the types table."""
        found = self._asdict()
        if not self.input_schema:
            del found["input_schema"]
        if not self.retention:
            del found["retention"]
        return orjson.dumps(found)

    @classmethod
    def from_bytes(cls, text: bytes) -> DeployedType:
        """Read what ``to_bytes`` wrote; fields of newer releases are left out."""
        found = orjson.loads(text)
        given = {name: str(found[name]) for name in cls._fields if name in found}
        return cls(**given)


async def host_of(store: Store, host: str) -> tuple[str, str]:
    """The client entry and the task queue of a worker entry.

    Any other host is the name of a task queue itself (contract 7.4), with no client; an entry id
    is no such name: NotFound.
    """
    (found,) = await store.read(("HGET", keys.hosts(store.namespace), host))
    if found is None and ":" in host:
        raise NotFound(f"there is no temporal.worker {host!r} in '{store.namespace}': deploy it")
    if found is None:
        return "", host
    place = orjson.loads(found)
    return str(place["client"]), str(place["task_queue"])


async def resolve(store: Store, name: str) -> DeployedType:
    """The deployed type of a type name or entry id; NotFound, saying what there is, without one.

    It may be ``KNOWN_SECONDS`` old, counted from before it was asked for: so long a deploy takes
    back nothing, and a client that starts many runs of a type asks for it a few times a second.
    """
    now = asyncio.get_running_loop().time()
    if name in store.types and now < store.types[name][1]:
        return store.types[name][0]
    (found,) = await store.read(("HGET", keys.types(store.namespace), name))
    if found is not None:
        deployed = DeployedType.from_bytes(found)
        store.types[name] = deployed, now + KNOWN_SECONDS
        return deployed
    (pairs,) = await store.read(("HGETALL", keys.types(store.namespace)))
    names = sorted({DeployedType.from_bytes(text).type for text in pairs[1::2]})
    hint = _hint(name, names)
    raise NotFound(f"there is no workflow type {name!r} in '{store.namespace}': {hint}")


def build_field(deployment: str, build: str, name: str) -> str:
    """The field of the table of builds for a workflow type or entry id."""
    return f"{deployment}\0{build}\0{name}"


async def resolve_build(store: Store, name: str, deployment: str, build: str) -> DeployedType:
    """The type as a deploy of that build registered it; NotFound when none did."""
    field = build_field(deployment, build, name)
    (found,) = await store.read(("HGET", keys.builds(store.namespace), field))
    if found is None:
        raise NotFound(
            f"there is no workflow type {name!r} of the build {build!r} of {deployment!r} in"
            f" '{store.namespace}': deploy that build, or name one that was deployed"
        )
    return DeployedType.from_bytes(found)


async def list_builds(store: Store) -> dict[tuple[str, str], dict[str, str]]:
    """The builds that were deployed, by deployment and build id: the bundle of each type."""
    (pairs,) = await store.read(("HGETALL", keys.builds(store.namespace)))
    found: dict[tuple[str, str], dict[str, str]] = {}
    for field, text in sorted(zip(pairs[::2], pairs[1::2], strict=True)):
        deployment, build, _ = bytes(field).decode().split("\0")
        one = DeployedType.from_bytes(text)
        found.setdefault((deployment, build), {})[one.type] = one.bundle
    return found


async def delete_build(store: Store, deployment: str, build: str) -> int:
    """Forget a build; return how many types it had. Runs that began with it go on.

    No new run can be started with it until it is deployed again. Raises NotFound where there is
    no such build.
    """
    table = keys.builds(store.namespace)
    (fields,) = await store.read(("HKEYS", table))
    prefix = build_field(deployment, build, "")
    found = [bytes(field) for field in fields if bytes(field).decode().startswith(prefix)]
    if not found:
        raise NotFound(f"there is no build {build!r} of {deployment!r} in '{store.namespace}'")
    types = len((await list_builds(store)).get((deployment, build), {}))
    await store.read(("HDEL", table, *found))
    return types


def _hint(name: str, names: list[str]) -> str:
    if not names:
        return "nothing is deployed there, run 'luaflow deploy' in the app folder"
    near = closest(name, names)
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    guess = f"did you mean {near!r}? " if near else ""
    return f"{guess}deployed are {shown}; 'luaflow deploy' in an app's folder adds its own"
