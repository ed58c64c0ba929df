"""Addresses of servers: one server, a master that Sentinels name, or a Redis Cluster.

``redis://user:password@host:port/db``, ``redis+sentinel://h1:p1,h2:p2/master``,
``redis+cluster://h1:p1,h2:p2``; ``rediss`` in place of ``redis`` is TLS, ``unix://path`` a socket.
What stands behind ``?`` are options of the connection, as redis-py names them, ``password_file``
and ``ssl_server_name``, and ``sentinel_username``, ``sentinel_password`` or
``sentinel_password_file`` where the Sentinels have words of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from redis.asyncio.connection import Connection, SSLConnection, parse_url

from luaflow.errors import InvalidArgument
from luaflow.store import credentials
from luaflow.store.tls import TlsConnection

Kind = Literal["server", "sentinel", "cluster"]
SCHEMES = {
    f"{base}{kind}": word
    for base in ("redis", "rediss")
    for kind, word in (("", "server"), ("+sentinel", "sentinel"), ("+cluster", "cluster"))
} | {"unix": "server"}
"""The beginning of an address, and what it is the address of."""
_PORTS = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_OWN = ("sentinel_username", "sentinel_password", "sentinel_password_file")


class Place(NamedTuple):
    """Where one server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """``host:port``, as it stands in an address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Address:
    """Where the data is: ``places`` are the server itself, the Sentinels, or nodes of a cluster."""

    url: str
    kind: Kind
    places: tuple[Place, ...]
    master: str
    _base: str
    _login: str
    _query: str
    _sentinel_login: str
    _sentinel_file: str = ""

    def of(self, place: Place) -> str:
        """The address of one server that has the data."""
        return f"{self._base}://{self._login}{place}{self._query}"

    def of_sentinel(self, place: Place) -> str:
        """The address of one of the Sentinels."""
        options = dict(parse_qsl(self._query.removeprefix("?")))
        for name in ("db", "password_file"):
            options.pop(name, None)
        if self._sentinel_file:
            options["password_file"] = self._sentinel_file
        options["login"] = "sentinel"
        return f"{self._base}://{self._sentinel_login}{place}?{urlencode(options)}"

    def finder(self, place: Place) -> str:
        """Who named this server, to stand behind an error; empty for one that the address names."""
        if self.kind == "sentinel":
            return f" (announced by the Sentinels at {self})"
        return "" if place in self.places else f" (announced by the cluster at {self})"

    def __str__(self) -> str:
        """The address without its password."""
        return hide_password(self.url)


def hide_password(url: str) -> str:
    """An address that may be shown: without who, and without what stands behind ``?``."""
    head, at, tail = url.partition("?")[0].rpartition("@")
    return f"{head.split('://')[0]}://…@{tail}" if at else tail


@lru_cache(maxsize=64)
def parse_address(url: str) -> Address:
    """Read an address; InvalidArgument, in plain words, for one that is none."""
    if "://" not in url:
        url = f"redis://{url}"
    try:
        url.encode()
        parts = urlsplit(f"redis://{url.partition('://')[2]}")
    except ValueError:  # (whose words may show a password)
        raise _bad(url, "it is not a well-formed URL") from None
    scheme = url.partition("://")[0]
    kind = SCHEMES.get(scheme)
    if kind is None:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise _bad(url, f"it begins with {scheme}://, and not with one of {known}")
    base = scheme.partition("+")[0]
    if kind == "server":
        connection_settings(url)
        return Address(url, "server", (), "", base, "", "", "")
    login, _, hosts = parts.netloc.rpartition("@")
    options = dict(parse_qsl(parts.query))
    own = [options.pop(name, "") for name in _OWN]
    query = f"?{urlencode(options)}" if options else ""
    address = Address(
        url=url,
        kind="sentinel" if kind == "sentinel" else "cluster",
        places=tuple(_place(url, one, _PORTS[kind]) for one in hosts.split(",")),
        master=_master(url, parts) if kind == "sentinel" else "",
        _base=base,
        _login=f"{login}@" if login else "",
        _query=query,
        _sentinel_login=_login(*own[:2]),
        _sentinel_file=own[2],
    )
    if kind == "cluster":
        _check_cluster(url, parts, options, own)
    connection_settings(address.of(address.places[0]), shown=url)
    return address


def connection_settings(url: str, *, shown: str = "") -> tuple[type[Connection], dict[str, Any]]:
    """The class and the settings of a connection to one server; InvalidArgument for others."""
    if "://" not in url:
        url = f"redis://{url}"
    try:
        settings: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise _bad(shown or url, str(error)) from None
    kind: type[Connection] = settings.pop("connection_class", Connection)
    if issubclass(kind, SSLConnection):
        kind = TlsConnection
    for name in settings:
        if name not in _options(kind) and name not in credentials.OPTIONS:  # type: ignore[arg-type]
            raise _bad(shown or url, f"{name} is no option of a connection")
    return kind, settings


@cache
def _options(kind: type[Connection]) -> set[str]:
    """What a class of connections can be told, its own parameters and those of its bases."""
    makers = (vars(one).get("__init__") for one in kind.__mro__)
    return {name for make in makers if make for name in inspect.signature(make).parameters}


def _place(url: str, text: str, port: int) -> Place:
    if not text:
        raise _bad(url, "it names no host, or there is a comma too many")
    try:
        one = urlsplit(f"redis://{text}")
        host, named = one.hostname, one.port
    except ValueError as error:
        raise _bad(url, str(error)) from None
    if not host:
        raise _bad(url, f"there is no host in {text!r}")
    return Place(host, port if named is None else named)


def _master(url: str, parts: SplitResult) -> str:
    name = unquote(parts.path.strip("/"))
    if not name or "/" in name:
        raise _bad(url, "the name of the master is missing: redis+sentinel://host:port/NAME")
    return name


def _check_cluster(
    url: str, parts: SplitResult, options: Mapping[str, str], own: list[str]
) -> None:
    if parts.path.strip("/") not in {"", "0"} or options.get("db", "0") != "0":
        raise _bad(url, "a cluster has no databases: leave out what stands behind the hosts")
    if any(own):
        raise _bad(url, f"a cluster has no Sentinels: leave out {' and '.join(_OWN)}")


def _login(username: str, password: str) -> str:
    if not (username or password):
        return ""
    return f"{quote(username, safe='')}:{quote(password, safe='')}@"


def _bad(url: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"the Redis address {hide_password(url)!r} cannot be read: {why}")
