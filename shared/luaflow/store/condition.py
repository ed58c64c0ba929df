"""How a server is doing, from its INFO: role, disk, memory, clock. Rules only: nothing is asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from luaflow.store.findings import Finding

FULL_PERCENT = 85
"""From here on new starts are refused (``scripts/head_room.lua``)."""
FILLING_PERCENT = 70
LAG_SECONDS = 10
"""A replica that has said nothing for this long is behind."""
SKEW_SECONDS = 60
"""A clock that differs from this machine's by more is told to the operator; nothing rests on it."""
JUMP_SECONDS = 5
"""A clock that moved by so much more, or less, than time went by has jumped."""
MEGABYTE = 1024 * 1024


def parse_info(text: object) -> dict[str, str]:
    """The fields of an INFO answer; empty where it was refused."""
    if not isinstance(text, bytes):
        return {}
    lines = text.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def of_role(info: Mapping[str, str]) -> Iterator[Finding]:
    """A replica in the place of a primary; replicas that have fallen behind."""
    if info.get("role") == "slave":
        primary = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        if info.get("slave_read_only", "1") == "0":
            yield Finding(
                "refuse",
                f"this server is a replica of {primary} that takes writes: what is written here is "
                "lost when it copies its primary again; give luaflow the primary's address, and "
                "set replica-read-only yes",
                check="role",
            )
            return
        link = info.get("master_link_status", "?")
        silent = info.get("master_last_io_seconds_ago", "?")
        yield Finding(
            "warn",
            f"this server is a replica of {primary} (its link is {link}, heard {silent} s ago): it "
            "takes no writes, and nothing goes on until luaflow reaches the primary; give it the "
            "primary's address",
            check="role",
        )
    for i in range(int(info.get("connected_slaves", 0))):
        replica = dict(part.partition("=")[::2] for part in info.get(f"slave{i}", "").split(","))
        where = f"{replica.get('ip', '?')}:{replica.get('port', '?')}"
        state, lag = replica.get("state", "online"), int(replica.get("lag") or 0)
        if state != "online" or lag > LAG_SECONDS:
            yield Finding(
                "warn",
                f"the replica {where} is behind (state {state}, last heard {lag} s ago): should it "
                "become the primary, what it lacks is lost; look at it, and at the network",
                check="replicas",
            )


def of_disk(info: Mapping[str, str]) -> Iterator[Finding]:
    """Writes to disk that failed."""
    if info.get("aof_last_write_status", "ok") != "ok":
        yield Finding(
            "warn",
            "the server's last write to its AOF failed: it refuses writes until one succeeds; look "
            "for a full disk",
            check="disk",
        )
    if info.get("aof_enabled") == "1" and info.get("aof_last_bgrewrite_status", "ok") != "ok":
        yield Finding(
            "warn",
            "the server's last rewrite of its AOF failed: the file grows until one succeeds; look "
            "for a full disk, or for too little memory to fork",
            check="disk",
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding(
            "warn",
            "the server's last save (RDB) failed: with stop-writes-on-bgsave-error it refuses "
            "writes; look for a full disk, or for too little memory to fork",
            check="disk",
        )


def of_room(info: Mapping[str, str]) -> Iterator[Finding]:
    """Memory that is running out, of the limit or of the machine."""
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    machine = int(info.get("total_system_memory", 0))
    resident = max(used, int(info.get("used_memory_rss", 0)))
    if limit:
        percent = used * 100 // limit
        if percent >= FULL_PERCENT:
            yield Finding(
                "warn",
                f"the server uses {percent}% of its maxmemory ({_size(limit - used)} left): new "
                "starts are refused, running work goes on; raise maxmemory or shorten the "
                "retention",
                check="memory",
            )
        elif percent >= FILLING_PERCENT:
            yield Finding(
                "warn",
                f"the server uses {percent}% of its maxmemory ({_size(limit - used)} left): from "
                f"{FULL_PERCENT}% on new starts are refused; raise maxmemory or shorten the "
                "retention",
                check="memory",
            )
        if machine and limit > machine:
            yield Finding(
                "warn",
                f"maxmemory is {_size(limit)}, the machine has {_size(machine)}: the system kills "
                "the server before it reaches its limit; lower maxmemory",
                check="memory",
            )
    elif machine and resident * 100 >= machine * FILLING_PERCENT:
        yield Finding(
            "warn",
            f"the server has no maxmemory and uses {_size(resident)} of the machine's "
            f"{_size(machine)}: when that is used up the system kills it; set maxmemory, so that "
            "luaflow refuses new starts in time",
            check="memory",
        )


def server_time(info: Mapping[str, str]) -> float | None:
    """The server's clock in seconds; None where INFO does not say."""
    found = info.get("server_time_usec", "")
    return int(found) / 1e6 if found.isdecimal() else None


def of_clock(info: Mapping[str, str], here: float | None = None) -> Iterator[Finding]:
    """A clock that differs from this machine's (``here``, seconds): one of the two is wrong."""
    there = server_time(info)
    if there is None:
        return
    apart = there - (time.time() if here is None else here)
    if abs(apart) > SKEW_SECONDS:
        way = "ahead of" if apart > 0 else "behind"
        yield Finding(
            "warn",
            f"the server's clock is {_duration(apart)} {way} this machine's: luaflow goes by the "
            "server's alone; should it be the wrong one, timers and schedules are as wrong: look "
            "at its NTP",
            check="clock",
        )


def of_jump(before: tuple[float, float], after: tuple[float, float]) -> Iterator[Finding]:
    """A clock that jumped between two looks; each is (server's clock, monotonic clock here)."""
    moved = (after[0] - before[0]) - (after[1] - before[1])
    if abs(moved) > JUMP_SECONDS:
        way = "forward" if moved > 0 else "back"
        means = (
            "timers in between have fired at once, leases have ended early"
            if moved > 0
            else "timers wait until it is where it was, leases last longer"
        )
        yield Finding(
            "warn",
            f"the server's clock jumped {way} by {_duration(moved)} within the last minute: "
            f"{means}; look at its NTP",
            check="clock",
        )


def of_past(ahead_ms: int) -> Iterator[Finding]:
    """Namespace time that is ``ahead_ms`` ahead of the server's clock: that clock went back."""
    if ahead_ms > JUMP_SECONDS * 1000:
        yield Finding(
            "warn",
            f"the server's clock is {_duration(ahead_ms / 1000)} behind the time it has told this "
            "namespace before: it went back, or another server with an earlier clock took over; "
            "time stands still here, and no timer fires, until the clock is there again",
            check="clock",
        )


def _size(amount: int) -> str:
    megabytes = amount / MEGABYTE
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"


def _duration(seconds: float) -> str:
    seconds = abs(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
