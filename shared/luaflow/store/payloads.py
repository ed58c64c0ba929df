"""The border: payloads are sealed on their way to the server and opened on their way back.

One place for all of them, in the ``Store``: what it sends is searched by ``luaflow.codec.places``,
what it reads by the mark that every sealed value has. A namespace without a codec and an object
store has no border, and pays nothing. Schedulers have none either: they carry sealed bytes.

Whose a payload is (``owner``, see ``luaflow.codec.sealer``) follows from the keys of a command.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from luaflow.codec import places
from luaflow.codec.keys import VARIABLE, Keyring
from luaflow.codec.sealer import Sealer
from luaflow.domain import sealed
from luaflow.domain.ids import partition_of
from luaflow.domain.sealed import MARK, SealedPayload
from luaflow.errors import InvalidArgument, LuaflowError, NotFound, Unavailable
from luaflow.objects import Objects, open_objects
from luaflow.store.link import Arg, Call
from luaflow.store.objects_of import object_key

if TYPE_CHECKING:
    from luaflow.store.namespaces import Settings
    from luaflow.store.store import Store

log = logging.getLogger(__name__)

Command = Call | tuple[Arg, ...]
Read = Callable[[tuple[Arg, ...]], Awaitable[Any]]
_KEY = re.compile(r"(lf:\{[^}]*\}:)(wf|run|hist|pend|job|schedule|inbox):(.*)", re.DOTALL)
_OWNER = {"wf": "w:", "job": "j:", "schedule": "s:", "inbox": "n:"}
REMEMBERED: Final = 10_000
"""Runs whose workflow id is remembered."""
THREAD_BYTES: Final = 256 * 1024
"""What is larger is sealed and opened beside the event loop."""
ENVELOPE_BYTES: Final = 65_536
"""What a payload that was put together of several may have besides."""
FETCHES: Final = 16
"""Objects that are read at a time."""


class Border:
    """Seals and opens the payloads of a namespace for one process."""

    def __init__(
        self, namespace: str, settings: Settings, keys: Keyring, objects: Objects | None, read: Read
    ) -> None:
        """``read`` runs one command on the server: of a run only its workflow id is known there."""
        self._settings = settings
        self._sealer = Sealer(namespace, settings.codec, keys)
        self._objects = objects
        self._read = read
        self._workflows: dict[str, str] = {}
        self._fetching = asyncio.Semaphore(FETCHES)

    # -- out -------------------------------------------------------------------------------------

    async def seal(self, commands: Sequence[Command]) -> Sequence[Command]:
        """The commands as they are to be sent; objects they refer to are in their store then.

        Raises Refused without the key, SealedPayload where the object store fails: nothing is sent.
        """
        if not (self._sealer.seals or self._settings.offloads):
            return commands
        return [
            await self._call(command)
            if isinstance(command, Call) and command.script.name in places.WRITERS
            else command
            for command in commands
        ]

    async def _call(self, call: Call) -> Call:
        args, owner = list(call.args), await self._owner(call.keys)
        names = {places.RUN: _run_of(call.keys), places.CHAIN: owner[2:], places.INLINE: ""}
        for place in places.places(call.script.name, call.script.args, args):
            data = args[place.at]
            text = data.decode() if isinstance(data, bytes) else str(data)
            if not text:
                continue
            whose, where = owner, (place.scope, names[place.scope])
            if place.job or owner[:2] == "j:":
                whose = f"j:{place.job}" if place.job else owner
                where = ("j", whose[2:])
            elif call.script.name == "change_schedule":
                whose = f"s:{orjson.loads(text).get('workflow_id') or owner[2:]}"
            args[place.at] = await self._argument(text, place.form, whose, where)
        return call._replace(args=args)

    async def _argument(self, text: str, form: str, owner: str, where: tuple[str, str]) -> bytes:
        if form == places.DOCUMENT:
            if not text.startswith("{"):
                return text.encode()
            kind, target = sealed.messages_in(text)
            if kind:
                letter = kind == "letter"
                owner = f"{'n' if letter else 'w'}:{target}"
                where = ("", "") if letter else ("w", target)
            spans = sealed.payloads(text)
        elif form == places.TABLE:
            spans = sealed.table(text)
        else:
            what = sealed.FAILURE if form == places.FAILURE else sealed.VALUE
            spans = iter([sealed.Span(0, len(text), what)])
        return await self._splice(text, spans, owner, where)

    async def document(self, text: bytes, owner: str) -> bytes:
        """A document that is no argument of a script (a question, an answer), sealed."""
        if not self._sealer.seals:
            return text
        plain = text.decode()
        return await self._splice(plain, sealed.payloads(plain), owner, ("", ""))

    async def _splice(
        self, text: str, spans: Iterator[sealed.Span], owner: str, where: tuple[str, str]
    ) -> bytes:
        """The text with its payloads sealed; objects are put before this returns."""
        if len(text) > THREAD_BYTES:
            parts, puts = await asyncio.to_thread(self._parts, text, spans, owner, where)
        else:
            parts, puts = self._parts(text, spans, owner, where)
        for key, data in puts.items():
            assert self._objects is not None
            try:
                await self._objects.put(key, data)
            except LuaflowError as error:
                raise SealedPayload(f"a payload cannot be stored: {error}") from error
        return "".join(parts).encode()

    def _parts(
        self, text: str, spans: Iterator[sealed.Span], owner: str, where: tuple[str, str]
    ) -> tuple[list[str], dict[str, bytes]]:
        if MARK.decode() in text:
            _refuse_unopened(text)
        parts, puts, last = list[str](), dict[str, bytes](), 0
        for start, end, kind in spans:
            plain = text[start:end]
            tag = self._tag(plain.encode(), owner, kind, where, puts)
            if tag is None:
                continue
            if kind == sealed.FAILURE:
                tag = sealed.failure_tag(plain, tag)
            parts += [text[last:start], tag]
            last = end
        return [*parts, text[last:]], puts

    def _tag(
        self, plain: bytes, owner: str, kind: str, where: tuple[str, str], puts: dict[str, bytes]
    ) -> str | None:
        large = self._settings.offloads and bool(where[0])
        if not self._sealer.seals and not (large and len(plain) > self._settings.offload_bytes):
            return None
        shape, data = self._sealer.seal(plain, owner, kind)
        if owner[:2] == "s:":
            shape["o"] = owner
        if large and len(data) > self._settings.offload_bytes:
            digest = hashlib.sha256(data).hexdigest()
            partition = partition_of(owner[2:], self._settings.partitions)
            # (of its own: what is put once more is not taken for what a sweep was about to delete)
            name = f"{digest}-{secrets.token_hex(8)}"
            key = object_key(self._sealer.namespace, partition, *where, name)
            puts[key] = data
            shape |= {"at": key, "size": len(data), "sha256": digest}
        else:
            shape["d"] = base64.b64encode(data).decode()
        return sealed.tag(shape)

    # -- back ------------------------------------------------------------------------------------

    async def open(self, commands: Sequence[Command], answers: list[Any]) -> list[Any]:
        """The answers with what is sealed in them opened; what cannot be stays, and says why."""
        for i, (command, answer) in enumerate(zip(commands, answers, strict=True)):
            if not _marked(answer):
                continue
            if isinstance(command, Call) and command.script.name == "take_jobs":
                jobs = [f"j:{_split(key)[2]}" for key in command.keys[3:]]
                opened = [await self.reply(a, o) for a, o in zip(answer[2:], jobs, strict=True)]
                answers[i] = [*answer[:2], *opened]
                continue
            keys = command.keys if isinstance(command, Call) else [str(command[1])]
            if owner := await self._owner(keys):
                answers[i] = await self.reply(answer, owner)
        return answers

    async def reply(self, answer: Any, owner: str) -> Any:
        """Anything that was read of an owner, with what is sealed in it opened."""
        if not _marked(answer):
            return answer
        texts = list(_texts(answer))
        objects = await self._fetch(texts)
        stored = sum(len(data) for data in objects.values() if isinstance(data, bytes))
        if sum(map(len, texts)) + stored > THREAD_BYTES:
            return await asyncio.to_thread(self._opened, answer, owner, objects)
        return self._opened(answer, owner, objects)

    def _opened(self, answer: Any, owner: str, objects: dict[str, Any]) -> Any:
        if isinstance(answer, list):
            return [self._opened(one, owner, objects) for one in answer]
        if not isinstance(answer, bytes) or MARK not in answer:
            return answer

        def put(found: re.Match[str]) -> str:
            text = sealed.body_of(found)
            kind = sealed.FAILURE if found["failure"] else sealed.VALUE
            shape = sealed.shape_of(found)
            try:
                return self._plain(shape, owner, kind, objects).decode()
            except (LuaflowError, LookupError, TypeError, ValueError) as error:
                # whatever is wrong with it: what was written before this answer stands
                shape["e"] = re.sub(r"[{}]", " ", str(error))
                return found[0].replace(text, orjson.dumps(shape).decode())

        text = answer.decode(errors="surrogateescape")
        return sealed.FOUND.sub(put, text).encode(errors="surrogateescape")

    def _plain(
        self, shape: dict[str, Any], owner: str, kind: str, objects: dict[str, Any]
    ) -> bytes:
        given = shape.get("o")
        if given is not None:
            whose = str(given)
            if owner[:2] == "w:" and not owner[2:].startswith(f"{whose[2:]}-"):
                raise SealedPayload("a payload was sealed for the runs of another schedule")
            owner = whose
        most = self._settings.largest_bytes + ENVELOPE_BYTES
        if "at" not in shape:
            try:
                data = base64.b64decode(str(shape["d"]), validate=True)
            except (KeyError, binascii.Error, ValueError):
                raise SealedPayload("a payload is sealed, and cannot be read") from None
            return self._sealer.open(shape, data, owner, kind, most)
        data = objects.get(str(shape["at"]), SealedPayload("its object was not read"))
        if isinstance(data, SealedPayload):
            raise data
        if hashlib.sha256(data).hexdigest() != shape.get("sha256"):
            raise SealedPayload(f"the object {shape['at']} is not what was stored: it was changed")
        return self._sealer.open(shape, data, owner, kind, most)

    async def _fetch(self, texts: Sequence[bytes]) -> dict[str, Any]:
        """The objects that texts refer to, each its bytes, or why there are none."""
        wanted: set[str] = set()
        for text in texts:
            if b'"at":' in text:
                for found in sealed.FOUND.finditer(text.decode(errors="replace")):
                    at = sealed.shape_of(found).get("at")
                    if at is not None:
                        wanted.add(str(at))
        keys = sorted(wanted)
        return dict(zip(keys, await asyncio.gather(*map(self._get, keys)), strict=True))

    async def _get(self, key: str) -> bytes | SealedPayload:
        if self._objects is None:
            return SealedPayload(f"a payload is in an object store ({key}), and none is set")
        if not key.startswith(f"{self._sealer.namespace}/"):
            return SealedPayload(f"a payload refers to {key}, which is of another namespace")
        async with self._fetching:
            try:
                return await self._objects.get(key)
            except NotFound:
                return SealedPayload(f"the object {key} is missing: restore it, and it goes on")
            except LuaflowError as error:
                return SealedPayload(f"the object {key} cannot be read: {error}")

    # -- whose it is -----------------------------------------------------------------------------

    async def _owner(self, keys: Sequence[str]) -> str:
        """Whose payloads a command is about, by its keys; '' where it is nobody's."""
        found = [parts for parts in map(_split, keys) if parts[1]]
        for _, kind, name in found:
            if kind in _OWNER:
                if kind == "wf":
                    self._remember(_run_of(keys), name)
                return _OWNER[kind] + name
        for prefix, _, run_id in found:
            if run_id not in self._workflows:
                wid = await self._read(("HGET", f"{prefix}run:{run_id}", "wid"))
                if wid is None:
                    return ""
                self._remember(run_id, bytes(wid).decode())
            return f"w:{self._workflows[run_id]}"
        return ""

    def _remember(self, run_id: str, workflow_id: str) -> None:
        if run_id:
            if len(self._workflows) >= REMEMBERED:
                self._workflows.clear()
            self._workflows[run_id] = workflow_id


