"""The archive: closed runs in an object store, for as long as somebody keeps them there.

Below ``<namespace>/``: ``runs/<xx>/<sha-256 of the workflow id>/<start, ms>-<run id>`` is a run:
gzip of lines of JSON, first what is known of the run, then an event a line,
``[ts, type, body as text]``. ``bundles/<name>`` is its code, once for all runs that began with it.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from luaflow.domain.events import Event
from luaflow.errors import InvalidArgument, NotFound
from luaflow.objects import Objects, open_objects
from luaflow.store.namespaces import read_settings
from luaflow.store.past import opened
from luaflow.store.store import Store

FORMAT = 1
STATE = (
    *("wid", "first", "type", "status", "queue", "bundle", "parent", "start", "close", "attempt"),
    *("len", "size", "ts", "decided", "memo", "attrs", "views", "next"),
)
"""What is kept of the state of a run; and what it shows, ``v:<name>``."""


class Archived(NamedTuple):
    """A run in the archive: its state as far as it matters to anybody, and its whole history."""

    workflow_id: str
    run_id: str
    state: dict[str, str]
    events: list[Event]


class Archive:
    """The runs of one namespace in an object store. Raises Unavailable when that fails."""

    def __init__(self, objects: Objects, namespace: str) -> None:
        """Keep the store; ``close`` gives it up."""
        self._objects = objects
        self._namespace = namespace
        self._bundles: set[str] = set()

    async def close(self) -> None:
        """Give up connections."""
        await self._objects.close()

    async def put(self, run: Archived) -> None:
        """Keep a run, and be sure of it: what was written is read again."""
        data = dump_run(run, self._namespace)
        key = f"{self._folder(run.workflow_id)}{int(run.state['start']):013d}-{run.run_id}"
        await self._objects.put(key, data)
        if await self._objects.get(key) != data:
            raise OSError(f"the archive did not keep {key} as it was written")

    async def put_bundle(self, name: str, content: bytes) -> None:
        """Keep the code of runs, once."""
        if name in self._bundles:
            return
        key = f"{self._namespace}/bundles/{name}"
        try:
            await self._objects.get(key)
        except NotFound:
            await self._objects.put(key, content)
        self._bundles.add(name)

    async def bundle(self, name: str) -> bytes:
        """The code of that name; NotFound without any."""
        return await self._objects.get(f"{self._namespace}/bundles/{name}")

    async def find(self, workflow_id: str, run_id: str | None) -> Archived | None:
        """The run, or the newest one of the workflow id; None when it is not there."""
        names = await self._objects.keys(self._folder(workflow_id))
        wanted = [n for n in names if run_id is None or n.endswith(f"-{run_id}")]
        return load_run(await self._objects.get(wanted[-1]), wanted[-1]) if wanted else None

    async def has(self, workflow_id: str) -> bool:
        """Whether any run of the workflow id is there."""
        return bool(await self._objects.keys(self._folder(workflow_id)))

    async def run_ids(self) -> set[str]:
        """The ids of all runs there are. It looks at the names of all."""
        names = await self._objects.keys(f"{self._namespace}/runs/")
        return {name.rpartition("-")[2] for name in names}

    async def newest(self, limit: int) -> list[Archived]:
        """The newest runs there are, the newest first. It looks at the names of all."""
        names = await self._objects.keys(f"{self._namespace}/runs/")
        names.sort(key=lambda name: name.rpartition("/")[2], reverse=True)
        return [load_run(await self._objects.get(name), name) for name in names[:limit]]

    def _folder(self, workflow_id: str) -> str:
        digest = hashlib.sha256(workflow_id.encode()).hexdigest()
        return f"{self._namespace}/runs/{digest[:2]}/{digest}/"


def state_of(fields: Mapping[str, bytes]) -> dict[str, str]:
    """What is kept of the hash of a run."""
    return {
        name: value.decode(errors="surrogateescape")
        for name, value in fields.items()
        if name in STATE or name.startswith("v:")
    }


async def open_archive(store: Store) -> Archive | None:
    """The archive of a namespace as it is set now; None where there is none."""
    settings = await read_settings(store.link, store.namespace)
    return Archive(open_objects(settings.archive), store.namespace) if settings.archive else None


async def find_archived(store: Store, workflow_id: str, run_id: str | None) -> Archived | None:
    """A run that has left the server; None when it is not in the archive, or there is none."""
    archive = await open_archive(store)
    if archive is None:
        return None
    try:
        found = await archive.find(workflow_id, run_id)
    finally:
        await archive.close()
    return await opened_run(store, found) if found else None


async def opened_run(store: Store, run: Archived) -> Archived:
    """A run as it was archived, that is with sealed payloads, with these opened."""
    if store.border is None:
        return run
    names = list(run.state)
    texts = [run.state[name].encode(errors="surrogateescape") for name in names]
    plain = await store.opened(texts, f"w:{run.workflow_id}")
    state = zip(names, (text.decode(errors="surrogateescape") for text in plain), strict=True)
    events = await opened(store, run.workflow_id, run.events)
    return run._replace(state=dict(state), events=events)


async def archived_bundle(store: Store, name: str) -> bytes | None:
    """The code of archived runs; None when it is not in the archive, or there is none."""
    archive = await open_archive(store)
    if archive is None:
        return None
    try:
        return await archive.bundle(name)
    except NotFound:
        return None
    finally:
        await archive.close()


def dump_run(run: Archived, namespace: str) -> bytes:
    """A run as it is kept."""
    head = {
        "format": FORMAT,
        "namespace": namespace,
        "workflow_id": run.workflow_id,
        "run_id": run.run_id,
        "state": run.state,
    }
    lines = [orjson.dumps(head)]
    lines += [orjson.dumps([e.ts, e.type, e.raw.decode()]) for e in run.events]
    return gzip.compress(b"\n".join(lines), mtime=0)


def load_run(data: bytes, key: str) -> Archived:
    """The run that is kept at a key; InvalidArgument for what was changed there."""
    try:
        head, *lines = map(orjson.loads, gzip.decompress(data).split(b"\n"))
        if head["format"] > FORMAT:
            raise InvalidArgument(
                f"the archived run {head['run_id']} has the format {head['format']}: update luaflow"
            )
        events = [
            Event(number, int(ts), str(type), body.encode())
            for number, (ts, type, body) in enumerate(lines, 1)
        ]
        state = {str(name): str(value) for name, value in head["state"].items()}
        return Archived(str(head["workflow_id"]), str(head["run_id"]), state, events)
    except (
        OSError,
        EOFError,
        zlib.error,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
    ) as why:
        raise InvalidArgument(
            f"the archived run {key} cannot be read ({why}): it is not what was stored, restore it"
        ) from why
