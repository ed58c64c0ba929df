"""Is this server fit to keep workflows? What is wrong with it, in plain words, with the remedy."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from redis.exceptions import ResponseError

from luaflow.errors import Refused
from luaflow.store.confirming import knows_waitaof
from luaflow.store.links import Linked
from luaflow.store.namespaces import Settings
from luaflow.store.store import Store

log = logging.getLogger(__name__)

Version = tuple[int, ...]

# The first fixed release of each branch (CVE-2025-49844 and kin: Lua scripts that break out).
_SCRIPTING_FIXED: dict[str, dict[Version, Version]] = {
    "Redis": {(7, 2): (7, 2, 11), (7, 4): (7, 4, 6), (8, 0): (8, 0, 4), (8, 2): (8, 2, 2)},
    "Valkey": {(7, 2): (7, 2, 11), (8, 0): (8, 0, 6), (8, 1): (8, 1, 4)},
}
_OLDEST: Version = (7, 0)


class Finding(NamedTuple):
    """Something wrong with the server: ``refuse`` (data would be lost) or ``warn``.

    ``unsure``: the server did not let itself be asked.
    """

    level: Literal["refuse", "warn"]
    text: str
    unsure: bool = False


async def check_server(store: Store | Linked, settings: Settings) -> list[Finding]:
    """What is wrong with the server for a namespace of these settings; empty when all is well.

    Raises Unavailable when it cannot be asked. What an ACL hides is said and not guessed.
    """
    ask = store.ask if isinstance(store, Store) else _asker(store)
    info_text, *answers = await ask(
        ("INFO", "everything"), *(("CONFIG", "GET", name) for name in _CONFIG)
    )
    info = _info(info_text)
    config = {
        name: bytes(answer[1]).decode()
        for name, answer in zip(_CONFIG, answers, strict=True)
        if not isinstance(answer, ResponseError) and len(answer) == 2
    }
    if not info:
        text = "the server hides INFO: whether it is fit cannot be checked; allow INFO"
        return [Finding("warn", text, unsure=True)]
    return [
        *_version(info),
        *_memory(info, config),
        *_persistence(info, config, settings),
        *_replicas(info, settings),
    ]


async def memory_percent(store: Store) -> int | None:
    """How much of its memory the fullest server uses; 0 without limit, None when INFO is hidden."""
    found = await store.each_server(("INFO", "memory"))
    shares = [_used_percent(_info(text)) for (text,) in found.values()]
    return max((share for share in shares if share is not None), default=None)


def _used_percent(info: Mapping[str, str]) -> int | None:
    if "used_memory" not in info:
        return None
    limit = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) * 100 // limit if limit else 0


def _asker(link: Linked) -> Callable[..., Awaitable[list[Any]]]:
    return lambda *commands: link.batch(commands)


async def check_at_start(store: Store | Linked, settings: Settings | None = None) -> None:
    """Log what is wrong with the server; raise Refused when data would be lost on it."""
    if isinstance(store, Store):
        settings = settings or store.settings
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
    refusals = [finding.text for finding in findings if finding.level == "refuse"]
    if refusals:
        raise Refused("; ".join(refusals))


_CONFIG = ("maxmemory-policy", "appendonly", "appendfsync", "save")


def _info(text: object) -> dict[str, str]:
    if not isinstance(text, bytes):
        return {}
    lines = text.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _parse_version(text: str) -> Version:
    parts = text.split("-", maxsplit=1)[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def _version(info: Mapping[str, str]) -> Iterator[Finding]:
    name = "Valkey" if "valkey_version" in info else "Redis"
    text = info.get("valkey_version") or info.get("redis_version", "")
    version = _parse_version(text)
    if not version:
        return
    if version < _OLDEST:
        yield Finding(
            "refuse", f"{name} {text} is too old: luaflow needs Redis 7.0 or Valkey 7.2 at least"
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
        )
    if name == "Redis" and (7, 2) <= version < (8, 6, 3):
        yield Finding(
            "warn",
            f"Redis {text} has a known hole (CVE-2026-23479): update to 8.6.3 or later",
        )


def _memory(info: Mapping[str, str], config: Mapping[str, str]) -> Iterator[Finding]:
    policy = config.get("maxmemory-policy") or info.get("maxmemory_policy", "")
    if policy and policy != "noeviction":
        yield Finding(
            "refuse",
            f"the server's maxmemory-policy is '{policy}': it would throw workflows away when "
            "memory is short; set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in "
            "its configuration file)",
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
            )
        elif fsync is None and not knows_waitaof(info):
            yield Finding(
                "warn",
                "the namespace asks for durability 'fsynced', but the server hides CONFIG: make "
                "sure that appendfsync is always",
                unsure=True,
            )
        return
    if not aof and config.get("save") == "":
        yield Finding(
            "warn",
            "the server keeps nothing on disk: a restart loses every workflow; set appendonly yes "
            "(CONFIG SET appendonly yes, and in its configuration file)",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        yield Finding("warn", "the server's last write to its AOF failed: look for a full disk")


def _replicas(info: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    wanted = {"replicated": settings.replicas, "fsynced": settings.synced_replicas}
    replicas = wanted.get(settings.durability, 0)
    there = int(info.get("connected_slaves", 0))
    if there < replicas:
        yield Finding(
            "warn",
            f"the namespace asks for {replicas} replicas, {there} are connected: until "
            "more are, no write is confirmed and nothing goes on",
        )
