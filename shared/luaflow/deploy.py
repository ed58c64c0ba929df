"""Deploying an app: its code becomes bundles in Redis, its workflow types become known."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import orjson

from luaflow.archive import archived_bundle
from luaflow.errors import NotFound, Unknown
from luaflow.registry.app import App
from luaflow.registry.bundle import Bundle, Deployment, make_bundles
from luaflow.store import keys
from luaflow.store.deployed import KNOWN_SECONDS, DeployedType, build_field
from luaflow.store.link import Arg
from luaflow.store.store import Store

CONFIRM_MS = 10_000
"""How long the replicas may take to have a deployment."""


async def deploy(store: Store, app: App) -> list[DeployedType]:
    """Store the bundles and types of all workflows of an app that a worker runs.

    When this returns, every replica the server had has them, and nobody starts a run with what they
    were before. Repeating it changes nothing; types that the app no longer has stay known. Raises
    Unknown when a replica did not confirm in time.
    """
    deployments = make_bundles(app)
    types = [_deployed(one) for one in deployments]
    commands = _commands(store.namespace, app, deployments, types)
    names = {name: one.to_bytes() for one in types for name in (one.type, one.entry_id)}
    known = await _known(store, names)
    try:
        for command in commands:
            await _keep(store, command)
    finally:
        if any(old not in (None, new) for new, old in zip(names.values(), known, strict=True)):
            await asyncio.sleep(KNOWN_SECONDS)  # who starts runs may go by the old ones as long
    return types if commands else []


async def compare(store: Store, app: App) -> list[tuple[DeployedType, str]]:
    """What ``deploy`` would store: each type, and how it is: ``new``, ``changed`` or ``same``."""
    types = [_deployed(one) for one in make_bundles(app)]
    found = []
    known = await _known(store, [one.type for one in types])
    for one, text in zip(types, known, strict=True):
        old = None if text is None else DeployedType.from_bytes(text)
        found.append((one, "new" if old is None else "same" if old == one else "changed"))
    return found


async def _known(store: Store, names: Collection[str]) -> list[bytes | None]:
    """What is deployed under these names, of types or entries, as it stands in the table."""
    table = keys.types(store.namespace)
    return await store.read(*(("HGET", table, name) for name in names)) if names else []


def _commands(
    namespace: str, app: App, deployments: list[Deployment], types: list[DeployedType]
) -> list[tuple[Arg, ...]]:
    """The bundles before the types: a type that can be found can be run.

    Each bundle is set anew, which takes back that it goes because nothing named it.
    """
    commands: list[tuple[Arg, ...]] = [
        ("SET", keys.bundle(namespace, one.bundle.name), one.bundle.content) for one in deployments
    ]
    hosts: list[Arg] = []
    for worker in app.workers.values():
        place = {"client": worker.client, "task_queue": worker.task_queue}
        hosts += [worker.id, orjson.dumps(place)]
    if hosts:
        commands.append(("HSET", keys.hosts(namespace), *hosts))
    names: list[Arg] = []
    builds: list[Arg] = []
    for one, deployment in zip(types, deployments, strict=True):
        for name in dict.fromkeys((one.type, one.entry_id)):
            names += [name, one.to_bytes()]
            if deployment.build:
                builds += [build_field(*deployment.build, name), one.to_bytes()]
    if builds:
        commands.append(("HSET", keys.builds(namespace), *builds))
    if names:
        commands.append(("HSET", keys.types(namespace), *names))
    return commands


def _deployed(one: Deployment) -> DeployedType:
    return DeployedType(
        type=one.type_name,
        entry_id=one.entry_id,
        bundle=one.bundle.name,
        task_queue=one.task_queue,
        host=one.worker_id,
        client=one.client_id,
        versioning=one.versioning,
        input_schema=one.input_schema,
        flow=one.flow,
        retention=one.retention,
    )


async def _keep(store: Store, command: tuple[Arg, ...]) -> None:
    """Send one command, and wait until all replicas of the server that its key is on have it.

    One by one: on a cluster each key may be on another server, and what comes first is there first.
    """
    _, text = await store.read(("EXISTS", command[1]), ("INFO", "replication"))
    replicas = replicas_online(text)
    _, confirmed = await store.read(command, ("WAIT", replicas, CONFIRM_MS))
    if confirmed < replicas:
        raise Unknown(
            f"deployed, but only {confirmed} of {replicas} replicas have it: deploy again"
        )


def replicas_online(info: Any) -> int:
    """How many replicas a server's INFO says are connected."""
    for line in bytes(info).splitlines():
        name, _, value = line.partition(b":")
        if name == b"connected_slaves":
            return int(value)
    return 0


async def load_bundle(store: Store, name: str) -> Bundle:
    """The bundle of that name, in Redis or in the archive; NotFound when it is in neither."""
    (content,) = await store.read(("GET", keys.bundle(store.namespace, name)))
    if content is None:
        content = await archived_bundle(store, name)
    if content is None:
        raise NotFound(
            f"the code bundle {name} is not in '{store.namespace}': deploy the app that made it"
        )
    return Bundle.from_bytes(bytes(content), name)
