"""Reading `http.service`, `http.router` and `http.endpoint` entries: who answers which request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from luaflow.domain.ids import closest
from luaflow.registry.entries import Entry, FunctionEntry, PythonEntry, WorkflowEntry
from luaflow.registry.fields import Fields
from luaflow.registry.problems import Problems

T = TypeVar("T", bound=Entry)

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
WORKING: Final = ("compress", "cors", "metrics", "real_ip")
"""Middlewares that do something; those of SILENT are known and do nothing yet."""
SILENT: Final = (
    *("endpoint_firewall", "otel", "ratelimit", "resource_firewall", "sendfile", "sse_relay"),
    *("token_auth", "websocket_relay"),
)
CLIENT_AUTH: Final = ("none", "request", "require")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:/\s]*):(?P<port>\d{1,5})\Z")
_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)(\.\.\.)?\}\Z", re.ASCII)


class Address(NamedTuple):
    """Where a service listens; an empty host is every interface, port 0 any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address | None:
    """The address of `:8080`, `127.0.0.1:8080`, `[::1]:8080`; None for anything else."""
    found = _ADDRESS.match(text)
    if found is None or int(found["port"]) > 65535:
        return None
    return Address(found["host"].strip("[]"), int(found["port"]))


class Segment(NamedTuple):
    """One part of a path between slashes: a text, a parameter, or all the rest (`{name...}`)."""

    text: str
    parameter: bool = False
    rest: bool = False


