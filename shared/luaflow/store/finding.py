"""Which server is the master now: the Sentinels are asked, and the server itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

from luaflow.errors import InvalidArgument, Unavailable
from luaflow.store.address import Address, Place
from luaflow.store.connect import ONE_OF_MANY_SECONDS, ask_at_once
from luaflow.store.topology import Asker, NobodyThere, Topology


class _View(NamedTuple):
    """What a Sentinel says: how often it knows the master to have changed, and where it is."""

    epoch: int
    place: Place


class Sentinels(Topology):
    """The master that the Sentinels of an address name."""

    every: ClassVar[float] = 1.0

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._view: _View | None = None

    @property
    def places(self) -> set[Place]:
        """The master."""
        return {self._view.place} if self._view else set()

    def _asker(self) -> Asker:
        return Asker(self.address.of_sentinel)

    async def _look(self, asker: Asker, *, newer: bool) -> None:
        name = self.address.master
        answers = await asker.ask(
            self.address.places,
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name),
            ("SENTINEL", "MASTER", name),
            ("SENTINEL", "MASTERS"),
        )
        views = [view for answer in answers.values() if (view := _read(answer))]
        if not views:
            raise self._nobody(answers)
        # one that was cut off with the old master has not heard of the new one
        view = max(views, key=lambda one: one.epoch)
        if not newer or self._view is None or view.epoch >= self._view.epoch:
            self._view = view

    def _nobody(self, answers: Mapping[Place, list[Any] | Exception]) -> Exception:
        """Why there is no master: nobody answers, nobody knows it, or they are no Sentinels."""
        said = {place: answer for place, answer in answers.items() if isinstance(answer, list)}
        if not said:
            why = "; ".join(f"{place}: {answer}" for place, answer in answers.items())
            return NobodyThere(f"cannot reach Redis at {self.address}: no Sentinel answers ({why})")
        names = sorted({name for answer in said.values() for name in _names(answer[2])})
        place, answer = next(iter(said.items()))
        if names:
            return NobodyThere(
                f"the Sentinels at {self.address} know no master named {self.address.master!r}, "
                f"but {', '.join(map(repr, names))}: correct the end of the address"
            )
        if "unknown command" in str(answer[2]):
            return InvalidArgument(
                f"the server at {place} is no Sentinel: give the addresses of Sentinels, or "
                f"redis://{place} for this one server"
            )
        return NobodyThere(f"the Sentinel at {place} knows no master: {answer[1]}")

    async def check(self, connection: Connection, place: Place) -> None:
        """Raise Unavailable where the server itself says that it is no master."""
        (role,) = await ask_at_once(connection, ("ROLE",), within=ONE_OF_MANY_SECONDS)
        if isinstance(role, ResponseError):
            return  # hidden by an ACL: then the Sentinels have to be believed
        if bytes(role[0]) != b"master":
            raise Unavailable(
                f"the Sentinels name {place} as the master {self.address.master!r}, which it is "
                "not (yet)"
            )


def _read(answer: list[Any] | Exception) -> _View | None:
    if isinstance(answer, Exception):
        return None
    where, fields, _ = answer
    if not where or isinstance(where, ResponseError):
        return None
    known = {} if isinstance(fields, ResponseError) else _texts(fields)
    epoch = int(known.get("config-epoch", 0))
    return _View(epoch, Place(bytes(where[0]).decode(), int(where[1])))


def _names(masters: Any) -> list[str]:
    return [] if isinstance(masters, ResponseError) else [_texts(one)["name"] for one in masters]


def _texts(flat: list[bytes]) -> dict[str, str]:
    texts = [bytes(x).decode() for x in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
