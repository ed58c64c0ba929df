"""A connection to one server, and what it asks for at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

from luaflow.errors import NotLetIn, Unavailable
from luaflow.store import credentials, tls
from luaflow.store.address import connection_settings, hide_password
from luaflow.store.noperm import denied
from luaflow.store.tls import TlsConnection

CONNECT_SECONDS = 10.0
"""How long a connection may take until the server has answered its first words."""
ONE_OF_MANY_SECONDS = 2.0
"""The same where there are several servers: another one may have taken over."""
_DENIALS = (AuthenticationError, AuthorizationError)


@cache
def _driver() -> DriverInfo:
    """What a server is told of the library; looked up from files, so once for all connections."""
    return DriverInfo()


def make_connection(url: str, **options: Any) -> Connection:
    """Return an unconnected connection to one server: RESP2, bytes, no retries of its own."""
    kind, settings = connection_settings(url)
    credentials.fill_in(settings)
    if issubclass(kind, TlsConnection):
        tls.fill_in(settings)
    if not settings.keys() & {"lib_name", "lib_version"}:
        settings["driver_info"] = _driver()
    settings.update(
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        socket_connect_timeout=5,
        **options,
    )
    connection = kind(**settings)
    if isinstance(connection, TlsConnection):
        tls.believe_only(connection)
    return connection


async def connect_to(
    url: str, *, within: float = CONNECT_SECONDS, found: str = "", **options: Any
) -> Connection:
    """Return a connection to one server, or raise Unavailable naming the address.

    ``found`` says how the server was found, where nobody gave its address (``Address.finder``).
    """
    shown = hide_password(url)
    try:
        connection = make_connection(url, **options)
    except Unavailable as error:
        raise Unavailable(f"cannot reach Redis at {shown}: {error}{found}") from None
    try:
        # a frozen server still takes connections, and says nothing
        async with asyncio.timeout(within):
            await connection.connect()  # type: ignore[no-untyped-call]
    except (RedisError, OSError) as error:
        await connection.disconnect(nowait=True)
        await asyncio.sleep(0)  # the socket of a handshake that failed is closed in the next turn
        if problem := denied(error.__cause__, url, ("CLIENT SETNAME",)):
            raise problem from None
        why = (str(error) or f"it does not answer within {within:.0f} s").rstrip(".")
        if hint := tls.explain(error, connection):
            why = f"{hint} ({why})"
        if isinstance(error, _DENIALS):
            why += ": look at the user and the password in the address (redis://user:password@host)"
            raise NotLetIn(f"cannot reach Redis at {shown}: {why}{found}") from error
        raise Unavailable(f"cannot reach Redis at {shown}: {why}{found}") from error
    return connection


async def ask_at_once(
    connection: Connection, *commands: Sequence[str | bytes | int | float], within: float
) -> list[Any]:
    """Send commands and return their answers, refusals among them; RedisError, OSError."""
    async with asyncio.timeout(within):
        for command in commands:
            await connection.send_command(*command, check_health=False)
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await connection.read_response(disable_decoding=True))
            except ResponseError as error:
                answers.append(error)
        return answers
