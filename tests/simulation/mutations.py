"""Protocol rules undone on purpose: each must be found by some seed of a small range.

A mutation that no seed finds means that the stories, the faults or the checks are too weak.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from luaflow.replay.decider import Execution
from luaflow.replay.outcomes import Fed
from tests.simulation.wire import Server
from tests.simulation.world import Outcome, World, crowded
from tests.support.mutants import Violation, mutant, replaced

TRIES = 40
"""Seeds a mutation may need, from the one it names on."""


class Mutation(NamedTuple):
    """A rule undone: its section of the design, how, and a seed that finds it.

    ``light``: it is looked for in every test run; ``lossy``: it takes a fail-over with a loss;
    ``crowd``: it takes a crowded seed.
    """

    name: str
    rule: str
    violation: Violation
    seed: int = 0
    light: bool = False
    lossy: bool = False
    crowd: bool = False

    @property
    def seeds(self) -> Iterable[int]:
        """Where it is looked for."""
        wanted = _lossy if self.lossy else crowded if self.crowd else None
        return itertools.islice(filter(wanted or _any, itertools.count(self.seed)), TRIES)


def _any(_: int) -> bool:
    return True


def _lossy(seed: int) -> bool:
    """Whether a partition of several fails over, and loses something, in a seed."""
    return World.fails_over(seed) and World.plan_of(seed).partitions > 1


def hunt(mutation: Mutation, server: Server, seeds: Iterable[int] | None = None) -> Outcome | None:
    """The first seed that fails under the mutation; None when all pass."""
    with mutation.violation():
        for seed in seeds or mutation.seeds:
            outcome = World(seed, server).run()
            if outcome.problems:
                return outcome
    return None


# -- violations that are more than another text ----------------------------------------------------

_FEED, _REPLAY_LOCALS = Execution._feed, Execution._replay_locals


def _locals_at_once(self: Execution, ends: Sequence[Fed]) -> None:
    """Feed the recorded results of local activities where they were asked for."""
    for end in ends:
        _FEED(self, [end])
    for past in self._past or ():
        command = next((c for c in self.locals if c.seq == past.seq), None)
        if past.op == "local_activity" and command is not None:
            body = past.event.body
            ok = "failure" not in body
            self.feed_local(command, ok, body.get("result") if ok else body["failure"], b"")


def _rest_of_locals(self: Execution, turn: Any) -> None:
    left = {c.seq for c in self.locals}
    part = [c for c in turn.commands if c.op != "local_activity" or c.seq in left]
    _REPLAY_LOCALS(self, turn._replace(commands=part))


def _one_by_one(self: Execution, seen: int) -> None:
    """Feed each event as if it came alone: a poll knows of no message behind it."""
    if self._past is not None or seen < 3 or not self._unseen:
        _BEGIN(self, seen)
        return
    for one in range(self._unseen[0][0].id, seen + 1):
        if self._decision.status == "wait":
            _BEGIN(self, one)
    self._decision.seen = seen


_BEGIN = Execution._begin


def _several(*violations: Violation) -> Violation:
    return Violation("; ".join(v.name for v in violations), *violations)


# -- the list --------------------------------------------------------------------------------------

MUTATIONS = [
    Mutation(
        "a fused step is accepted over undecided news",
        "5.1",
        mutant(
            "includes/decide",
            "  local expected = mode == 'fused'",
            "  if mode == 'fused' then return nil end\n  local expected = mode == 'fused'",
            # (time stands in a simulated namespace: what is fused over news has an older stamp)
            ("commit", "if ts < floor or ts > now then return { 'ts' } end", ""),
        ),
    ),
    Mutation(
        "a cached coroutine is used over another worker's decision",
        "5.1",
        mutant("take_workflow", "cached_cid ~= '' and cached_cid == r.cid", "cached_cid ~= ''"),
        seed=30,
    ),
    Mutation(
        "local results are fed before the batch",
        "5.2",
        _several(
            replaced(Execution, "_feed", _locals_at_once),
            replaced(Execution, "_replay_locals", _rest_of_locals),
        ),
        light=True,
    ),
    Mutation(
        "a close is accepted over messages",
        "5.3",
        mutant("commit", "if closing and messages > 0 then", "if false then"),
        light=True,
    ),
    Mutation(
        "unread messages are lost at continue-as-new",
        "5.3",
        mutant("continue_as_new", "for i = rest, rest + carried - 1 do", "for i = 1, 0 do"),
        light=True,
    ),
    Mutation(
        "late messages are lost at continue-as-new",
        "5.3",
        mutant("continue_as_new", "for _, e in ipairs(late) do carry(e) end\n", "\n"),
    ),
    Mutation(
        "a cancel request is lost at continue-as-new",
        "5.3",
        mutant(
            "continue_as_new",
            "if MESSAGE[e[2][4]] then list",
            "if MESSAGE[e[2][4]] and e[2][4] ~= 'WorkflowExecutionCancelRequested' then list",
        ),
    ),
    Mutation(
        "the commit id is looked at after the turn",
        "5.1",
        mutant(
            "includes/decide", "if r.cid == cid then", "if r.cid == cid and r.turn == turn then"
        ),
    ),
    Mutation(
        "a repeated commit is not recognised",
        "5.1",
        mutant("includes/decide", "if r.cid == cid then", "if false then"),
        light=True,
    ),
    Mutation(
        "a commit leaves news without a task",
        "5.1",
        mutant("commit", "local keep = r.news > 0 or", "local keep ="),
        light=True,
    ),
    Mutation(
        "the epoch is not raised by a new primary",
        "5.6",
        mutant("includes/partition", "epoch = math.max(epoch + 1, server_now)", "epoch = epoch"),
        lossy=True,
        seed=560,
    ),
    Mutation(
        "the repeat of a refused request counts as done",
        "5.10",
        mutant(
            "includes/session",
            "return request < tonumber(session[1] or '0') or session[3]",
            "return request <= tonumber(rcall('HGET', sess_key, 'most') or '0')",
            (
                "includes/session",
                "  rcall('PEXPIRE', sess_key, 600000)",
                """  rcall('HSET', sess_key, 'most',
                  math.max(request, tonumber(rcall('HGET', sess_key, 'most') or '0')))
                rcall('PEXPIRE', sess_key, 600000)""",
            ),
        ),
        light=True,
    ),
    Mutation(
        "a repeated signal is written again",
        "5.10",
        mutant("message", "if repeated() then return { 'ok', 0 } end\n", "\n"),
        light=True,
    ),
    Mutation(
        "a repeated start is judged like a second one",
        "5.10",
        mutant(
            "start",
            "if repeated() or rcall('HEXISTS', run_key, 'wid') == 1 then",
            "if false then",
        ),
    ),
    Mutation(
        "a repeated update is admitted again",
        "5.12",
        mutant(
            "update",
            "if rcall('HEXISTS', run_key, 'u:' .. update_id) == 1 then",
            "if false then",
            ("update", "if got then return { 'known', got } end\n", "\n"),
        ),
        crowd=True,
    ),
    Mutation(
        "a stale worker may commit",
        "5.1",
        mutant(
            "includes/decide",
            "if r.turn ~= turn or r.task ~= expected then",
            "if r.task ~= expected then",
            ("includes/decide", "if r.worker ~= worker or r.len < seen then", "if false then"),
        ),
    ),
    Mutation(
        "a task can be taken twice",
        "5.1",
        mutant(
            "take_workflow",
            "r.turn == turn and (r.task == 'queued' or r.task == 'sticky')",
            "r.turn >= turn and r.task ~= ''",
            ("includes/decide", "if r.turn ~= turn or r.task ~= expected then", "if false then"),
            ("includes/decide", "if r.worker ~= worker or r.len < seen then", "if false then"),
        ),
    ),
    Mutation(
        "a decision is written after the end",
        "5.1",
        mutant(
            "includes/decide",
            "if r.status ~= 'running' then return { 'closed', r.status } end",
            "",
            ("includes/close", "  r.task, r.status = '', status", "  r.status = status"),
        ),
        light=True,
    ),
    Mutation(
        "a run ends twice",
        "3.3",
        mutant(
            "end_run",
            "if r.status ~= 'running' then",
            "if false then",
            ("end_run", "if repeated() then return { 'ok', 0 } end", ""),
        ),
        light=True,
    ),
    Mutation(
        "any token may end an attempt",
        "5.4",
        mutant(
            "includes/attempt",
            "return holder == token and (state == 'r' or state == 'c')",
            "return true",
        ),
        light=True,
    ),
    Mutation(
        "an activity that runs is taken again under the same number",
        "5.4",
        mutant("take_activity", "(a.state ~= 'q' and not again)", "false"),
        crowd=True,
        seed=29,
    ),
    # (that the tokens of a fused step count is found in tests/protocol/test_activities.py: no seed
    # up to 2,000 plays it)
    Mutation(
        "a lost attempt is run again under the same number",
        "5.4",
        mutant(
            "retry_activity",
            "a.attempt, a.token, a.worker = a.attempt + 1,",
            "a.attempt, a.token, a.worker = a.attempt,",
        ),
    ),
    Mutation(
        "an attempt has no lease",
        "5.4",
        mutant(
            "includes/activity",
            "  if due < math.huge then\n    set_lease",
            "  if due < 0 then\n    set_lease",
            (
                "includes/activity_operations",
                "    set_lease('a|' .. run_id",
                "    tostring('a|' .. run_id",
            ),
        ),
        light=True,
    ),
    Mutation(
        "a task that was taken has no lease",
        "5.1",
        mutant("includes/lend", "  set_lease('w|' .. run_id, due)\n", "\n"),
        light=True,
    ),
    Mutation(
        "a sticky task waits for its worker for ever",
        "5.7",
        mutant("includes/run", "      set_lease('w|' .. run_id, server_now + patience(r))\n", "\n"),
    ),
    # (that a gap is applied is found in tests/protocol/test_outbox.py alone: here all carry what
    # they read in order, and what is behind a message that waits is hardly ever under way with it)
    Mutation(
        "the mark of what arrived is ignored",
        "5.6",
        mutant(
            "includes/arrival", "number <= n then return 'duplicate' end", "false then return end"
        ),
    ),
    Mutation(
        "nobody looks after an outbox",
        "5.6",
        mutant(
            "includes/outbox",
            "rcall('ZADD', leases_key, 'NX', due, 'o|' .. receiver) == 1",
            "false",
        ),
    ),
    Mutation(
        "a message is deleted before it is delivered",
        "5.6",
        mutant(
            "forget_messages",
            "local left = rcall('XLEN', outbox_key)",
            "rcall('XTRIM', outbox_key, 'MAXLEN', 1)\nlocal left = rcall('XLEN', outbox_key)",
        ),
    ),
    Mutation(
        "a parent does not hear of its child's end",
        "5.6",
        mutant(
            "includes/other_operations",
            "  if ARGV[i + 4] ~= '0' then post(",
            "  if false then post(",
        ),
    ),
    Mutation(
        "a timer fires early",
        "5.7",
        mutant(
            "fire_timer",
            "if due > now then",
            "if false then",
            ("due", "timers_key, '-inf', now,", "timers_key, '-inf', now + 200,"),
        ),
    ),
    Mutation(
        "a timer fires twice",
        "3.5",
        mutant("fire_timer", "rcall('HDEL', pend_key, 't:' .. seq)\n", "\n"),
    ),
    Mutation(
        "what a closed run waits for is not cleaned",
        "5.8",
        mutant(
            "includes/close",
            "if rcall('HLEN', pend_key) > 0 then set_lease",
            "if false then set_lease",
        ),
    ),
    Mutation(
        "a poll does not know of the messages behind it",
        "5.2",
        replaced(Execution, "_begin", _one_by_one),
    ),
    Mutation(
        "namespace time goes back",
        "5.7",
        mutant(
            "includes/partition", "math.max(last, server_now + tonumber(M[2] or '0'))", "server_now"
        ),
    ),
]
