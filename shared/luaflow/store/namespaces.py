"""Namespaces: settings kept in one hash, copied to every partition that scripts read them in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import orjson
from redis.exceptions import ResponseError

from luaflow.codec.sealer import CODECS
from luaflow.domain.ids import check_name
from luaflow.errors import (
    AlreadyExists,
    InvalidArgument,
    LuaflowError,
    NotFound,
    Refused,
    Unavailable,
)
from luaflow.store import upkeep
from luaflow.store.keys import NAMESPACES, Partition
from luaflow.store.link import Arg, Call
from luaflow.store.links import Linked
from luaflow.store.noperm import denied
from luaflow.store.refused import is_transient

MAX_PARTITIONS = 1024
LEVELS = ("fast", "replicated", "fsynced")
BOUNDS = {
    "partitions": (1, MAX_PARTITIONS),
    "replicas": (1, 100),
    "synced_replicas": (0, 100),
    "lease_ms": (1, 24 * 3600 * 1000),
    "sticky_timeout_ms": (1, 24 * 3600 * 1000),
    "retention_ms": (1, 100 * 365 * 24 * 3600 * 1000),
    "settle_after_ms": (0, 7 * 24 * 3600 * 1000),
    "payload_warn_bytes": (1, 512 * 1024 * 1024),
    "payload_max_bytes": (1, 512 * 1024 * 1024),  # what the server takes as one value
    "offload_bytes": (1, 512 * 1024 * 1024),
    "offload_max_bytes": (1, 512 * 1024 * 1024),
}
"""The least and the most that a setting may be."""
_COPIED = {
    "lease_ms": "lease",
    "sticky_timeout_ms": "sticky_timeout",
    "retention_ms": "retention",
    "settle_after_ms": "settle",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a namespace is: partitions are fixed at creation, the rest can be updated.

    Times are milliseconds, sizes bytes. ``durability``: ``fast`` (the primary has it),
    ``replicated`` (``replicas`` have it), ``fsynced`` (it is on the primary's disk, and on that of
    ``synced_replicas``).

    ``codec`` says how payloads are sealed (``luaflow.codec``); those above ``offload_bytes`` go to
    ``payload_store``, the URL of an object store, where there is one.

    ``retentions``: how long runs of an outcome are kept, where that is not ``retention_ms``;
    ``archive``: the object store they go to then, '' for none. ``settle_after_ms``: how long after
    the end of a run its history is packed; 0: never.
    """

    partitions: int = 16
    durability: str = "fast"
    replicas: int = 1
    lease_ms: int = 10_000
    sticky_timeout_ms: int = 5_000
    retention_ms: int = 7 * 24 * 3600 * 1000
    settle_after_ms: int = 60_000
    payload_warn_bytes: int = 256 * 1024
    payload_max_bytes: int = 2 * 1024 * 1024
    retentions: dict[str, int] = field(default_factory=dict)
    archive: str = ""
    simulated: bool = False
    synced_replicas: int = 0
    codec: str = "none"
    payload_store: str = ""
    offload_bytes: int = 128 * 1024
    offload_max_bytes: int = 64 * 1024 * 1024
    version: int = 1

    def __post_init__(self) -> None:
        """Refuse settings that no partition could live with."""
        if self.durability not in LEVELS:
            raise InvalidArgument(
                f"durability must be one of {', '.join(LEVELS)}, not {self.durability!r}"
            )
        if self.codec not in CODECS:
            raise InvalidArgument(f"codec must be one of {', '.join(CODECS)}, not {self.codec!r}")
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidArgument(f"{name} must be {least}-{most}, not {value}")

    @property
    def bordered(self) -> bool:
        """Whether payloads may be sealed, or stored elsewhere."""
        return self.codec != "none" or self.offloads

    @property
    def sealing(self) -> tuple[str, str, int, int]:
        """All that says how payloads travel: whoever seals does it anew where this changes."""
        return self.codec, self.payload_store, self.offload_bytes, self.offload_max_bytes

    @property
    def offloads(self) -> bool:
        """Whether large payloads go to an object store."""
        return bool(self.payload_store)

    @property
    def largest_bytes(self) -> int:
        """What a payload may have, wherever its bytes are."""
        return self.offload_max_bytes if self.offloads else self.payload_max_bytes

    @property
    def confirm(self) -> tuple[Arg, ...]:
        """Return the command that confirms the durability level; none for ``fast``.

        A server that syncs each write needs none for ``fsynced`` (``luaflow.store.confirming``).
        """
        if self.durability == "replicated":
            return ("WAIT", self.replicas, 1000)
        if self.durability == "fsynced":
            # without being forced, a server syncs once a second
            return ("WAITAOF", 1, self.synced_replicas, 5000)
        return ()

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a plain object."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _parse(namespace: str, text: bytes) -> Settings:
    known = {f.name for f in fields(Settings)}
    try:
        return Settings(**{k: v for k, v in orjson.loads(text).items() if k in known})
    except (AttributeError, InvalidArgument, TypeError, ValueError) as error:
        raise Refused(
            f"the settings of the namespace {namespace!r} cannot be read ({error}): a newer "
            "luaflow has written them, or another program; update this one, or look at the hash "
            f"{NAMESPACES}"
        ) from error


