"""The options of an ``http_client`` request, read and checked."""

from __future__ import annotations

import base64
import re
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from luaflow.domain.durations import parse_go
from luaflow.domain.failure import Invalid

TIMEOUT_SECONDS: Final = 30.0
MAX_BODY: Final = 10 * 1024 * 1024
"""Of a response that is not streamed, where nothing else is asked for: a function's memory."""
HIGHEST_BODY: Final = 120 * 1024 * 1024


_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_OURS: Final = frozenset({"content-length", "transfer-encoding"})
"""Headers that are written as the body is: others could hide a second request in it."""


@dataclass(slots=True)
class Request:
    """One request; ``body`` is bytes, or a form for the library to write."""

    method: str
    url: str
    headers: dict[str, str]
    query: list[tuple[str, str]]
    form: list[tuple[str, str]]
    files: list[Mapping[str, Any]]
    body: bytes | None
    timeout: float
    max_body: int
    stream: bool
    unix_socket: str | None
    tls: Mapping[str, Any] = field(default_factory=dict)


def read_request(method: str, url: str, options: Mapping[str, Any]) -> Request:
    """Read what the code gave. Raises Invalid naming the option."""
    if options.get("overlay_network"):
        raise Invalid("http_client: overlay_network is not provided by luaflow: use a proxy host")
    body = options.get("body")
    given = {_text(k, "headers"): _text(v, "headers") for k, v in _map(options, "headers")}
    headers = {name: value for name, value in given.items() if name.lower() not in _OURS}
    known = {name.lower() for name in headers}
    if options.get("cookies") and "cookie" not in known:
        pairs = (
            f"{_text(k, 'cookies')}={_text(v, 'cookies')}" for k, v in _map(options, "cookies")
        )
        headers["Cookie"] = "; ".join(pairs)
    if options.get("auth") is not None and "authorization" not in known:
        headers["Authorization"] = _basic(options["auth"])
    for name, value in headers.items():
        if not _TOKEN.match(name):
            raise Invalid(f"http_client: {name[:80]!r} is not the name of a header")
        if any(c in value for c in "\r\n\0"):
            raise Invalid(f"http_client: the header {name!r} must not hold line breaks")
    return Request(
        method=_method(method),
        url=check_url(url),
        headers=headers,
        query=_pairs(options, "query"),
        form=_pairs(options, "form"),
        files=_files(options),
        body=body.encode() if isinstance(body, str) else body,
        timeout=_timeout(options.get("timeout")),
        max_body=_max_body(options.get("max_response_body")),
        stream=options.get("stream") is True,
        unix_socket=options.get("unix_socket") or None,
        tls=dict(_map(options, "tls")),
    )


def check_url(url: str) -> str:
    """Raise Invalid for a URL that is not http or https with a host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"http_client: the URL {shown(url)!r} is not valid: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Invalid(f"http_client: the URL {shown(url)!r} must be http:// or https:// and a host")
    return url


def shown(url: str) -> str:
    """A URL for an error, which goes into histories and logs: without who, and what is asked."""
    scheme, mark, rest = url.partition("?")[0].partition("#")[0].rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"[:200]


def _method(method: str) -> str:
    if not method.isascii() or not method.replace("-", "").isalpha():
        raise Invalid(f"http_client: {method[:40]!r} is no HTTP method")
    return method.upper()


def _map(options: Mapping[str, Any], name: str) -> list[tuple[Any, Any]]:
    value = options.get(name)
    if value is None or value == []:
        return []
    if not isinstance(value, dict):
        raise Invalid(f"http_client: the option {name} must be a table with text keys")
    return list(value.items())


def _pairs(options: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in _map(options, name):
        items = value if isinstance(value, list) else [value]
        pairs += [(_text(key, name), _text(item, name)) for item in items]
    return pairs


def _text(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise Invalid(f"http_client: the option {name} holds texts and numbers only")
    return value


def _files(options: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    files = options.get("files") or []
    for one in files:
        if not isinstance(one, dict) or not one.get("name") or "content" not in one:
            raise Invalid("http_client: each of files needs a name and its content")
        if not isinstance(one["content"], (str, bytes)):
            raise Invalid("http_client: the content of a file must be a text")
    return list(files)


def _basic(auth: Any) -> str:
    if not isinstance(auth, dict) or not isinstance(auth.get("user"), str):
        raise Invalid("http_client: the option auth must be {user=, pass=}")
    pair = f"{auth['user']}:{_text(auth.get('pass') or '', 'auth')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _timeout(value: Any) -> float:
    if value is None or value == 0:
        return TIMEOUT_SECONDS
    seconds = parse_go(value) / 1e9 if isinstance(value, str) else float(value)
    if not 0 < seconds < 1e6:
        raise Invalid("http_client: the timeout must be above 0 seconds")
    return seconds


def _max_body(value: Any) -> int:
    if not value:
        return MAX_BODY
    if not 0 < value <= HIGHEST_BODY:
        raise Invalid(f"http_client: max_response_body must be 1 to {HIGHEST_BODY}")
    return int(value)


def ssl_context(tls: Mapping[str, Any]) -> ssl.SSLContext | bool:
    """The settings of an encrypted connection. Raises Invalid for certificates that are none."""
    if not tls:
        return True
    try:
        context = ssl.create_default_context(cadata=tls.get("ca"))
        if tls.get("insecure_skip_verify") is True:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if bool(tls.get("cert")) != bool(tls.get("key")):
            raise Invalid("http_client: tls.cert and tls.key go together")
        if tls.get("cert"):
            _load_chain(context, str(tls["cert"]), str(tls["key"]))
    except (ssl.SSLError, OSError, ValueError) as error:
        raise Invalid(f"http_client: tls: {error}") from None
    return context


def _load_chain(context: ssl.SSLContext, cert: str, key: str) -> None:
    """The library reads files only: they live as long as it reads, in a folder of ours."""
    with tempfile.TemporaryDirectory(prefix="luaflow-tls-") as folder:
        files = Path(folder, "cert.pem"), Path(folder, "key.pem")
        for file, text in zip(files, (cert, key), strict=True):
            file.touch(mode=0o600)
            file.write_text(text)
        context.load_cert_chain(*files)
