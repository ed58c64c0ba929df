"""The store of one namespace: a shared connection, push, and the loop that repeats transitions.

Every transition is idempotent (a commit id, a token, a request number, a precondition), so a call
whose answer was lost is simply sent again until it is answered or the caller's patience ends.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from luaflow.domain.ids import check_workflow_id, partition_of
from luaflow.domain.sealed import SealedPayload
from luaflow.errors import Damaged, LuaflowError, NotFound, Refused, Unavailable, Unknown
from luaflow.store import upkeep
from luaflow.store.address import parse_address
from luaflow.store.keys import Partition
from luaflow.store.link import (
    Arg,
    Call,
    ConnectionLost,
    ScriptFailed,
)
from luaflow.store.links import Linked, make_link
from luaflow.store.listen import RECONNECT_SECONDS, Subscriber
from luaflow.store.namespaces import Settings, read_settings
from luaflow.store.noperm import denied
from luaflow.store.refused import error_code, failed_inside, is_transient
from luaflow.store.topology import NobodyThere
from luaflow.store.transitions import Route

if TYPE_CHECKING:
    from luaflow.objects import Objects
    from luaflow.store.deployed import DeployedType
    from luaflow.store.payloads import Border

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
SETTINGS_SECONDS = 20.0
"""How long a process may go by settings that were changed meanwhile."""
RETRY_SECONDS = 1.0
"""How soon they are read again where that failed."""
MOVES = 100
"""How often a run is followed that moves, between workers or to the next one of its chain."""


class Store:
    """A namespace on a server; ``await Store.open(url, namespace)``, ``await store.close()``."""

    def __init__(self, url: str, namespace: str, settings: Settings, link: Linked) -> None:
        """Build it from its parts; use ``open``."""
        self.url = url
        self.namespace = namespace
        self.settings = settings
        self.link = link
        self.push = Subscriber(url)
        self.partitions = [Partition(namespace, p) for p in range(settings.partitions)]
        self.part = ""
        """Which part of luaflow this is, where that matters: what its user has to be allowed."""
        self.findings: frozenset[str] | None = None
        """What was said about the server when it was found fit (``luaflow.store.checks``)."""
        self.checking = asyncio.Lock()
        self._look_at = 0.0
        self._looking = asyncio.Lock()
        self._carries = False
        self._former: list[Objects] = []
        self.border: Border | None = None
        """What seals and opens payloads; None where they are plain, or only carried on."""
        self.objects: Objects | None = None
        """Where large payloads are."""
        self.lanes: set[str] = set()
        """Lanes that are known to be noted (``luaflow.store.lanes``)."""
        self.types: dict[str, tuple[DeployedType, float]] = {}
        """Of workflow types what was read, and until when it holds (``luaflow.store.deployed``)."""

    @classmethod
    async def open(cls, url: str, namespace: str, *, name: str = "luaflow") -> Store:
        """Connect to a namespace; NotFound when there is none of that name, Unavailable without
        server.

        The namespace ``default`` is made when it is missing: one command less for a newcomer.
        Where another server may be about to take over, that is waited for (PATIENCE_SECONDS).
        """
        link = make_link(url, name=name)
        try:
            settings = await _settings(link, namespace)
        except BaseException:
            await link.close()
            raise
        link.confirm = settings.confirm
        store = cls(url, namespace, settings, link)
        store.part = name.partition("-")[2]
        store._look_at = asyncio.get_running_loop().time() + SETTINGS_SECONDS
        try:
            store._open_border(settings)
        except BaseException:
            await store.close()
            raise
        return store

    def _open_border(self, settings: Settings, *, running: bool = False) -> None:
        """What is sealed can be opened from then on, also once nothing is sealed any more.

        ``running``: what cannot be opened then (keys, an object store) refuses payloads one by one.
        """
        if not (settings.bordered or self.border is not None or self.objects is not None):
            return
        from luaflow.store.payloads import open_border  # noqa: PLC0415 - few need it

        former, url = self.objects, self.settings.payload_store
        kept = former if settings.payload_store == url else None
        self.objects, border = open_border(self, settings, kept, running=running)
        if former is not None and kept is None:
            self._former.append(former)  # (who reads from it now is not disturbed)
        if not self._carries:
            self.border = border

    def only_carry(self) -> None:
        """Seal and open nothing from now on: a scheduler passes on what is sealed, without keys."""
        self.border, self._carries = None, True

    async def opened(self, answer: Any, owner: str) -> Any:
        """What was read past this store, with the payloads of an owner in it opened."""
        return answer if self.border is None else await self.border.reply(answer, owner)

    async def sealed(self, text: bytes, owner: str) -> bytes:
        """A document that is sent past the scripts of runs, with its payloads sealed."""
        return text if self.border is None else await self.border.document(text, owner)

    async def close(self) -> None:
        """Close both connections."""
        for objects in (*self._former, self.objects):
            if objects is not None:
                await objects.close()
        await self.push.close()
        await self.link.close()

    def partition(self, workflow_id: str) -> Partition:
        """Return the partition of a workflow id (InvalidArgument for one that is no id)."""
        return self.partitions[partition_of(check_workflow_id(workflow_id), len(self.partitions))]

    async def read(self, *commands: tuple[Arg, ...]) -> list[Any]:
        """Send plain commands together; repeat them while the connection is away."""
        return await self._repeat(commands)

    async def ask(self, *commands: Call | tuple[Arg, ...]) -> list[Any]:
        """The same, but what the server refuses is answered by its error, and not raised."""
        return await self._repeat(commands, refusals=True)

    async def at_once(self, *commands: Call | tuple[Arg, ...]) -> list[Any]:
        """Send commands once; the error of what is refused or away is its answer.

        Who reads from all partitions need not wait for the one that is just failing over.
        """
        try:
            return await self.link.batch(commands)
        except Unavailable as error:
            answers = error.answers if isinstance(error, ConnectionLost) else ()
            return list(answers) or [error] * len(commands)

    async def each_server(self, *commands: tuple[Arg, ...]) -> dict[str, list[Any]]:
        """Ask every server that has data (each primary of a cluster) the same; refusals, too.

        The answers by the server's address. Raises Unavailable when one of them cannot be asked.
        """
        found = await self.link.each(*commands)
        for answers in found.values():
            if isinstance(answers[0], Unavailable):
                raise answers[0]
        return found

    @property
    def looks_again(self) -> bool:
        """Whether what is told by push is but a hint: what stands on the server is read then."""
        return self.confirms or self.border is not None

    @property
    def confirms(self) -> bool:
        """Whether what this server has may be lost with it before others have it.

        Not so where each write is synced: there every answer, also a read's, waits for that.
        """
        return self.link.confirms

    async def confirmed(self, p: Partition, *commands: tuple[Arg, ...]) -> list[Any]:
        """Read what is told to somebody outside: others have what these answers rest on (5.5).

        Raises Unknown where that cannot be had.
        """
        # WAIT behind a mere read proves nothing: a write of our own goes before it
        return (await self.run(*commands, upkeep.confirm(partition=p)))[:-1]

    async def run(
        self, *calls: Call | tuple[Arg, ...], patience: float = PATIENCE_SECONDS
    ) -> list[Any]:
        """Run transitions together and return their answers (lists; see each script's header).

        Plain commands may stand among them: what those read is confirmed with the transitions.

        Raises Unknown when the server could not be asked to the end within ``patience`` seconds,
        Refused when it is out of memory, LuaflowError for what it answers else.
        """
        return await self._repeat(calls, patience)

    async def one(self, call: Call, *, patience: float = PATIENCE_SECONDS) -> list[Any]:
        """Run one transition and return its answer."""
        answer: list[Any] = (await self._repeat((call,), patience))[0]
        return answer

    async def apart(self, *calls: Call) -> list[list[Any] | LuaflowError]:
        """Run transitions together; where one makes its script fail, that error is its answer.

        Raises Unavailable and Unknown.
        """
        try:
            return await self.run(*calls) if calls else []
        except (Unavailable, Unknown):
            raise
        except LuaflowError:
            answers: list[list[Any] | LuaflowError] = []
            for call in calls:
                try:
                    answers.append(await self.one(call))
                except (Unavailable, Unknown):
                    raise
                except LuaflowError as error:
                    answers.append(error)
            return answers

    def look_soon(self, problem: LuaflowError) -> None:
        """Read the settings before the next command, where a payload says that they changed."""
        if self.border is None and isinstance(problem, SealedPayload):
            self._look_at = 0.0

    async def _look_again(self) -> None:
        """Take over settings that were changed since: durability, and how payloads travel."""
        loop = asyncio.get_running_loop()
        async with self._looking:  # (nothing passes by settings that are being read)
            if loop.time() < self._look_at:
                return
            try:
                fresh = await read_settings(self.link, self.namespace)
                if fresh.sealing != self.settings.sealing:
                    self._open_border(fresh, running=True)
                self.settings = fresh
                self.link.confirm = fresh.confirm
                if fresh.durability == "fsynced":
                    await self.link.look_at_sync()
            except (Unavailable, NotFound):
                # whoever asks now finds out, and says so
                self._look_at = loop.time() + RETRY_SECONDS
            else:
                self._look_at = loop.time() + SETTINGS_SECONDS

    async def _repeat(
        self,
        commands: Sequence[Call | tuple[Arg, ...]],
        patience: float = PATIENCE_SECONDS,
        *,
        refusals: bool = False,
    ) -> list[Any]:
        if asyncio.get_running_loop().time() >= self._look_at:
            await self._look_again()  # (before anything is sealed by the old ones)
        if self.border is not None:
            commands = await self.border.seal(commands)
        answers = await self._sent(commands, patience, refusals=refusals)
        return answers if self.border is None else await self.border.open(commands, answers)

    async def _sent(
        self, commands: Sequence[Call | tuple[Arg, ...]], patience: float, *, refusals: bool
    ) -> list[Any]:
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        answers: list[Any] = [None] * len(commands)
        todo = list(range(len(commands)))
        sent = False
        problem: object = None
        for attempt in itertools.count():
            got: Sequence[Any]
            try:
                got = await self.link.batch([commands[i] for i in todo])
                problem = None
            except Unavailable as error:
                sent = sent or isinstance(error, ConnectionLost)
                got = error.answers if isinstance(error, ConnectionLost) else ()
                problem = error
            again = []
            for i, answer in zip(todo, got, strict=False):
                answers[i] = answer
                if isinstance(answer, Unavailable):
                    again.append(i)
                if not isinstance(answer, ResponseError):
                    continue
                if is_transient(answer):
                    problem = answer
                    again.append(i)
                elif not refusals:
                    raise denied(answer, self.url, commands[i]) or _refusal(answer)
            if problem is None:
                return answers
            # what was read beside a refused transition is read again: they are of one server
            reads = [i for i in todo if not isinstance(commands[i], Call)]
            todo = sorted({*again, *reads}) if again else todo
            wait = RECONNECT_SECONDS[min(attempt, len(RECONNECT_SECONDS) - 1)]
            if loop.time() + wait > end:
                break
            await asyncio.sleep(wait)
        raise _unanswered(problem, len(todo), len(commands), patience if sent else None)

    async def route(self, workflow_id: str, run_id: str | None = None) -> Route:
        """Return where a workflow id's current run is reached; NotFound when there is none.

        With a run id that is not the current one, the route still names it: its events can be read.
        The id of a chain's first run stands for the chain when that run itself is gone.
        """
        p = self.partition(workflow_id)
        (found,) = await self.read(("HMGET", p.wf(workflow_id), "run", "queue", "sticky", "first"))
        if found[0] is None:
            raise NotFound(
                f"there is no workflow with the id {workflow_id!r} in '{self.namespace}'"
            )
        run, queue, sticky, chain = _names(found, workflow_id)
        if run_id and run_id != run:
            (exists,) = await self.read(("EXISTS", p.run(run_id)))
            if not exists and chain == run_id:
                return Route(p, workflow_id, run, queue, sticky)
            if not exists:
                raise NotFound(f"the workflow {workflow_id!r} has no run {run_id!r}")
            return Route(p, workflow_id, run_id, queue, "")
        return Route(p, workflow_id, run, queue, sticky)

    async def reach(self, route: Route, make: Callable[[Route], Call]) -> tuple[Route, list[Any]]:
        """Run a transition that needs the run's present place; follow it while it moves.

        Raises Refused when it moves on and on.
        """
        for _ in range(MOVES):
            answer = await self.one(make(route))
            if answer[0] != b"moved":
                return route, answer
            run, queue, sticky = _names(answer[1:4], route.workflow_id)
            route = Route(route.partition, route.workflow_id, run, queue or route.queue, sticky)
        raise Refused(f"the workflow {route.workflow_id!r} moves faster than it can be followed")


async def _settings(link: Linked, namespace: str) -> Settings:
    """The settings of a namespace; of several servers one may be about to take over."""
    end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    alone = parse_address(link.url).kind == "server"
    while True:
        try:
            return await read_settings(link, namespace, create=namespace == "default")
        except NobodyThere:
            raise
        except Unavailable:
            if alone or asyncio.get_running_loop().time() > end:
                raise
        await asyncio.sleep(RECONNECT_SECONDS[-1])


def _unanswered(problem: object, missing: int, asked: int, waited: float | None) -> LuaflowError:
    """Why requests have no answer; of a cluster some may have one. ``waited`` where they left."""
    part = f"{missing} of {asked} answers are missing: " if missing < asked else ""
    if waited is None:
        return Unavailable(f"{part}{problem}")
    return Unknown(
        f"no answer from Redis within {waited:.0f} s ({part}{problem}): it may have happened"
    )


def _names(found: Sequence[Any], workflow_id: str) -> list[str]:
    """What a place is told by, as text; Damaged where it is none."""
    try:
        return [bytes(name or b"").decode() for name in found]
    except UnicodeDecodeError as error:
        raise Damaged(
            f"what is stored of the workflow {workflow_id!r} is not what was written ({error}):"
            " restore it from a backup"
        ) from error


def _refusal(answer: ResponseError) -> LuaflowError:
    if error_code(answer) == "OOM":
        return Refused(
            "Redis is out of memory: new starts and signals are refused, running work goes on; "
            "raise maxmemory or shorten the retention"
        )
    kind = ScriptFailed if failed_inside(answer) else LuaflowError
    if kind is LuaflowError and error_code(answer) == "WRONGTYPE":
        kind = Damaged
    return kind(f"Redis answered: {answer}")