def open_border(
    store: Store, settings: Settings, objects: Objects | None, *, running: bool
) -> tuple[Objects | None, Border]:
    """The object store and the border of a namespace, with the keys of this process's environment.

    ``objects``: the object store, where it is open already. Raises InvalidArgument for keys, or an
    object store, that cannot be read. A process that is ``running`` goes on: what needs them is
    refused.
    """
    try:
        if objects is None and settings.payload_store:
            objects = open_objects(settings.payload_store)
    except InvalidArgument as error:
        if not running:
            raise
        log.error("what is stored elsewhere is refused: %s", error)  # noqa: TRY400 - it is told
        objects = _Closed(str(error))
    try:
        keys = Keyring.from_environment()
    except InvalidArgument as error:
        if not running:
            raise
        log.error("encrypted payloads are refused here: %s", error)  # noqa: TRY400 - it is told
        keys = Keyring({}, os.environ.get(VARIABLE, "").strip())

    async def read(command: tuple[Arg, ...]) -> Any:
        return (await store.link.batch([command]))[0]

    return objects, Border(store.namespace, settings, keys, objects, read)


class _Closed:
    """In the place of an object store that cannot be opened."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def put(self, key: str, data: bytes) -> None:
        raise Unavailable(self._why)

    async def get(self, key: str) -> bytes:
        raise Unavailable(self._why)

    async def delete(self, key: str) -> None:
        raise Unavailable(self._why)

    async def keys(self, prefix: str) -> list[str]:
        raise Unavailable(self._why)

    async def close(self) -> None:
        """Nothing is open."""


def _split(key: str) -> tuple[str, str, str]:
    found = _KEY.fullmatch(key)
    return (found[1], found[2], found[3]) if found else ("", "", "")


def _run_of(keys: Sequence[str]) -> str:
    return next((name for _, kind, name in map(_split, keys) if kind == "run"), "")


def _refuse_unopened(text: str) -> None:
    """What could not be opened is not written back: its reason would stay in it for ever."""
    for found in sealed.FOUND.finditer(text):
        shape = sealed.shape_of(found)
        if "e" in shape:
            raise SealedPayload(str(shape["e"]))


def _marked(answer: Any) -> bool:
    if isinstance(answer, bytes):
        return MARK in answer
    return isinstance(answer, list) and any(map(_marked, answer))


def _texts(answer: Any) -> Iterator[bytes]:
    if isinstance(answer, list):
        for one in answer:
            yield from _texts(one)
    elif isinstance(answer, bytes) and MARK in answer:
        yield answer
