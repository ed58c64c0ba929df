"""May this user do what luaflow does? Asked of the server, before a script breaks off half way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from luaflow.errors import Unavailable
from luaflow.store import upkeep
from luaflow.store.findings import Finding
from luaflow.store.scripts import load, names
from luaflow.store.spread import is_spread
from luaflow.store.store import Store

# what each part sends by itself, besides what its scripts use
_READS = ("HGET", "HMGET", "HGETALL", "EXISTS", "XRANGE", "XREVRANGE")
_PLAIN: Final[Mapping[str, tuple[str, ...]]] = {
    "worker": (
        *("GET", "SADD", "SMEMBERS", "BLPOP", "SUBSCRIBE", "WAIT", "XREAD", "XREADGROUP"),
        *("XREVRANGE", "XTRIM"),
    ),
    "scheduler": (
        *("GET", "SADD", "SUBSCRIBE", "WAIT", "HSCAN", "HVALS", "ZRANGEBYLEX", "ZLEXCOUNT"),
        *("XINFO CONSUMERS", "SCAN", "PTTL", "PERSIST", "MEMORY USAGE"),
    ),
    "serve": (
        *("SADD", "LREM", "SUBSCRIBE", "WAIT", "XREAD", "XREVRANGE", "XTRIM", "ZRANK"),
        *("ZRANGEBYLEX", "ZLEXCOUNT", "ZREVRANGE"),
    ),
    "deploy": ("HGETALL", "HKEYS", "SET", "WAIT"),
}
_SCRIPTS: Final[Mapping[str, tuple[str, ...]]] = {"deploy": ("change_schedule", "may")}
"""Of parts that run a few scripts only; the others may come to run any."""
_USED = re.compile(rb"call\('([A-Z]+)'(?:, '(CREATE|DELCONSUMER|CREATECONSUMER|SETID)')?")


@cache
def of_scripts(part: str = "") -> tuple[str, ...]:
    """Every command that a script of a part of luaflow uses; XGROUP with its verb."""
    found = set()
    for name in _SCRIPTS.get(part) or names():
        for verb, sub in _USED.findall(load(name).body):
            found.add(b" ".join(filter(None, (verb, sub))).decode())
    return tuple(sorted(found))


def plain(part: str = "") -> tuple[str, ...]:
    """Every command that a part of luaflow sends by itself; without a part, what any sends."""
    if part in _PLAIN:
        return _PLAIN[part]
    return tuple(sorted({*_READS, *(word for words in _PLAIN.values() for word in words)}))


async def check_permissions(store: Store) -> list[Finding]:
    """What the user of this connection may not do; nothing where the server cannot tell."""
    scripts = of_scripts(store.part)
    where = f"the keys and channels of 'lf:{{{store.namespace}:…}}'"
    answer = await _ask(store, (*scripts, *plain(store.part)))
    if isinstance(answer, NoPermissionError) or "ACL failure" in str(answer):
        text = f"this user of the server may not run scripts on {where} ({answer}); allow it (ACL)"
        return [Finding("refuse", text, check="permissions")]
    if isinstance(answer, ResponseError):
        return []
    refused = [bytes(one).decode() for one in answer[1:]]
    found = []
    if broken := [one for one in refused if one in scripts]:
        found.append(
            Finding(
                "refuse",
                f"this user of the server may not use {', '.join(broken)} on {where}: scripts "
                "break off half way, and leave what they have written; allow these commands "
                "(ACL SETUSER)",
                check="permissions",
            )
        )
    if missing := [one for one in refused if one not in scripts]:
        found.append(
            Finding(
                "warn",
                f"this user of the server may not use {', '.join(missing)}: what needs them fails; "
                "allow these commands (ACL SETUSER)",
                check="permissions",
            )
        )
    return found


async def _ask(store: Store, commands: tuple[str, ...]) -> Any:
    """What a server answers; each node of a cluster has users of its own: the one that refuses."""
    calls = [upkeep.may(partition=p, commands=commands) for p in store.partitions]
    if not is_spread(store):
        return (await store.ask(calls[0]))[0]
    answers = [a for a in await store.at_once(*calls) if not isinstance(a, Unavailable)]
    if not answers:
        raise Unavailable("no primary of the cluster answers")
    return next((a for a in answers if isinstance(a, ResponseError) or a[1:]), answers[0])
