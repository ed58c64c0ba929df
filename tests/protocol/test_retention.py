"""How long closed runs are kept, by outcome and type; and pinned ones, until they are unpinned."""

from __future__ import annotations

import orjson
import pytest
from prometheus_client import CollectorRegistry
from tests.protocol.hand import Hand, close
from tests.support.mutants import mutant, proves

from luaflow.client.client import Client
from luaflow.errors import InvalidArgument, NotFound
from luaflow.store import keys, transitions
from luaflow.store.deployed import DeployedType
from luaflow.store.keeping import parse_rules
from luaflow.store.namespaces import update_namespace
from luaflow.store.transitions import Route
from luaflow_scheduler.dates import Date
from luaflow_scheduler.metrics import SchedulerMetrics
from luaflow_scheduler.removing import remove
from luaflow_scheduler.retention import Retention
from luaflow_scheduler.settling import Settling

HOUR = 3_600_000
DAY = 24 * HOUR


async def pass_time(hand: Hand, route: Route, ms: int) -> None:
    """Let time pass, and do what a scheduler does with the dates of closed runs."""
    p, rules = route.partition, Retention(hand.store)
    metrics = SchedulerMetrics(CollectorRegistry())
    await hand.shift(ms)
    answer = await hand.store.one(transitions.due(partition=p, limit=200, latest=1))
    flat = [bytes(item).decode() for item in answer[4]]
    dates = [Date(p.gc, m, s) for m, s in zip(flat[::2], flat[1::2], strict=True)]
    settling = Settling(hand.store, metrics, rules)
    assert not await settling.settle(p, [d for d in dates if d.member.startswith("p|")])
    over = [d for d in dates if not d.member.startswith("p|")]
    await remove(hand.store, p, over, metrics, rules)


async def there(hand: Hand, route: Route) -> bool:
    """Whether the run is still there."""
    (found,) = await hand.store.read(("EXISTS", route.partition.run(route.run_id)))
    return bool(found)


async def test_runs_are_kept_as_their_outcome_says(hand: Hand) -> None:
    """A namespace keeps what failed for longer, or for shorter, than the rest."""
    await update_namespace(hand.store.link, hand.store.namespace, retentions={"terminated": HOUR})
    ended, done = await hand.start("w"), await hand.start("w2")
    await hand.end(ended)
    await hand.commit(await hand.take(done), *close())
    await pass_time(hand, ended, 60_000)
    await pass_time(hand, done, 0)
    await pass_time(hand, ended, HOUR - 1)
    assert await there(hand, ended)
    await pass_time(hand, ended, 1)
    assert not await there(hand, ended)
    await pass_time(hand, done, DAY)
    assert await there(hand, done)


async def test_a_type_says_how_long_its_runs_are_kept(hand: Hand) -> None:
    """What its entry says goes before what the namespace says; it may be longer, too."""
    rules = orjson.dumps({"any": 30 * DAY}).decode()
    one = DeployedType("t", "app:t", "b", "q", "app:worker", "app:client", retention=rules)
    table = keys.types(hand.store.namespace)
    await hand.store.read(("HSET", table, "t", one.to_bytes()))
    route = await hand.start()
    await hand.end(route)
    # also where its first date was lost
    await hand.store.read(("ZREM", route.partition.gc, f"p|{route.run_id}"))
    await pass_time(hand, route, 7 * DAY)
    await pass_time(hand, route, 23 * DAY - 1)
    assert await there(hand, route)
    await pass_time(hand, route, 1)
    assert not await there(hand, route)


@proves(mutant("keep_run", "rcall('HSET', run_key, 'pin', 1)", ""))
async def test_a_pinned_run_stays(hand: Hand) -> None:
    """It is kept after its end until it is unpinned, and for its retention after that."""
    await update_namespace(hand.store.link, hand.store.namespace, retentions={"any": HOUR})
    route = await hand.start()
    handle = Client(hand.store).get_handle("w")
    await handle.pin()
    assert (await handle.describe())["pinned"]
    await hand.end(route)
    await pass_time(hand, route, 60_000)
    await pass_time(hand, route, 1000 * DAY)
    assert await there(hand, route)
    await handle.unpin()
    assert "pinned" not in await handle.describe()
    await pass_time(hand, route, HOUR - 1)
    assert await there(hand, route)
    await pass_time(hand, route, 1)
    assert not await there(hand, route)
    with pytest.raises(NotFound):
        await handle.pin()


@proves(mutant("keep_run", "'ZADD', gc_key, 'XX'", "'ZADD', gc_key"))
async def test_an_open_run_that_is_pinned_has_no_date(hand: Hand) -> None:
    """It gets one when it closes."""
    route = await hand.start()
    await Client(hand.store).get_handle("w").pin()
    assert await hand.store.read(("ZCARD", route.partition.gc)) == [0]


@pytest.mark.parametrize("given", [{"lost": "1h"}, {"failed": "0s"}, {"failed": "long"}, "", 0])
def test_rules_that_mean_nothing_are_refused(given: object) -> None:
    """The error names what is wrong."""
    with pytest.raises((InvalidArgument, ValueError), match=r"retention|outcome"):
        parse_rules(given)