async def read_settings(link: Linked, namespace: str, *, create: bool = False) -> Settings:
    """Return the settings of a namespace; NotFound when it does not exist and is not to be made."""
    check_name(namespace, "the namespace")
    (text,) = await _ask(link, ("HGET", NAMESPACES, namespace))
    if text is not None:
        return _parse(namespace, text)
    if not create:
        raise NotFound(
            f"there is no namespace {namespace!r}: "
            f"make it with 'luaflow namespace create {namespace}'"
        )
    try:
        return await create_namespace(link, namespace, Settings())
    except AlreadyExists:
        return await read_settings(link, namespace)


async def create_namespace(link: Linked, namespace: str, settings: Settings) -> Settings:
    """Make a namespace; AlreadyExists when there is one, InvalidArgument for a bad name."""
    check_name(namespace, "the namespace")
    exists = AlreadyExists(f"the namespace {namespace!r} exists already")
    (there,) = await _ask(link, ("HEXISTS", NAMESPACES, namespace))
    if there:
        raise exists
    # the partitions first: a namespace that is listed is complete
    fresh = await _spread(link, namespace, settings, begin=True)
    (made,) = await _ask(link, ("HSETNX", NAMESPACES, namespace, _dump(settings)))
    if not made:
        raise exists
    return settings if fresh else await _claim(link, namespace, settings)


async def _claim(link: Linked, namespace: str, settings: Settings) -> Settings:
    """Write the settings over what a creation that broke off, or lost the race, left behind."""
    if not settings.simulated:
        clocks = [Partition(namespace, p).meta for p in range(settings.partitions)]
        await _ask(link, *(("HDEL", meta, "vtime") for meta in clocks))
    settings = replace(settings, version=settings.version + 1)
    await _ask(link, ("HSET", NAMESPACES, namespace, _dump(settings)))
    await _spread(link, namespace, settings, begin=True)
    return settings


async def update_namespace(link: Linked, namespace: str, **changes: Any) -> Settings:
    """Change settings of a namespace and of its partitions' copies; partitions stay as they are."""
    if "partitions" in changes:
        raise InvalidArgument("the number of partitions is fixed when a namespace is created")
    old = await read_settings(link, namespace)
    new = replace(old, **changes, version=old.version + 1)
    check_payload_limits(changes, new)
    _check_openable(old, new)
    await _ask(link, ("HSET", NAMESPACES, namespace, _dump(new)))
    await _spread(link, namespace, new)
    return new


def check_payload_limits(given: Mapping[str, Any], settings: Settings) -> None:
    """Refuse a limit to warn from that is never reached; the default one may be."""
    warn, most = settings.payload_warn_bytes, settings.payload_max_bytes
    if "payload_warn_bytes" in given and warn > most:
        raise InvalidArgument(
            f"payload_warn_bytes must not be more than payload_max_bytes ({most}), not {warn}"
        )


def _check_openable(old: Settings, new: Settings) -> None:
    """Refuse settings under which nobody would look for what is sealed or stored elsewhere."""
    if old.codec != "none" and new.codec == "none":
        raise InvalidArgument(
            "codec must be read, not none: histories may hold sealed payloads. 'read' writes plain"
            " text and opens what was sealed"
        )
    if old.payload_store and not new.payload_store:
        raise InvalidArgument(
            "payload_store must stay: histories may refer to it. To offload no more, set"
            " offload_bytes above payload_max_bytes"
        )


def _dump(settings: Settings) -> bytes:
    return orjson.dumps(settings.to_json())


async def list_namespaces(link: Linked) -> dict[str, Settings]:
    """Return every namespace with its settings, by name."""
    (pairs,) = await _ask(link, ("HGETALL", NAMESPACES))
    texts = {bytes(k).decode(): v for k, v in zip(pairs[::2], pairs[1::2], strict=True)}
    return {name: _parse(name, text) for name, text in sorted(texts.items())}


async def _spread(link: Linked, namespace: str, settings: Settings, *, begin: bool = False) -> bool:
    """Write every partition's copy; whether all of them were older. ``begin``: its clock, too."""
    copy: list[Arg] = []
    for name, key in _COPIED.items():
        copy += [key, getattr(settings, name)]
    if settings.simulated and begin:
        copy += ["vtime", 1_000_000_000_000]
    calls = [
        upkeep.settings(partition=Partition(namespace, p), version=settings.version, fields=copy)
        for p in range(settings.partitions)
    ]
    slices = [calls[i : i + 100] for i in range(0, len(calls), 100)]
    answers = await asyncio.gather(*(_ask(link, *some) for some in slices))
    return all(one[1] == 1 for some in answers for one in some)


async def _ask(link: Linked, *commands: Call | tuple[Arg, ...]) -> list[Any]:
    """The answers to commands. Raises what the server refuses: Refused where an ACL does."""
    answers = await link.batch(commands)
    for command, answer in zip(commands, answers, strict=True):
        if isinstance(answer, ResponseError):
            if "WRONGTYPE" in str(answer) and NAMESPACES in command:
                raise Refused(
                    f"{NAMESPACES} on this server is another program's key ({answer}): give "
                    "luaflow a server, or a database (redis://host:port/1), of its own"
                )
            kind = Unavailable if is_transient(answer) else LuaflowError
            raise denied(answer, link.url, command) or kind(f"Redis answered: {answer}")
    return answers
