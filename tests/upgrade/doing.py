"""What either tree is asked to do, as a program: it imports the packages of that tree.

``create URL NAMESPACE``: make a namespace and deploy the app. ``replay URL NAMESPACE``: replay
every run; an object of what each decided, by run id. ``list URL NAMESPACE``: all statuses.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson
from tests.corpus.replaying import replayed

from luaflow import Client
from luaflow.deploy import deploy, load_bundle
from luaflow.lua.vm import Engine
from luaflow.registry.app import load_app
from luaflow.replay.loading import bundle_of, source_of
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace

APP = Path(__file__).parent / "app"


async def create(url: str, namespace: str) -> int:
    """Make the namespace as this tree makes one, with short leases."""
    link = Link(url)
    await create_namespace(link, namespace, Settings(lease_ms=1000, sticky_timeout_ms=500))
    await link.close()
    client = await Client.connect(url, namespace)
    found = await deploy(client.store, load_app(APP))
    await client.close()
    return len(found)


async def runs(client: Client) -> list[dict[str, Any]]:
    """All runs, as they are listed."""
    found: list[dict[str, Any]] = []
    page = None
    while True:
        listed = await client.list(limit=1000, page=page)
        found += listed["workflows"]
        page = listed["next_page"]
        if page is None:
            return found


async def replay(url: str, namespace: str) -> dict[str, list[str]]:
    """Replay everything from the server, with the engine of this tree."""
    client = await Client.connect(url, namespace)
    engines: dict[str, tuple[Any, Engine]] = {}
    asked = {}
    for run in await runs(client):
        handle = client.get_handle(run["workflow_id"], run["run_id"])
        events = [event async for event in handle.history()]
        name = bundle_of(events)
        if name not in engines:
            bundle = await load_bundle(client.store, name)
            engines[name] = bundle, Engine(source_of(bundle))
        asked[run["run_id"]] = replayed(namespace, run["run_id"], events, *engines[name])
    await client.close()
    return asked


async def statuses(url: str, namespace: str) -> dict[str, str]:
    """The status of every run, by run id."""
    client = await Client.connect(url, namespace)
    found = {run["run_id"]: run["status"] for run in await runs(client)}
    await client.close()
    return found


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    done = asyncio.run({"create": create, "replay": replay, "list": statuses}[what](*words))
    sys.stdout.buffer.write(orjson.dumps(done))
