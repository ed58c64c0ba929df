"""Code in memory: one Lua engine a bundle, loaded from Redis when first needed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from luaflow.archive import archived_bundle
from luaflow.domain.events import RUNTIME_VERSION
from luaflow.domain.lanes import base_of
from luaflow.errors import LuaflowError
from luaflow.lua.vm import Engine
from luaflow.registry.bundle import Bundle
from luaflow.replay.loading import source_of
from luaflow.store import keys
from luaflow.store.inboxes import home
from luaflow.store.lanes import use_lane
from luaflow.store.store import Store
from luaflow_worker.children import Types
from luaflow_worker.names import known_here

MAX_ENGINES = 200


class MissingBundle(LuaflowError):
    """The code of this run is not in Redis."""


class NewerRuntime(LuaflowError):
    """The run needs a later version of the runtime than this worker has."""


def check_runtime(started: Mapping[str, Any]) -> None:
    """Raise NewerRuntime for a run whose first event names a later runtime (design 8)."""
    needed = int(started.get("rv", 1))
    if needed > RUNTIME_VERSION:
        raise NewerRuntime(
            f"the run needs runtime version {needed}, this worker has {RUNTIME_VERSION}: "
            "start a worker of a newer release, and it goes on there"
        )


class Code(NamedTuple):
    """A bundle and the engine that runs it."""

    bundle: Bundle
    engine: Engine


class Engines:
    """Engines by bundle name, and the tables of what is deployed."""

    def __init__(self, store: Store, *, cpu_seconds: float, log_replay: bool = False) -> None:
        """Begin with nothing loaded; ``log_replay``: code logs during replay, too."""
        self._store = store
        self._cpu_seconds = cpu_seconds
        self.log_replay = log_replay
        self._engines: OrderedDict[str, Code] = OrderedDict()
        self._noting: set[asyncio.Task[None]] = set()

    async def get(self, bundle: str) -> Code:
        """Return the code of a bundle; MissingBundle, or LoadError when it does not load."""
        known = self._engines.get(bundle)
        if known is not None and not known.engine.broken:
            self._engines.move_to_end(bundle)
            return known
        (data,) = await self._store.read(("GET", keys.bundle(self._store.namespace, bundle)))
        if data is None:
            data = await archived_bundle(self._store, bundle)
        if data is None:
            raise MissingBundle(
                f"the code bundle {bundle} is not in the namespace '{self._store.namespace}': "
                "deploy the code this run began with ('luaflow deploy'), and it goes on"
            )
        content = Bundle.from_bytes(data, bundle)
        code = Code(content, Engine(source_of(content), cpu_seconds=self._cpu_seconds))
        self._engines[bundle] = code
        if len(self._engines) > MAX_ENGINES:
            self._engines.popitem(last=False)
        return code

    def use_lane(self, lane: str) -> None:
        """Have a lane noted that a task is about to be put into; in the background, once."""
        if lane != base_of(lane) and lane not in self._store.lanes:
            task = asyncio.create_task(use_lane(self._store, lane), name="luaflow-lane")
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    async def close(self) -> None:
        """Wait until lanes are noted; one that cannot be is noted by a scheduler's sweep."""
        await asyncio.gather(*self._noting, return_exceptions=True)

    def discard(self, engine: Engine) -> None:
        """Forget an engine that cannot be trusted any more."""
        for name, known in list(self._engines.items()):
            if known.engine is engine:
                del self._engines[name]

    async def deployed(self, names: set[str], hosts: set[str], called: Iterable[str] = ()) -> Types:
        """What is deployed as these workflow types and worker entries, and who has these names."""
        others = sorted(called)
        if not names and not others:
            return Types({}, {}, self.use_lane)
        namespace = self._store.namespace
        wanted, places = sorted(names) or ["-"], sorted(hosts) or ["-"]
        found, known, *pids = await self._store.read(
            ("HMGET", keys.types(namespace), *wanted),
            ("HMGET", keys.hosts(namespace), *places),
            *(("HGET", home(self._store, one).name(one), "pid") for one in others),
        )
        named = {}
        for one, pid in zip(others, pids, strict=True):
            if at := pid.decode() if pid else known_here(namespace, one):
                named[one] = at
        return Types(_table(wanted, found), _table(places, known), self.use_lane, named)


def _table(names: list[str], found: list[bytes | None]) -> dict[str, dict[str, Any]]:
    return {name: orjson.loads(text) for name, text in zip(names, found, strict=True) if text}
