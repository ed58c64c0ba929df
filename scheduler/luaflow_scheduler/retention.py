"""Retention: how long each closed run is kept, and where it goes then."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from luaflow.archive import Archive
from luaflow.objects import open_objects
from luaflow.store import keys
from luaflow.store.deployed import DeployedType
from luaflow.store.keeping import kept_for
from luaflow.store.keys import Partition
from luaflow.store.namespaces import Settings, read_settings
from luaflow.store.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How old settings may be that a scheduler goes by."""


class Wanted(NamedTuple):
    """How long a run is to be kept; ``ms`` None: as the namespace has it for all."""

    ms: int | None
    pinned: bool
    settled: bool


class Retention:
    """The rules of a namespace and of its types, as they are now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settings = store.settings
        self._looked = float("-inf")
        self._archive: Archive | None = None
        self._url = ""
        self._problem = ""

    async def settings(self, *, now: bool = False) -> Settings:
        """The settings of the namespace, a few seconds old at most; ``now``: as they are."""
        if now or time.monotonic() - self._looked > LOOK_SECONDS:
            self._settings = await read_settings(self._store.link, self._store.namespace)
            self._looked = time.monotonic()
        return self._settings

    async def of(self, p: Partition, run_ids: Sequence[str]) -> list[Wanted]:
        """How long these runs are to be kept."""
        store = self._store
        states = await store.read(
            *(("HMGET", p.run(i), "status", "type", "pin", "kept") for i in run_ids)
        )
        types = sorted({bytes(state[1]).decode() for state in states if state[1]})
        table = keys.types(store.namespace)
        texts = (await store.read(("HMGET", table, *types)))[0] if types else []
        by_type = {name: _rules(text) for name, text in zip(types, texts, strict=True)}
        usual = (await self.settings()).retentions
        return [
            Wanted(
                kept_for(
                    bytes(status or b"").decode(),
                    by_type.get(bytes(type or b"").decode(), {}),
                    usual,
                ),
                pin is not None,
                kept is not None,
            )
            for status, type, pin, kept in states
        ]

    async def archive(self) -> Archive | None:
        """Where runs go when their retention is over; None: nowhere."""
        # what is deleted where there was no archive a moment ago cannot be had back
        url = (await self.settings(now=not self._url)).archive
        if url != self._url:
            # (all partitions ask: none may find the old one beside the new address)
            old, self._url = self._archive, url
            self._archive = Archive(open_objects(url), self._store.namespace) if url else None
            if old:
                await old.close()
        return self._archive

    def archive_failed(self, error: Exception) -> None:
        """Say once that nothing leaves the server until the archive can be reached."""
        if str(error) != self._problem:
            self._problem = str(error)
            log.error("closed runs cannot be archived, and stay in Redis: %s", error)

    def archive_works(self) -> None:
        """Say that it can be reached again."""
        if self._problem:
            log.info("closed runs are archived again")
        self._problem = ""

    async def close(self) -> None:
        """Give up connections."""
        archive, self._archive, self._url = self._archive, None, ""
        if archive:
            await archive.close()


def _rules(text: bytes | None) -> Mapping[str, int]:
    rules = DeployedType.from_bytes(text).retention if text else ""
    found: dict[str, int] = orjson.loads(rules) if rules else {}
    return found