def parse_path(path: str) -> tuple[Segment, ...]:
    """The parts of an endpoint's path, where a slash at the end says nothing.

    Raises ValueError that says what is wrong with it.
    """
    if not path.startswith("/"):
        raise ValueError("must begin with /")
    parts = path[1:].removesuffix("/").split("/") if path != "/" else []
    segments: list[Segment] = []
    names: set[str] = set()
    for number, part in enumerate(parts, 1):
        found = _PARAMETER.match(part)
        if found is None:
            if "{" in part or "}" in part:
                raise ValueError(f"has {part!r}, where a whole part must be {{name}}")
            if not part:
                raise ValueError("has two slashes in a row")
            if any(c in "?#%" or c.isspace() for c in part):
                raise ValueError(f"has {part!r}: no path of a request is written so")
            segments.append(Segment(part))
            continue
        name, rest = found[1], found[2] is not None
        if rest and number < len(parts):
            raise ValueError(f"has {part} before its end, and it takes all the rest")
        if name in names:
            raise ValueError(f"has the parameter {name} twice")
        names.add(name)
        segments.append(Segment(name, parameter=True, rest=rest))
    return tuple(segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """`tls` of a service: files below the app folder; without `cert` it speaks plain HTTP."""

    cert: str = ""
    key: str = ""
    client_ca: str = ""
    client_auth: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """`lifecycle` of a service, as far as HTTP is concerned: whether it starts, how it stops."""

    auto_start: bool = False
    stop_timeout_ms: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServiceEntry(Entry):
    """`http.service`: one address to listen on. Timeouts in milliseconds, 0 is none."""

    address: Address
    read_timeout_ms: int = 0
    write_timeout_ms: int = 0
    idle_timeout_ms: int = 0
    tls: ServerTls = ServerTls()
    lifecycle: Lifecycle = Lifecycle()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRouterEntry(Entry):
    """`http.router`: a prefix on a service, and what happens to all requests below it."""

    server: str
    prefix: str = ""
    middleware: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpEndpointEntry(Entry):
    """`http.endpoint`: the function that answers one method on one path below a router."""

    router: str
    method: str
    route: str
    func: str


def read_service(common: dict[str, Any], fields: Fields) -> HttpServiceEntry:
    """A service; mistakes are noted in the fields' problems."""
    text = fields.required("addr", '":8080"')
    address = parse_address(text)
    if text and address is None:
        remedy = 'write host:port, such as ":8080" or "127.0.0.1:8080"'
        fields.error("addr", f"must be an address to listen on, got {text}", remedy)
    timeouts = fields.mapping("timeouts")
    host = fields.mapping("host")
    for key in ("buffer_size", "worker_count"):
        host.integer(key, 1024)
    host.unknown()
    entry = HttpServiceEntry(
        **common,
        address=address or Address("", 0),
        read_timeout_ms=timeouts.duration("read", 0),
        write_timeout_ms=timeouts.duration("write", 0),
        idle_timeout_ms=timeouts.duration("idle", 0),
        tls=_tls(fields.mapping("tls")),
        lifecycle=_lifecycle(fields.mapping("lifecycle")),
    )
    timeouts.unknown()
    fields.unknown()
    return entry


def _tls(fields: Fields) -> ServerTls:
    mode = fields.choice("mode", ("manual", "auto", "off"))
    tls = ServerTls(
        cert=fields.text("cert"),
        key=fields.text("key"),
        client_ca=fields.text("client_ca"),
        client_auth=fields.choice("client_auth", CLIENT_AUTH) or "none",
    )
    fields.unknown()
    if mode == "auto":
        remedy = "write mode: manual with cert: and key:, or let a proxy do it"
        fields.error("mode", "auto is not supported: certificates are not fetched here", remedy)
    elif mode == "manual" and not (tls.cert and tls.key):
        fields.error("mode", "manual needs cert and key", "add cert: and key:, two PEM files")
    if tls.client_auth != "none" and not tls.client_ca:
        fields.error(
            "client_auth", "needs to know who signs clients' certificates", "add client_ca:"
        )
    return tls if mode == "manual" else ServerTls()


def _lifecycle(fields: Fields) -> Lifecycle:
    return Lifecycle(
        auto_start=fields.flag("auto_start"),
        stop_timeout_ms=fields.duration("stop_timeout", 10_000),
    )


def read_router(common: dict[str, Any], fields: Fields) -> HttpRouterEntry:
    """A router; a middleware that nobody knows is a warning."""
    prefix = fields.text("prefix").rstrip("/")
    if prefix:
        _check_path(fields, "prefix", prefix)
    listed = {key: fields.texts(key) for key in ("middleware", "post_middleware")}
    options = fields.mapping("options")
    fields.mapping("post_options")
    entry = HttpRouterEntry(
        **common,
        server=_meta_reference(fields, common["meta"], "server", "http.service"),
        prefix=prefix,
        middleware=tuple(name for names in listed.values() for name in names if name in WORKING),
        options={key: options.get(key) for key in options.data},
    )
    for key, names in listed.items():
        for index, name in enumerate(names):
            if name not in WORKING:
                _warn_middleware(fields, key, index, name)
    fields.unknown("lifecycle")
    return entry


def _warn_middleware(fields: Fields, key: str, index: int, name: str) -> None:
    if name in SILENT:
        what, remedy = "does nothing in this release", "do not rely on it"
    else:
        close = closest(name, [*WORKING, *SILENT])
        what = "is not a known middleware and left out"
        remedy = f"did you mean {close}?" if close else f"write one of {', '.join(WORKING)}"
    fields.problems.warn(
        f"{key}: {name} {what}", fields.document.file, fields.line(key, index), remedy
    )


def read_endpoint(common: dict[str, Any], fields: Fields) -> HttpEndpointEntry:
    """An endpoint; its path is completed with the router's prefix when the app is linked."""
    method = fields.required("method", "GET").upper()
    if method and method not in METHODS:
        fields.error("method", f"must be one of {', '.join(METHODS)}, got {method}", "write GET")
    path = fields.required("path", "/orders/{id}")
    if path:
        _check_path(fields, "path", path)
    func = fields.reference("func")
    if func is None:
        fields.error("func", "is required", "add func: and the name of a function.lua entry")
    entry = HttpEndpointEntry(
        **common,
        router=_meta_reference(fields, common["meta"], "router", "http.router"),
        method=method,
        route=path,
        func=func or "",
    )
    fields.unknown("lifecycle")
    return entry


def _check_path(fields: Fields, key: str, path: str) -> None:
    try:
        parse_path(path)
    except ValueError as error:
        fields.error(key, f"{path} {error}", "write it as /orders/{id}")


def _meta_reference(fields: Fields, meta: dict[str, Any], key: str, kind: str) -> str:
    """`meta.<key>`, an entry of `kind`; the older place beside `meta` is understood, too."""
    around = Fields(
        meta,
        fields.document,
        (*fields.path, "meta"),
        namespace=fields.namespace,
        env=fields.env,
        problems=fields.problems,
        prefix="meta.",
    )
    found = around.reference(key) or fields.reference(key)
    if found is None:
        around.error(key, "is required", f"add meta: {{{key}: <name of an {kind} entry>}}")
    return found or ""


# Entries against each other.


def link(entries: Mapping[str, Entry], problems: Problems) -> None:
    """Note every broken reference of HTTP entries, and every request that two would answer."""
    addresses: dict[Address, HttpServiceEntry] = {}
    routes: dict[tuple[str, str, tuple[str, ...]], HttpEndpointEntry] = {}
    for entry in entries.values():
        if isinstance(entry, HttpServiceEntry) and entry.address.port:
            first: Entry = addresses.setdefault(entry.address, entry)
            if first is not entry:
                _note(problems, entry, "addr", f"{entry.address} is that of {first.id}, too")
        elif isinstance(entry, HttpRouterEntry) and entry.server:
            _reference(entry, "server", entry.server, HttpServiceEntry, entries, problems)
        elif isinstance(entry, HttpEndpointEntry):
            _endpoint(entry, entries, problems, routes)


def _note(problems: Problems, entry: Entry, key: str, message: str) -> None:
    problems.error(message, entry.file, entry.line(key), "change one of the two")


def _endpoint(
    entry: HttpEndpointEntry,
    entries: Mapping[str, Entry],
    problems: Problems,
    routes: dict[tuple[str, str, tuple[str, ...]], HttpEndpointEntry],
) -> None:
    if entry.func and not isinstance(entries.get(entry.func), FunctionEntry):
        message, remedy = _no_handler(entry, entries)
        problems.error(message, entry.file, entry.line("func"), remedy)
    if not entry.router:
        return
    router = _reference(entry, "router", entry.router, HttpRouterEntry, entries, problems)
    if router is None or entry.method not in METHODS:
        return
    try:
        shape = tuple(_shape(parse_path(router.prefix + entry.route)))
    except ValueError:
        return  # noted where it was read
    first = routes.setdefault((router.server, entry.method, shape), entry)
    if first is not entry:
        path = router.prefix + entry.route
        _note(problems, entry, "path", f"{entry.method} {path} is answered by {first.id}, too")


def _shape(segments: tuple[Segment, ...]) -> Iterator[str]:
    """The parts of a path without the names of its parameters."""
    for one in segments:
        yield ("{...}" if one.rest else "{}") if one.parameter else one.text


def _no_handler(entry: HttpEndpointEntry, entries: Mapping[str, Entry]) -> tuple[str, str]:
    found = entries.get(entry.func)
    if isinstance(found, WorkflowEntry):
        remedy = "start it with process.spawn in a function.lua"
        return f"func {entry.func} of {entry.id} is a workflow", remedy
    if isinstance(found, PythonEntry):
        remedy = "let a function.lua answer and call it with funcs.call"
        return f"func {entry.func} of {entry.id} is a function.python", remedy
    close = closest(entry.func, [e.id for e in entries.values() if isinstance(e, FunctionEntry)])
    remedy = f"did you mean {close}?" if close else "add an entry of kind function.lua"
    return f"func {entry.func} of {entry.id} does not exist", remedy


def _reference(
    entry: Entry,
    key: str,
    wanted: str,
    kind: type[T],
    entries: Mapping[str, Entry],
    problems: Problems,
) -> T | None:
    found = entries.get(wanted)
    if isinstance(found, kind):
        return found
    close = closest(wanted, [other.id for other in entries.values() if isinstance(other, kind)])
    what = "http.service" if key == "server" else "http.router"
    problems.error(
        f"{key} {wanted} of {entry.id} does not exist",
        entry.file,
        entry.line("meta", key),
        f"did you mean {close}?" if close else f"add an entry of kind {what}",
    )
    return None
