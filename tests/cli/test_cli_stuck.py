"""What is stuck, on the command line: listed with its reason, tried again, failed by hand."""

from __future__ import annotations

import orjson
import pytest
from tests.support.commands import Commands
from tests.support.player import Player

from luaflow.store import attempts, transitions
from luaflow.store.attempts import Proof


async def _fail_task(player: Player) -> None:
    """The code of ``bad`` could not go on."""
    task = await player.take("bad")
    reason = orjson.dumps({"reason": "cpu", "message": "ran too long\nsomewhere"})
    call = transitions.fail_task(
        route=task.route, turn=task.turn, worker=player.name, delay=60_000, reason=reason
    )
    assert (await player.store.one(call))[0] == b"ok"


def test_a_stuck_workflow(luaflow: Commands) -> None:
    """list --stuck names it, its reason and how often; retry has it tried, once."""
    for name in ("bad", "well"):
        assert luaflow("workflow", "start", "-t", "app:pay", "-w", name).code == 0
    assert luaflow("workflow", "list", "--stuck", "-o", "json").json["workflows"] == []
    luaflow.play(_fail_task)
    listed = luaflow("workflow", "list", "--stuck")
    assert "well" not in listed.out
    row = next(line for line in listed.out.splitlines() if line.startswith("bad"))
    assert row.split() == ["bad", "app:pay", "cpu", "1", "ran", "too", "long"]
    query = ("--query", "WorkflowType = 'app:ship'")
    assert luaflow("workflow", "list", "--stuck", *query, "-o", "json").json["workflows"] == []
    assert luaflow("workflow", "count", "--query", "WorkflowHealth = 'stuck'").out == "1\n"
    assert luaflow("workflow", "retry", "-w", "bad").out == "bad: is tried again\n"
    refused = luaflow("workflow", "retry", "-w", "well")
    assert (refused.code, refused.out) == (5, "")
    assert "does not wait to be tried again" in refused.err
    assert luaflow("workflow", "retry", "-w", "nobody").code == 4


async def _back_off(player: Player) -> None:
    """The job has failed, and waits for an hour."""
    store = player.store
    p = store.partition("job")
    ((record,),) = await store.read(("HMGET", p.job("job"), "a:1"))
    proof = Proof(state=attempts.parse_record(record).proof)
    call = attempts.retry_activity(
        partition=p, run_id="j:job", seq="1", proof=proof, delay=3_600_000, failure=b"{}"
    )
    assert (await store.one(call))[0] == b"ok"


def test_an_activity_by_hand(luaflow: Commands) -> None:
    """One that backs off is tried at once, or failed for good; one that does not is refused."""
    words = ("-t", "app:job", "-a", "job", "-q", "q")
    assert luaflow("activity", "start", *words).code == 0
    refused = luaflow("activity", "reset", "-a", "job")
    assert refused.code == 5
    assert "it waits in its queue" in refused.err
    luaflow.play(_back_off)
    assert luaflow("activity", "reset", "-a", "job", "-o", "json").json["activity_id"] == "job"
    failed = luaflow("activity", "fail", "-a", "job", "--reason", "enough", "--kind", "Poison")
    assert failed.code == 0, failed
    described = luaflow("activity", "describe", "-a", "job", "-o", "json").json
    assert (described["status"], described["failure"]["kind"]) == ("failed", "Poison")


@pytest.mark.parametrize(
    ("code", "says", "words"),
    [
        (2, "say which activity", ("reset",)),
        (2, "say which activity", ("fail", "--reason", "x")),
        (2, "has a number", ("reset", "-w", "w", "-a", "name")),
        (4, "no workflow with the id", ("reset", "-w", "w", "-a", "1")),
        (4, "the job 'nobody' is not there", ("fail", "-a", "nobody", "--reason", "x")),
    ],
)
def test_bad_activity_commands(
    luaflow: Commands, code: int, says: str, words: tuple[str, ...]
) -> None:
    """Each mistake is one clear error with its exit code."""
    answer = luaflow("activity", *words)
    assert (answer.code, answer.out) == (code, ""), answer
    assert says in answer.err
