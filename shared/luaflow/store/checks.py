"""Is this server fit to keep workflows? What is wrong with it, in plain words, with the remedy.

``judge`` looks at what one server says of itself; ``check_server`` asks the server and judges;
``check_all`` looks at the namespace, too: at what this user may do there, and at its clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import ResponseError

from luaflow.errors import Refused, Unavailable
from luaflow.store import condition
from luaflow.store.address import parse_address
from luaflow.store.confirming import knows_waitaof
from luaflow.store.findings import Finding, refusal_of
from luaflow.store.link import Arg
from luaflow.store.links import Linked
from luaflow.store.namespaces import Settings
from luaflow.store.permissions import check_permissions
from luaflow.store.store import Store

log = logging.getLogger(__name__)

Version = tuple[int, ...]

# The first fixed release of each branch (CVE-2025-49844 and kin: Lua scripts that break out).
_SCRIPTING_FIXED: dict[str, dict[Version, Version]] = {
    "Redis": {(7, 2): (7, 2, 11), (7, 4): (7, 4, 6), (8, 0): (8, 0, 4), (8, 2): (8, 2, 2)},
    "Valkey": {(7, 2): (7, 2, 11), (8, 0): (8, 0, 6), (8, 1): (8, 1, 4)},
}
_OLDEST: Version = (7, 0)

SYNCED_LEASE_MS = 10_000
"""The shortest lease under which nobody who waits for the disks of replicas is taken for dead."""
_CONFIG = ("maxmemory-policy", "appendonly", "appendfsync", "save")
QUESTIONS: tuple[tuple[Arg, ...], ...] = (
    ("INFO", "everything"),
    *(("CONFIG", "GET", name) for name in _CONFIG),
)
"""What one server is asked; ``judge`` reads the answers."""


async def check_server(store: Store | Linked, settings: Settings) -> list[Finding]:
    """What is wrong with the server for a namespace of these settings; empty when all is well.

    Of a cluster each primary is asked; of one that is away, that is said. Raises Unavailable when
    all are. What an ACL hides is said and not guessed.
    """
    link = store.link if isinstance(store, Store) else store
    servers = await link.each(*QUESTIONS)
    told = servers.items()
    found = [(at, one) for at, answers in told for one in judge(answers, settings, link.url)]
    if len(servers) == 1:
        return [one for _, one in found]
    return [one._replace(text=f"{at}: {one.text}") for at, one in found]


async def check_all(store: Store) -> list[Finding]:
    """The same, and what is wrong for this namespace: permissions, a clock that went back."""
    found = await check_server(store, store.settings)
    if not store.settings.simulated:
        # the time is asked of the server that has the partition: the one asked before it
        asked: list[tuple[Arg, ...]] = []
        for p in store.partitions:
            asked += [("HMGET", p.meta, "last", "offset"), ("TIME",)]
        answers = await store.at_once(*asked)
        pairs = zip(answers[::2], answers[1::2], strict=True)
        found += condition.of_past(max(_ahead(*pair) for pair in pairs))
    return [*found, *await check_permissions(store)]


def _ahead(meta: Any, time: Any) -> int:
    """How many ms a partition's last time is ahead of its server's clock; 0 where that is away."""
    if isinstance(meta, Exception) or isinstance(time, Exception):
        return 0
    last, offset = (int(field or 0) for field in meta)
    return last - offset - int(time[0]) * 1000 - int(time[1]) // 1000


def judge(answers: Sequence[Any], settings: Settings, url: str) -> list[Finding]:
    """What is wrong with one server of an address, from its answers to ``QUESTIONS``."""
    info_text, *configured = answers
    if isinstance(info_text, Unavailable):
        text = f"whether it is fit cannot be checked: {info_text}"
        return [Finding("warn", text, unsure=True)]
    info = condition.parse_info(info_text)
    config = {
        name: bytes(answer[1]).decode()
        for name, answer in zip(_CONFIG, configured, strict=True)
        if not isinstance(answer, ResponseError) and len(answer) == 2
    }
    if not info:
        text = "the server hides INFO: whether it is fit cannot be checked; allow INFO"
        return [Finding("warn", text, unsure=True, check="permissions")]
    return [
        *_version(info),
        *_memory(info, config),
        *_persistence(info, config, settings),
        *_replicas(info, settings, chosen=parse_address(url).kind != "server"),
        *_lease(settings),
        *condition.of_role(info),
        *condition.of_disk(info),
        *condition.of_room(info),
        *condition.of_clock(info),
    ]


async def memory_percent(store: Store) -> int | None:
    """How much of its memory the fullest server uses; 0 without limit, None when INFO is hidden.

    Of a cluster's primaries, those that are away are left out.
    """
    found = await store.link.each(("INFO", "memory"))
    told = [text for (text,) in found.values() if not isinstance(text, Unavailable)]
    shares = [_used_percent(condition.parse_info(text)) for text in told]
    return max((share for share in shares if share is not None), default=None)


def _used_percent(info: Mapping[str, str]) -> int | None:
    if "used_memory" not in info:
        return None
    limit = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) * 100 // limit if limit else 0


async def product_of(store: Store) -> str:
    """What the server is, for people: ``Valkey 9.1.2``."""
    (text,) = await store.ask(("INFO", "server"))
    return " ".join(_product(condition.parse_info(text)))


async def check_at_start(store: Store | Linked, settings: Settings | None = None) -> None:
    """Log what is wrong with the server; raise Refused when data would be lost on it."""
    if isinstance(store, Store) and settings is None:
        findings = await check_all(store)
    else:
        findings = await check_server(store, settings or Settings())
    for finding in findings:
        if finding.level == "warn":
            log.warning("%s", finding.text)
    _refuse(findings)
    if isinstance(store, Store):
        store.findings = frozenset(finding.text for finding in findings)


async def check_before_start(store: Store) -> None:
    """Raise Refused before work is given to a server that would lose it; asked once a store.

    Logs only what could not be found out: what else there is to say, workers and schedulers say.
    """
    if store.findings is not None:
        return
    async with store.checking:
        if store.findings is not None:
            return
        findings = await check_server(store, store.settings)
        _refuse(findings)
        for finding in findings:
            if finding.unsure:
                log.warning("%s", finding.text)
        store.findings = frozenset(finding.text for finding in findings)


def _refuse(findings: list[Finding]) -> None:
    if refusal := refusal_of(findings):
        raise Refused(refusal)


def _parse_version(text: str) -> Version:
    parts = text.split("-", maxsplit=1)[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def _product(info: Mapping[str, str]) -> tuple[str, str]:
    """Name and version."""
    name = "Valkey" if "valkey_version" in info else "Redis"
    return name, info.get("valkey_version") or info.get("redis_version", "")


def _version(info: Mapping[str, str]) -> Iterator[Finding]:
    name, text = _product(info)
    version = _parse_version(text)
    if not version:
        return
    if version < _OLDEST:
        yield Finding(
            "refuse",
            f"{name} {text} is too old: luaflow needs Redis 7.0 or Valkey 7.2 at least",
            check="version",
        )
        return
    branches = _SCRIPTING_FIXED[name]
    fixed = branches.get(version[:2])
    if (fixed and version < fixed) or (not fixed and version < min(branches)):
        newest = ".".join(map(str, fixed or min(branches.values())))
        yield Finding(
            "warn",
            f"{name} {text} has known holes in scripting (CVE-2025-49844 and others): whoever may "
            f"run scripts can break out; update to {newest} or later, unless your distribution has "
            "patched it",
            check="version",
        )
    if name == "Redis" and (7, 2) <= version < (8, 6, 3):
        yield Finding(
            "warn",
            f"Redis {text} has a known hole (CVE-2026-23479): update to 8.6.3 or later",
            check="version",
        )


def _memory(info: Mapping[str, str], config: Mapping[str, str]) -> Iterator[Finding]:
    policy = config.get("maxmemory-policy") or info.get("maxmemory_policy", "")
    if policy and policy != "noeviction":
        yield Finding(
            "refuse",
            f"the server's maxmemory-policy is '{policy}': it would throw workflows away when "
            "memory is short; set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in "
            "its configuration file)",
            check="eviction",
        )


def _persistence(
    info: Mapping[str, str], config: Mapping[str, str], settings: Settings
) -> Iterator[Finding]:
    aof = config.get("appendonly") == "yes" or info.get("aof_enabled") == "1"
    fsync = config.get("appendfsync")
    if settings.durability == "fsynced":
        # one that leaves it to the system to sync confirms nothing
        good = ("always", "everysec", None) if knows_waitaof(info) else ("always", None)
        if not aof or fsync not in good:
            now = f"appendonly {'yes' if aof else 'no'}, appendfsync {fsync}"
            yield Finding(
                "refuse",
                "the namespace asks for durability 'fsynced', but the server does not write to "
                f"disk before it answers ({now}); set appendonly yes and appendfsync always, or "
                "lower the durability (for Redis from 7.2 on, and for Valkey, everysec will do)",
                check="persistence",
            )
        elif fsync is None and not knows_waitaof(info):
            yield Finding(
                "warn",
                "the namespace asks for durability 'fsynced', but the server hides CONFIG: make "
                "sure that appendfsync is always",
                unsure=True,
                check="persistence",
            )
        return
    if not aof and config.get("save") == "":
        yield Finding(
            "warn",
            "the server keeps nothing on disk: a restart loses every workflow; set appendonly yes "
            "(CONFIG SET appendonly yes, and in its configuration file)",
            check="persistence",
        )


def _replicas(info: Mapping[str, str], settings: Settings, *, chosen: bool) -> Iterator[Finding]:
    """``chosen``: the servers themselves choose the replica that takes over."""
    wanted = {"replicated": settings.replicas, "fsynced": settings.synced_replicas}
    replicas = wanted.get(settings.durability, 0)
    there = int(info.get("connected_slaves", 0))
    if there < replicas:
        yield Finding(
            "warn",
            f"the namespace asks for {replicas} replicas, {there} are connected: until "
            "more are, no write is confirmed and nothing goes on",
            check="replicas",
        )
    elif chosen and replicas and there > replicas:
        option = "--replicas" if settings.durability == "replicated" else "--synced-replicas"
        yield Finding(
            "warn",
            f"{replicas} of {there} replicas confirm what is written: one that has not confirmed "
            "may take over, and what was acknowledged is lost then; let all confirm (luaflow "
            f"namespace update NAME {option} {there})",
            check="replicas",
        )


def _lease(settings: Settings) -> Iterator[Finding]:
    """A worker that waits for the disks of replicas must not be taken for dead meanwhile."""
    synced = settings.durability == "fsynced" and settings.synced_replicas
    if synced and settings.lease_ms < SYNCED_LEASE_MS:
        yield Finding(
            "warn",
            f"lease_ms is {settings.lease_ms}: replicas tell of their disks once a second, so that "
            "workers, whose words wait for that, are taken for dead and their work is done again; "
            f"make it {SYNCED_LEASE_MS} or more (luaflow namespace update NAME --lease "
            f"{SYNCED_LEASE_MS // 1000}s)",
            check="replicas",
        )
