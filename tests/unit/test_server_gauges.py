"""What servers say of themselves, as metrics: one, or all of a cluster together."""

from __future__ import annotations

from luaflow_scheduler.server_gauges import cannot_write, families
from luaflow_scheduler.stuck import LongHistories

PRIMARY = {
    "used_memory": "100",
    "maxmemory": "1000",
    "used_cpu_user": "1.5",
    "used_cpu_sys": "0.25",
    "master_repl_offset": "500",
    "slave0": "ip=a,port=1,state=online,offset=480,lag=0",
    "slave1": "ip=b,port=1,state=online,offset=300,lag=1",
    "slave_expires_tracked_keys": "0",
    "cmdstat_evalsha": "calls=10,usec=2000,usec_per_call=200.00",
    "cmdstat_eval": "calls=1,usec=500,usec_per_call=500.00",
    "cmdstat_get": "calls=99,usec=99",
    "aof_enabled": "1",
}


def values(*infos: dict[str, str]) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in families(infos)}


def test_fields_become_metrics() -> None:
    """Scripts are evalsha and eval together; the lag is that of the replica furthest behind."""
    found = values(PRIMARY)
    assert found["luaflow_redis_memory_used_bytes"] == 100
    assert found["luaflow_redis_cpu_seconds"] == 1.75
    assert found["luaflow_redis_scripts"] == 11
    assert found["luaflow_redis_script_seconds"] == 0.0025
    assert found["luaflow_redis_replica_lag_bytes"] == 200
    assert found["luaflow_redis_aof_last_write_ok"] == 1


def test_servers_of_a_cluster_are_added() -> None:
    """And all is well only where it is on each of them."""
    bad = {"used_memory": "11", "aof_last_write_status": "err", "aof_enabled": "0"}
    found = values(PRIMARY, bad)
    assert found["luaflow_redis_memory_used_bytes"] == 111
    assert found["luaflow_redis_aof_last_write_ok"] == 0
    assert found["luaflow_redis_aof_enabled"] == 0
    assert found["luaflow_redis_replica_lag_bytes"] == 200


def test_a_server_that_says_nothing_is_taken_to_be_well() -> None:
    """INFO may be forbidden."""
    found = values({})
    assert found["luaflow_redis_memory_used_bytes"] == 0
    assert found["luaflow_redis_aof_last_write_ok"] == 1
    assert found["luaflow_redis_replica_lag_bytes"] == 0


def test_a_server_that_cannot_write_is_known() -> None:
    """Its log, or its snapshot."""
    assert not cannot_write([PRIMARY, {}])
    assert cannot_write([PRIMARY, {"aof_last_write_status": "err"}])
    assert cannot_write([{"rdb_last_bgsave_status": "err"}])


def test_longest_history_is_of_whole_rounds() -> None:
    """A slice counts when its round has ended; then the round before is forgotten."""
    long = LongHistories()

    def told() -> list[float]:
        return [family.samples[0].value for family in long.families()]

    long.seen(0, [(7, 10), (5, 90)], last=False)
    assert told() == [0, 0]
    long.seen(0, [(3, 1)], last=True)
    long.seen(1, [(9, 2)], last=True)
    assert told() == [9, 90]
    long.seen(0, [], last=True)
    assert told() == [9, 2]
