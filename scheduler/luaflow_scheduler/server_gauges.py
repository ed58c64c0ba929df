"""What the server says of itself (INFO): of a cluster, all servers together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Info = Mapping[str, str]
"""The fields of one server's INFO."""

_SUMS = (
    ("memory_used_bytes", "Memory the server uses.", "used_memory"),
    ("memory_max_bytes", "Memory it may use; 0: no limit.", "maxmemory"),
    ("memory_rss_bytes", "Memory the server takes of its machine.", "used_memory_rss"),
    ("clients", "Connections to the server, those of others included.", "connected_clients"),
    ("blocked_clients", "Connections that wait in a blocking read.", "blocked_clients"),
    ("replicas", "Replicas that are connected.", "connected_slaves"),
)
_COUNTERS = (
    (
        "evicted_keys",
        "Keys the server threw away to make room: each one is lost data.",
        ("evicted_keys",),
    ),
    ("commands", "Commands the server ran, scripts and their insides included.",
     ("total_commands_processed",)),
    ("cpu_seconds", "Processor time of the server: one core is 1 a second.",
     ("used_cpu_user", "used_cpu_sys")),
    ("aof_delayed_fsyncs", "Writes that waited for an fsync of the log.", ("aof_delayed_fsync",)),
    ("rejected_connections", "Connections refused for maxclients.", ("rejected_connections",)),
)  # fmt: skip
_SCRIPTS = ("eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro")


def cannot_write(infos: Sequence[Info]) -> bool:
    """Whether a server refuses writes because its log or its snapshot could not be written."""
    return any(
        info.get(field, "ok") != "ok"
        for info in infos
        for field in ("aof_last_write_status", "rdb_last_bgsave_status")
    )


def families(infos: Sequence[Info]) -> Iterator[Metric]:
    """The metrics named luaflow_redis_…; a field that no server has counts as 0."""
    for name, text, field in _SUMS:
        yield GaugeMetricFamily(f"luaflow_redis_{name}", text, value=_sum(infos, field))
    for name, text, fields in _COUNTERS:
        value = sum(_sum(infos, field) for field in fields)
        yield CounterMetricFamily(f"luaflow_redis_{name}", text, value=value)
    calls, micros = _scripts(infos)
    yield CounterMetricFamily("luaflow_redis_scripts", "Scripts the server ran.", value=calls)
    yield CounterMetricFamily(
        "luaflow_redis_script_seconds",
        "Time the server spent in scripts; nothing else runs meanwhile.",
        value=micros / 1e6,
    )
    for name, text, value in (
        (
            "aof_last_write_ok",
            "1 if the last write of the AOF went well.",
            _all(infos, "aof_last_write_status", "ok"),
        ),
        ("aof_enabled", "1 if every server writes an AOF.", _all(infos, "aof_enabled", "1")),
        (
            "rdb_last_save_ok",
            "1 if the last snapshot went well.",
            _all(infos, "rdb_last_bgsave_status", "ok"),
        ),
        (
            "replica_lag_bytes",
            "How much of the stream of writes the replica furthest behind has not had.",
            max(map(_lag, infos), default=0),
        ),
    ):
        yield GaugeMetricFamily(f"luaflow_redis_{name}", text, value=int(value))


def _sum(infos: Iterable[Info], field: str) -> float:
    return sum(float(info.get(field, 0)) for info in infos)


def _all(infos: Iterable[Info], field: str, good: str) -> bool:
    return all(info.get(field, good) == good for info in infos)


def _scripts(infos: Iterable[Info]) -> tuple[int, int]:
    """How many scripts ran, and their microseconds."""
    calls = micros = 0
    for info in infos:
        for command in _SCRIPTS:
            stats = _pairs(info.get(f"cmdstat_{command}", ""))
            calls += int(stats.get("calls", 0))
            micros += int(stats.get("usec", 0))
    return calls, micros


def _lag(info: Info) -> int:
    replicas = [
        int(_pairs(text).get("offset", 0))
        for name, text in info.items()
        if name.startswith("slave") and name[5:].isdigit()
    ]
    return max(0, int(info.get("master_repl_offset", 0)) - min(replicas)) if replicas else 0


def _pairs(text: str) -> dict[str, str]:
    """The pairs of ``a=1,b=2``."""
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)
