"""TLS to servers, Sentinels and nodes: whom to believe, what to show, and what went wrong.

The options of an address are redis-py's (``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``,
``ssl_check_hostname`` …) and ``ssl_server_name``; ``LUAFLOW_REDIS_CA_FILE``, ``_CERT_FILE``,
``_KEY_FILE`` and ``_SERVER_NAME`` are what addresses without them take. Files are looked at for
each connection: certificates can be renewed while a process runs.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import redis.exceptions
from redis.asyncio.connection import Connection, SSLConnection

from luaflow.errors import Unavailable

SERVER_NAME: Final = "ssl_server_name"
_VARIABLES: Final = {
    "ssl_ca_certs": "LUAFLOW_REDIS_CA_FILE",
    "ssl_certfile": "LUAFLOW_REDIS_CERT_FILE",
    "ssl_keyfile": "LUAFLOW_REDIS_KEY_FILE",
    SERVER_NAME: "LUAFLOW_REDIS_SERVER_NAME",
}
_FILES: Final = {
    "ssl_ca_certs": "the CA file",
    "ssl_certfile": "the certificate",
    "ssl_keyfile": "the key",
}


class TlsConnection(SSLConnection):
    """A connection that believes the CA it was given and no other, and checks names by itself."""

    def __init__(self, *, ssl_server_name: str | None = None, **settings: Any) -> None:
        """``ssl_server_name``: whose certificate it must be, in the place of the host's."""
        super().__init__(**settings)
        self._server_name = ssl_server_name

    def _connection_arguments(self) -> Mapping[str, Any]:
        given = dict(super()._connection_arguments())
        if self._server_name:
            given["server_hostname"] = self._server_name
        return given

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Close it at once: TLS says good-bye first, and waits for an answer."""
        writer = self._writer
        await super().disconnect(*args, **kwargs)
        if writer is not None:
            writer.transport.abort()
            await asyncio.sleep(0)


def fill_in(settings: dict[str, Any], environment: Mapping[str, str] = os.environ) -> None:
    """Put in what variables say, where the address says nothing; Unavailable for files."""
    for option, variable in _VARIABLES.items():
        if option not in settings and (value := environment.get(variable)):
            settings[option] = value
    for option, what in _FILES.items():
        if file := settings.get(option):
            _readable(str(file), what)


def believe_only(connection: SSLConnection) -> None:
    """Give a connection its context: where a CA is named, those of the system do not count."""
    files = (connection.ca_certs, connection.certfile, connection.keyfile)
    stamps = tuple(Path(file).stat().st_mtime_ns if file else 0 for file in files)
    given = connection.ssl_context
    try:
        given.context = _context(
            *files,
            given.ca_path,
            given.ca_data,
            given.password,
            given.ciphers,
            given.min_version,
            given.cert_reqs,
            given.check_hostname,
            tuple(given.include_verify_flags or ()),
            tuple(given.exclude_verify_flags or ()),
            stamps,
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        names = " and ".join(str(file) for file in files if file)
        why = getattr(error, "reason", None) or error
        raise Unavailable(f"the certificates in {names} cannot be used: {why}") from None


@lru_cache(maxsize=16)
def _context(
    ca: str | None,
    cert: str | None,
    key: str | None,
    ca_path: str | None,
    ca_data: str | None,
    password: str | None,
    ciphers: str | None,
    least: int | None,
    wanted: ssl.VerifyMode,
    check_name: bool,
    flags: tuple[ssl.VerifyFlags, ...],
    no_flags: tuple[ssl.VerifyFlags, ...],
    _stamps: tuple[int, ...],
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca, capath=ca_path, cadata=ca_data)
    context.check_hostname = check_name
    context.verify_mode = wanted
    for flag in flags:
        context.verify_flags |= flag
    for flag in no_flags:
        context.verify_flags &= ~flag
    if cert or key:
        context.load_cert_chain(cert or "", key, password or "")
    if least is not None:
        context.minimum_version = ssl.TLSVersion(least)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def _readable(file: str, what: str) -> None:
    try:
        with Path(file).open("rb"):
            return
    except OSError as error:
        raise Unavailable(f"{what} {file} cannot be read: {error.strerror}") from None


def explain(error: BaseException, connection: Connection) -> str:
    """What to do about a connection that failed for its encryption; empty for another reason."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    if found is None:
        secure = connection if isinstance(connection, SSLConnection) else None
        if secure and isinstance(error, (TimeoutError, redis.exceptions.TimeoutError)):
            return f"it answers like {_PLAIN}"
        if not any(words in str(error) for words in _CLOSED):
            return ""
        if not secure:
            return "it answers like a server that speaks TLS alone: is it rediss://?"
        if secure.certfile:
            return "it answers like a server that does not accept our certificate"
        return f"it answers like a server that wants a client's certificate: {_SHOW}"
    if isinstance(found, ssl.SSLCertVerificationError):
        return _of_certificate(found)
    reason = (found.reason or "").upper()
    for part, text in _REASONS.items():
        if part in reason:
            return text
    return ""


_CLOSED: Final = ("closed by server", "reset by peer", "Broken pipe")
_PLAIN: Final = "a port that does not speak TLS: is it redis://?"
_SHOW: Final = "name the files with LUAFLOW_REDIS_CERT_FILE and LUAFLOW_REDIS_KEY_FILE"
_REASONS: Final = {
    "CERTIFICATE_REQUIRED": f"the server wants a client's certificate: {_SHOW}",
    "HANDSHAKE_FAILURE": f"the server refuses the handshake: a client's certificate? {_SHOW}",
    "ALERT_UNKNOWN_CA": "the server does not know the CA of our certificate",
    "CERTIFICATE_EXPIRED": "the server says that our certificate has expired",
    "ALERT_BAD_CERTIFICATE": "the server does not accept our certificate",
    "WRONG_VERSION_NUMBER": f"it is {_PLAIN}",
    "RECORD_LAYER_FAILURE": f"it is {_PLAIN}",
    "PACKET_LENGTH_TOO_LONG": f"it is {_PLAIN}",
}


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    why = str(error.verify_message)
    if "expired" in why:
        return "the certificate of the server has expired: renew it"
    if "not valid for" in why or "match" in why:
        return (
            f"{why}: reach it under a name that its certificate has, or name one with "
            "LUAFLOW_REDIS_SERVER_NAME"
        )
    return (
        f"the CA of its certificate is not believed ({why}): name the file with "
        "LUAFLOW_REDIS_CA_FILE"
    )
