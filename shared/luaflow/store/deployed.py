"""Workflow types: where the code of a type is and which queue it runs on, as deployed."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from luaflow.domain.ids import closest
from luaflow.errors import NotFound
from luaflow.store import keys
from luaflow.store.store import Store


class DeployedType(NamedTuple):
    """A workflow type as ``luaflow deploy`` left it; ``host`` and ``client`` are entry ids.

    ``flow`` is what limits its runs (``luaflow.domain.flow``), '' for nothing.
    """

    type: str
    entry_id: str
    bundle: str
    task_queue: str
    host: str
    client: str
    flow: str = ""

    def to_bytes(self) -> bytes:
        """The JSON that stands in the types table."""
        return orjson.dumps(self._asdict())

    @classmethod
    def from_bytes(cls, text: bytes) -> DeployedType:
        """Read what ``to_bytes`` wrote; fields of newer releases are left out."""
        found = orjson.loads(text)
        flow = str(found.get("flow", ""))
        return cls(**{n: str(found[n]) for n in cls._fields if n != "flow"}, flow=flow)


async def host_of(store: Store, host: str) -> tuple[str, str]:
    """The client entry and the task queue of a worker entry.

    Any other host is the name of a task queue itself (contract 7.4), with no client.
    """
    (found,) = await store.read(("HGET", keys.hosts(store.namespace), host))
    if found is None:
        return "", host
    place = orjson.loads(found)
    return str(place["client"]), str(place["task_queue"])


async def resolve(store: Store, name: str) -> DeployedType:
    """The deployed type of a type name or entry id; NotFound, saying what there is, without one."""
    (found,) = await store.read(("HGET", keys.types(store.namespace), name))
    if found is not None:
        return DeployedType.from_bytes(found)
    (pairs,) = await store.read(("HGETALL", keys.types(store.namespace)))
    names = sorted({DeployedType.from_bytes(text).type for text in pairs[1::2]})
    hint = _hint(name, names)
    raise NotFound(f"there is no workflow type {name!r} in '{store.namespace}': {hint}")


def _hint(name: str, names: list[str]) -> str:
    if not names:
        return "nothing is deployed there, run 'luaflow deploy' in the app folder"
    near = closest(name, names)
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    guess = f"did you mean {near!r}? " if near else ""
    return f"{guess}deployed are {shown}; 'luaflow deploy' in an app's folder adds its own"
