"""What routers do to all requests below them: cors, real_ip, compress, metrics."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from luaflow.domain.durations import duration_ms
from luaflow.domain.failure import Invalid

log = logging.getLogger(__name__)

MAX_AGE: Final = 86400
_METHODS: Final = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
_REAL_IP: Final = ("True-Client-IP", "X-Real-IP", "X-Forwarded-For")


@dataclass(slots=True)
class Visit:
    """One request on its way through the middlewares of its router."""

    request: web.BaseRequest
    remote: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cors:
    """Tells browsers which other sites may read the answers."""

    origins: tuple[str, ...] = ("*",)
    methods: str = _METHODS
    headers: str = "*"
    credentials: bool = False
    max_age: int = MAX_AGE

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Cors:
        """Read ``cors.allow.origins`` (`*`, or a list) and its kin; what is absent is open.

        An origin is a whole one, or `*.example.com` for all hosts below a domain.
        Credentials need a list: with `*` any page could read what a visitor may see here.
        """
        origins = _words(_option(options, "allow.origins", "*"))
        credentials = str(_option(options, "allow.credentials", False)).lower() == "true"
        if credentials and "*" in origins:
            log.warning("cors.allow.credentials is off: name the sites in cors.allow.origins")
            credentials = False
        return cls(
            origins=origins,
            methods=", ".join(_words(_option(options, "allow.methods", _METHODS))).upper(),
            headers=", ".join(_words(_option(options, "allow.headers", "*"))),
            credentials=credentials,
            max_age=_seconds(_option(options, "max.age", MAX_AGE)),
        )

    def apply(self, visit: Visit) -> None:
        """Add the headers of every answer."""
        origin = visit.request.headers.get("Origin")
        anyone = "*" in self.origins
        if not anyone:
            visit.headers["Vary"] = "Origin"
        if not origin or not (self.allows(origin)):
            return
        visit.headers["Access-Control-Allow-Origin"] = "*" if anyone else origin
        if self.credentials:
            visit.headers["Access-Control-Allow-Credentials"] = "true"

    def allows(self, origin: str) -> bool:
        """Whether pages of an origin may read the answers."""
        return any(_fits(origin, wanted) for wanted in self.origins)

    def preflight(self, visit: Visit) -> web.Response | None:
        """The answer to a browser that asks first; None for any other request."""
        request = visit.request
        wanted = request.headers.get("Access-Control-Request-Headers")
        if request.method != "OPTIONS" or not (
            "Origin" in request.headers and "Access-Control-Request-Method" in request.headers
        ):
            return None
        headers = dict(visit.headers)
        if "Access-Control-Allow-Origin" in headers:
            headers["Access-Control-Allow-Methods"] = self.methods
            if allowed := wanted if self.headers == "*" else self.headers:
                headers["Access-Control-Allow-Headers"] = allowed
            headers["Access-Control-Max-Age"] = str(self.max_age)
        return web.Response(status=204, headers=headers)


def _option(options: Mapping[str, Any], key: str, default: Any) -> Any:
    """`cors.<key>`, as one key with dots or as tables in each other."""
    if (found := options.get(f"cors.{key}")) is not None:
        return found
    at: Any = options.get("cors")
    for word in key.split("."):
        at = at.get(word) if isinstance(at, Mapping) else None
    return default if at is None else at


def _fits(origin: str, wanted: str) -> bool:
    if wanted in ("*", origin):
        return True
    scheme, _, domain = wanted.rpartition("://")
    mine, _, host = origin.partition("://")
    below = domain.startswith("*.") and host.endswith(domain[1:]) and host != domain[1:]
    return below and scheme in ("", mine)


def _words(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else str(value).split(",")
    return tuple(str(one).strip() for one in listed if str(one).strip())


def _seconds(value: Any) -> int:
    """Seconds of a number, or of a duration such as "24h"."""
    try:
        return int(str(value))
    except ValueError:
        try:
            return duration_ms(value, "cors.max.age") // 1000
        except Invalid:
            return MAX_AGE


def real_ip(visit: Visit) -> None:
    """Take the address that a proxy in front names; any client can claim one without a proxy."""
    for name in _REAL_IP:
        text = visit.request.headers.get(name, "").split(",")[0].strip()
        try:
            ipaddress.ip_address(text)
        except ValueError:
            continue
        visit.remote = text
        return


def peer(request: web.BaseRequest) -> str:
    """Who asks, as address and port: ``10.0.0.1:54321``, ``[::1]:54321``."""
    name = request.transport.get_extra_info("peername") if request.transport else None
    if not isinstance(name, tuple):
        return ""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
