"""A namespace copied from one server to another, of any kind: one server, Sentinel, a cluster.

Key names carry their partition and nothing of the server, so they stay as they are: what is on one
server is spread over a cluster by its hash tags alone. Nobody may work in the namespace meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from luaflow.domain.ids import check_name
from luaflow.errors import LuaflowError, Refused, Unavailable
from luaflow.store import keys
from luaflow.store.address import Place, parse_address
from luaflow.store.checks import check_at_start
from luaflow.store.cluster import NodeLink
from luaflow.store.keys import NAMESPACES
from luaflow.store.link import Arg
from luaflow.store.links import Linked
from luaflow.store.namespaces import read_settings
from luaflow.store.scanning import patterns

CHUNK = 100
"""Keys that are read and written together."""
PAGE = 1000
"""Entries of a stream that are read together to compare it."""


class Copied(NamedTuple):
    """What was copied: how many keys, of how many bytes, and the digest of all that stays."""

    keys: int
    bytes: int
    digest: str


async def copy_namespace(
    source: Linked, target: Linked, namespace: str, told: Callable[[str], None] = lambda _: None
) -> Copied:
    """Copy all keys of a namespace, compare them one by one, and name it on the target only then.

    Raises NotFound where the source has no such namespace, Refused where somebody works in it,
    where the target has something of it, is not fit or too old, and where something changed
    meanwhile. What was written to the target is deleted again then.
    """
    check_name(namespace, "the namespace")
    settings = await read_settings(source, namespace)
    (text,) = await _ask(source, ("HGET", NAMESPACES, namespace))
    names = await _names(source, namespace)
    _refuse_company(namespace, names)
    await check_at_start(target, settings)
    await _refuse_filled(target, namespace)
    told(f"{len(names)} keys to copy")
    written: list[bytes] = []
    try:
        size = await _copy(source, target, names, written)
        told(f"{len(written)} keys copied, {size} bytes; comparing")
        digest = await _compare(source, target, namespace)
        await _ask(target, ("HSET", NAMESPACES, namespace, text))
    except BaseException:
        with contextlib.suppress(LuaflowError):
            for some in _chunks(written):
                await _ask(target, *(("DEL", name) for name in some))
        raise
    return Copied(len(written), size, digest)


async def _copy(
    source: Linked, target: Linked, names: Sequence[bytes], written: list[bytes]
) -> int:
    """Copy keys; ``written`` gets those that are on the target. How many bytes they were."""
    size = 0
    for some in _chunks(names):
        dumps = await _ask(source, *(("DUMP", name) for name in some))
        times = await _ask(source, *(("PTTL", name) for name in some))
        there = [
            (name, max(0, ms), dump)
            for name, ms, dump in zip(some, times, dumps, strict=True)
            if dump is not None and ms != -2
        ]
        written += [name for name, _, _ in there]
        await _ask(target, *(("RESTORE", name, ms, dump) for name, ms, dump in there))
        size += sum(len(dump) for _, _, dump in there)
    return size


# -- what stands in the way ------------------------------------------------------------------------


def _refuse_company(namespace: str, names: Sequence[bytes]) -> None:
    """Refuse a namespace in which workers or schedulers are at work, or were a moment ago."""
    worker = keys.worker(namespace, "").encode()
    workers = sum(1 for name in names if name.startswith(worker))
    leader = keys.leader(namespace).encode() in names
    if workers or leader:
        who = [f"{workers} workers"] * bool(workers) + ["a scheduler"] * leader
        raise Refused(
            f"{' and '.join(who)} of the namespace {namespace!r} are still there: stop all "
            "workers, schedulers and clients first (one that was killed is gone a minute later)"
        )


async def _refuse_filled(target: Linked, namespace: str) -> None:
    (listed,) = await _ask(target, ("HEXISTS", NAMESPACES, namespace))
    names = await _names(target, namespace)
    if listed or names:
        what = f"has {len(names)} keys of" if names else "has"
        raise Refused(
            f"the target {what} the namespace {namespace!r}: nothing is copied over it; copy to an "
            "empty server, or delete them first"
        )


# -- the keys of a namespace -----------------------------------------------------------------------


async def _names(link: Linked, namespace: str) -> list[bytes]:
    """All keys of a namespace, sorted; but not its line in the list of namespaces."""
    found: set[bytes] = set()
    async with _servers(link) as servers:
        for server in servers:
            for pattern in patterns(namespace):
                found.update([name async for name in _scan(server, pattern)])
    return sorted(found)


async def _scan(server: Linked, pattern: str) -> AsyncIterator[bytes]:
    cursor: Any = 0
    while cursor != b"0":
        ((cursor, names),) = await _ask(server, ("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE))
        cursor = bytes(cursor)
        for name in names:
            yield bytes(name)


@asynccontextmanager
async def _servers(link: Linked) -> AsyncIterator[list[Linked]]:
    """A link to each server that has data: a cursor is of use to one of them alone."""
    address = parse_address(link.url)
    if address.kind != "cluster":
        yield [link]
        return
    found = await link.each(("PING",))
    if away := [answers[0] for answers in found.values() if isinstance(answers[0], Unavailable)]:
        raise away[0]
    links: list[Linked] = []
    for name in found:
        host, _, port = name.rpartition(":")
        links.append(NodeLink(address.of(Place(host.strip("[]"), int(port)))))
    try:
        yield links
    finally:
        for one in links:
            await one.close()


# -- the same on both sides ------------------------------------------------------------------------


async def _compare(source: Linked, target: Linked, namespace: str) -> str:
    """Compare what both have by now, key by key; the digest of what does not expire."""
    ours, theirs = [set(await _names(link, namespace)) for link in (source, target)]
    digest = hashlib.sha256()
    for some in _chunks(sorted(ours | theirs)):
        both = await asyncio.gather(_values(source, some), _values(target, some))
        for name, ours_is, theirs_is in zip(some, *both, strict=True):
            expires = -1 not in (ours_is.expires, theirs_is.expires)
            if expires and None in (ours_is.digest, theirs_is.digest):
                continue  # it expired on one side, and does so soon on the other
            same_end = (ours_is.expires == -1) == (theirs_is.expires == -1)
            if ours_is.digest != theirs_is.digest or not same_end:
                raise Refused(
                    f"{name.decode(errors='replace')} is not the same on both sides: somebody "
                    f"works in the namespace {namespace!r}; stop all of them and copy again"
                )
            if not expires:
                digest.update(name + b"\0" + (ours_is.digest or b""))
    return digest.hexdigest()


class _Value(NamedTuple):
    """The digest of a value, None where there is none, and what PTTL says."""

    digest: bytes | None
    expires: int


_READ: dict[bytes, tuple[Arg, ...]] = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"list": ("LRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
}
"""How a value is read, by its type; a stream is read in pages."""


async def _values(link: Linked, names: Sequence[bytes]) -> list[_Value]:
    kinds = [bytes(kind) for kind in await _ask(link, *(("TYPE", name) for name in names))]
    times = await _ask(link, *(("PTTL", name) for name in names))
    asked = [_questions(name, kind) for name, kind in zip(names, kinds, strict=True)]
    told = iter(await _ask(link, *(command for commands in asked for command in commands)))
    found = []
    for name, kind, ms, commands in zip(names, kinds, times, asked, strict=True):
        answers = [next(told) for _ in commands]
        if kind == b"stream":
            answers = await _stream(link, name, *answers)
        digest = _digest([kind, *(_ordered(kind, one) for one in answers)]) if answers else None
        found.append(_Value(digest, int(ms)))
    return found


def _questions(name: bytes, kind: bytes) -> list[tuple[Arg, ...]]:
    """What a value is read by; nothing for a key that is not there."""
    if kind in _READ:
        return [(_READ[kind][0], name, *_READ[kind][1:])]
    if kind == b"stream":
        page = ("XRANGE", name, "-", "+", "COUNT", PAGE)
        return [page, ("XINFO", "STREAM", name), ("XINFO", "GROUPS", name)]
    if kind != b"none":
        raise LuaflowError(f"{name!r} is a {kind.decode()}, which is no type of luaflow's")
    return []


def _ordered(kind: bytes, answer: Any) -> Any:
    """A value in an order that two servers agree on."""
    if kind == b"hash":
        return sorted(zip(answer[::2], answer[1::2], strict=True))
    return sorted(answer) if kind == b"set" else answer


async def _stream(link: Linked, name: bytes, page: Any, info: Any, groups: Any) -> list[Any]:
    """What a stream is: its entries, the last id it gave, how far its groups have read."""
    pages = [_digest(page)]
    while len(page) == PAGE:
        after = b"(" + bytes(page[-1][0])
        (page,) = await _ask(link, ("XRANGE", name, after, "+", "COUNT", PAGE))
        pages.append(_digest(page))
    read = [
        [group[word] for word in (b"name", b"pending", b"last-delivered-id")]
        for group in map(_fields, groups)
    ]
    return [pages, _fields(info)[b"last-generated-id"], read]


def _fields(flat: Any) -> dict[bytes, Any]:
    return dict(zip(map(bytes, flat[::2]), flat[1::2], strict=True))


def _digest(value: Any) -> bytes:
    """The digest of what a server has answered: lists, texts and numbers."""
    return hashlib.sha256(repr(value).encode()).digest()


# -- asking ----------------------------------------------------------------------------------------


def _chunks(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(names), CHUNK):
        yield names[start : start + CHUNK]


async def _ask(link: Linked, *commands: tuple[Arg, ...]) -> list[Any]:
    """Send commands and return their answers; what a server refuses is raised in plain words."""
    answers = await link.batch(commands) if commands else []
    for command, answer in zip(commands, answers, strict=True):
        if isinstance(answer, LuaflowError):
            raise answer
        if isinstance(answer, ResponseError):
            raise _refusal(command, str(answer))
    return answers


def _refusal(command: tuple[Arg, ...], answer: str) -> LuaflowError:
    if "payload version" in answer:
        return Refused(
            "the target cannot read what the source writes: it is an older release; copy to the "
            "same release or a newer one"
        )
    if "OOM" in answer:
        return Refused("the target has not enough memory: raise its maxmemory and copy again")
    return LuaflowError(f"Redis answered to {command[0]!r}: {answer}")
