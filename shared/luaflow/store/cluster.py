"""A link to all primaries of a Redis Cluster: one ``Link`` each, a batch is split among them.

Every command goes to the node of its keys' slot, one without keys where the one before it went.
What a node has not (any more) is sent on to the node it names; a node that is gone makes the map be
read anew, and the batch ends with ``ConnectionLost``, which has the answers of the others.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from redis.asyncio.connection import Connection

from luaflow.errors import Unavailable
from luaflow.store.address import Place, parse_address
from luaflow.store.connect import ONE_OF_MANY_SECONDS, connect_to
from luaflow.store.dialing import nodes_of, redirect
from luaflow.store.link import Arg, Call, ConnectionLost, Link
from luaflow.store.nodes import Nodes
from luaflow.store.slots import redirection, slot_of, slot_of_key

HOPS = 5
"""How often a command is sent on at once; then whoever repeats it waits a little."""

Command = Call | tuple[Arg, ...]


class NodeLink(Link):
    """The link to one primary of a cluster."""

    mode: ClassVar[str] = "cluster"
    named_by = ""
    """Who named this node."""

    async def _dial(self) -> Connection:
        within = ONE_OF_MANY_SECONDS
        return await connect_to(
            self.url, within=within, found=self.named_by, client_name=self._name
        )

    async def _server_id(self, connection: Connection) -> str:
        # the mark by which scripts know that slots may move (scripts/includes/partition.lua)
        return f"~{await super()._server_id(connection)}"


class ClusterLink:
    """Shared, pipelined connections to the primaries of a cluster."""

    def __init__(self, url: str, *, name: str = "luaflow", confirm: tuple[Arg, ...] = ()) -> None:
        """Keep the address; ``confirm`` is sent behind every batch of scripts, on each node."""
        self.url = url
        self.server = ""
        self.on_change: list[Callable[[], None]] = []
        self._address = parse_address(url)
        self._name = name
        self._confirm = confirm
        self._links: dict[Place, NodeLink] = {}
        self._gone: set[Place] = set()
        """Nodes that did not answer: before they are asked again, the map is read anew."""
        self._joined = False

    @property
    def confirm(self) -> tuple[Arg, ...]:
        """The WAIT or WAITAOF behind every batch of scripts."""
        return self._confirm

    @confirm.setter
    def confirm(self, command: tuple[Arg, ...]) -> None:
        self._confirm = command
        for link in self._links.values():
            link.confirm = command

    @property
    def confirms(self) -> bool:
        """Whether anything is sent behind a batch of scripts to confirm it, on some node."""
        return bool(self._confirm) and any(link.confirms for link in self._links.values())

    async def look_at_sync(self) -> None:
        """Learn anew which nodes sync each write."""
        links = [link for link in self._links.values() if link.connected]
        await asyncio.gather(*(link.look_at_sync() for link in links))

    @property
    def connected(self) -> bool:
        """Whether each node that was needed is reached."""
        return bool(self._links) and all(link.connected for link in self._links.values())

    async def close(self) -> None:
        """Close the connections; open calls are answered with ConnectionLost."""
        links, self._links = self._links, {}
        await asyncio.gather(*(link.close() for link in links.values()))
        if self._joined:
            self._joined = False
            await nodes_of(self.url).leave(self)

    async def batch(self, commands: Iterable[Command]) -> list[Any]:
        """Send commands together and return their answers in order; see ``Link.batch``."""
        commands = list(commands)
        if not commands:
            return []
        leaders = _leaders(commands)
        todo = await self._places(commands, leaders)
        answers: list[Any] = [None] * len(commands)
        for _ in range(HOPS):
            await self._round(commands, todo, answers)
            todo = self._sent_on(leaders, todo, answers)
            if not todo:
                break
        lost = [answer for answer in answers if isinstance(answer, Unavailable)]
        if lost:
            raise _lost(lost, answers)
        return answers

    async def each(self, *commands: tuple[Arg, ...]) -> dict[str, list[Any]]:
        """Send plain commands to every primary; the answers by its address, errors of those away.

        Raises Unavailable when all of them are.
        """
        nodes = await self._nodes(())
        places = nodes.map.primaries
        found = await asyncio.gather(*(self._ask(place, False, commands) for place in places))
        lost = [answers[0] for answers in found if isinstance(answers[0], Unavailable)]
        if lost and len(lost) == len(found):
            raise lost[0]
        return {str(place): answers for place, answers in zip(places, found, strict=True)}

    async def _nodes(self, wanted: Iterable[Place]) -> Nodes:
        """The map; read anew where a node that is wanted did not answer."""
        nodes = nodes_of(self.url)
        if not self._joined:
            self._joined = True
            nodes.join(self, self._moved)
        if not nodes.places or not self._gone.isdisjoint(wanted):
            await nodes.look()
            self._gone.clear()
        return nodes

    async def _moved(self) -> None:
        """Let go of nodes that are no primaries any more: whoever waits for them asks others."""
        places = nodes_of(self.url).places
        for place in [place for place in self._links if place not in places]:
            await self._links.pop(place).close()

    async def _places(
        self, commands: Sequence[Command], leaders: Sequence[int]
    ) -> dict[int, tuple[Place, bool]]:
        """Where each command goes."""
        slots = {i: _slot(commands[i]) for i in set(leaders)}
        nodes = await self._nodes(())
        places = {i: nodes.owner(slot) for i, slot in slots.items()}
        if not self._gone.isdisjoint(places.values()):
            nodes = await self._nodes(places.values())
            places = {i: nodes.owner(slot) for i, slot in slots.items()}
        return {i: (places[leader], False) for i, leader in enumerate(leaders)}

    async def _round(
        self,
        commands: Sequence[Command],
        todo: Mapping[int, tuple[Place, bool]],
        answers: list[Any],
    ) -> None:
        """Send each command to its place, all at once."""
        parts: defaultdict[tuple[Place, bool], list[int]] = defaultdict(list)
        for i, place in todo.items():
            parts[place].append(i)
        found = await asyncio.gather(
            *(self._ask(*to, [commands[i] for i in part]) for to, part in parts.items()),
            return_exceptions=True,
        )
        for part, answered in zip(parts.values(), found, strict=True):
            if isinstance(answered, BaseException):
                raise answered
            for i, answer in zip(part, answered, strict=True):
                answers[i] = answer

    async def _ask(self, place: Place, asking: bool, commands: Sequence[Command]) -> list[Any]:
        if place not in self._links:
            url = self._address.of(place)
            self._links[place] = NodeLink(url, name=self._name, confirm=self._confirm)
            self._links[place].on_change = self.on_change
            self._links[place].named_by = self._address.finder(place)
        try:
            return await self._links[place].batch(commands, asking=asking)
        except Unavailable as error:
            self._gone.add(place)
            return [error] * len(commands)

    def _sent_on(
        self,
        leaders: Sequence[int],
        done: Mapping[int, tuple[Place, bool]],
        answers: Sequence[Any],
    ) -> dict[int, tuple[Place, bool]]:
        """What another node has to be asked, with the commands that go where those go."""
        sent: dict[int, tuple[Place, bool]] = {}
        for i, (place, _) in done.items():
            if leaders[i] == i and (found := redirection(answers[i], place)):
                redirect(self.url, answers[i], place)
                sent[i] = (found.place, found.asking)
        return {i: sent[leaders[i]] for i in done if leaders[i] in sent}


def _slot(command: Command) -> int | None:
    return slot_of_key(command.keys[0]) if isinstance(command, Call) else slot_of(command)


def _leaders(commands: Sequence[Command]) -> list[int]:
    """For each command the one whose keys say where it goes: itself, or the last with keys."""
    leaders: list[int] = []
    for i, command in enumerate(commands):
        leaders.append(i if not leaders or _slot(command) is not None else leaders[-1])
    return leaders


def _lost(lost: Sequence[Unavailable], answers: Sequence[Any]) -> Unavailable:
    """The error of a batch of which a part was not answered."""
    unknown = [error for error in lost if isinstance(error, ConnectionLost)]
    if not unknown and len(lost) == len(answers):
        return lost[0]
    error = ConnectionLost(str((unknown or lost)[0]))
    error.answers = answers
    return error
