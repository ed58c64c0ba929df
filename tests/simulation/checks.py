"""What must hold at the end of a seed: histories, what clients were told, what activities did.

The names I1 … I9 are those of the invariants in docs/simulation.md.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from luaflow.deploy import load_bundle
from luaflow.domain import values
from luaflow.domain.events import CLOSING, MESSAGES, Event
from luaflow.lua.vm import Engine
from luaflow.replay.decider import Execution
from luaflow.replay.loading import bundle_of, pid_of, run_info, source_of
from tests.protocol.invariants import RunState, problems_of, read_partition
from tests.simulation.activities import Trace
from tests.simulation.clients import Told
from tests.simulation.direct import DirectStore, at_once
from tests.support.histories import OUTCOMES

REPLIES = {
    "SignalExternalWorkflowExecutionInitiated": (
        "ExternalWorkflowExecutionSignaled",
        "SignalExternalWorkflowExecutionFailed",
    ),
    "StartChildWorkflowExecutionInitiated": (
        "ChildWorkflowExecutionStarted",
        "StartChildWorkflowExecutionFailed",
    ),
    "LockRequested": ("LockGranted", "LockRefused"),
}
"""Requests, and what may answer each, once."""


class Run:
    """A run and what its history says."""

    def __init__(self, state: RunState, partition: int) -> None:
        self.id = state.run_id
        self.partition = partition
        self.fields = state.fields
        self.events = state.events
        self.started: dict[str, Any] = state.events[0].body
        self.workflow_id = state.fields["wid"]
        self.first = state.fields.get("first") or state.run_id
        self.name = f"{self.workflow_id} (run {self.id[:8]})"

    def of(self, *types: str) -> list[Event]:
        """The events of these types."""
        return [e for e in self.events if e.type in types]

    @property
    def end(self) -> Event | None:
        """Its closing event."""
        return self.events[-1] if self.events[-1].type in CLOSING else None

    @property
    def status(self) -> str:
        """How it ended."""
        return CLOSING[self.end.type] if self.end else "running"

    @property
    def next(self) -> str:
        """The run that goes on in its place."""
        return str(self.end.body.get("new_run_id", "")) if self.end else ""


def signal_values(events: Sequence[Event]) -> list[int]:
    """The numbers that signals carry, in order."""
    return [e.body["input"][0] for e in events if e.type == "WorkflowExecutionSignaled"]


class Verdict:
    """All checks of one seed; ``problems()`` says what is wrong."""

    def __init__(
        self,
        direct: DirectStore,
        told: Sequence[Told],
        traces: Sequence[Trace],
        *,
        fresh: bool,
        lost_at: int | None = None,
    ) -> None:
        """``fresh``: engines are made anew, for their code may have been altered.

        ``lost_at``: a fail-over lost what was acknowledged before that moment; what is left must be
        whole, and what began later must end.
        """
        self._lost_at = lost_at
        self._direct = direct
        self._told = told
        self._traces = traces
        self._fresh = fresh
        self.runs: dict[str, Run] = {}
        for p in direct.partitions:
            state = at_once(read_partition(direct.store, p))
            for run_id in sorted(state.runs):
                self.runs[run_id] = Run(state.runs[run_id], p.number)

    @property
    def digest(self) -> str:
        """Of all histories, byte for byte."""
        digest = hashlib.sha256()
        for run in self.runs.values():
            digest.update(f"{run.id} {run.workflow_id}\n".encode())
            for e in run.events:
                digest.update(f"{e.id} {e.ts} {e.type} ".encode() + e.raw + b"\n")
        return digest.hexdigest()

    def problems(self) -> Iterator[str]:
        """What is wrong, as sentences."""
        lossy = self._lost_at is not None
        yield from at_once(problems_of(self._direct.store, rest=not lossy))
        for run in self.runs.values():
            yield from self._of_run(run)
            yield from self._replays(run)
        if lossy:
            return
        for run in self.runs.values():
            yield from self._of_next(run)
            yield from self._of_attempts(run)
        yield from self._of_traces()
        for chain in self._chains():
            yield from self._of_chain(chain)
        for told in self._told:
            yield from self._of_told(told)
        yield from self._of_order()

    # -- I2, I3, I4, I5: one history -------------------------------------------------------------

    def _of_run(self, run: Run) -> Iterator[str]:
        if run.end is None and not self._excused(run):
            yield f"I9 {run.name} never ended"
        seen = [e.body["seen"] for e in run.of("WorkflowTaskCompleted")]
        if seen != sorted(seen):
            yield f"I2 {run.name}: decisions saw {seen}"
        timers = {e.body["seq"]: e.ts + e.body["ms"] for e in run.of("TimerStarted")}
        fired = Counter(e.body["seq"] for e in run.of("TimerFired"))
        for event in run.of("TimerFired"):
            seq = event.body["seq"]
            if fired[seq] > 1 or event.ts < timers.get(seq, 1 << 60):
                due = timers.get(seq)
                yield f"I5 {run.name}: timer {seq}, due {due}, fired {fired[seq]}x ({event.ts})"
        scheduled = Counter(e.body["seq"] for e in run.of("ActivityTaskScheduled"))
        ended = Counter(e.body["seq"] for e in run.of(*OUTCOMES))
        for seq, count in ended.items():
            if count > 1 or scheduled[seq] != 1:
                times = scheduled[seq]
                yield f"I4 {run.name}: activity {seq} was asked {times} times, ended {count}"
        for asked, answers in REPLIES.items():
            open_ = Counter(e.body["seq"] for e in run.of(asked))
            got = Counter(e.body["seq"] for e in run.of(*answers))
            if any(n > 1 for n in got.values()) or got - open_:
                yield f"I4 {run.name}: {asked} of {dict(open_)} was answered {dict(got)}"
        children = Counter(e.body["seq"] for e in run.events if e.type.startswith("ChildWorkflow"))
        if any(n > 2 for n in children.values()):
            yield f"I4 {run.name}: children ended more than once: {children}"
        done = Counter(e.body["update_id"] for e in run.of("WorkflowExecutionUpdateCompleted"))
        came = Counter(e.body["update_id"] for e in run.of("WorkflowExecutionUpdateAdmitted"))
        if any(n > 1 for n in (*done.values(), *came.values())):
            yield f"I4 {run.name}: updates came {dict(came)} and were answered {dict(done)}"

    def _excused(self, run: Run) -> bool:
        """Whether a run may wait for an answer that a fail-over lost.

        One that needs a slot may wait for a run that is lost and never gives it back.
        """
        since = self._lost_at
        return since is not None and (
            int(run.fields["start"]) <= since or run.fields["type"] == "app:narrow"
        )

    def _of_attempts(self, run: Run) -> Iterator[str]:
        """What activities return reaches the history unchanged, from an attempt that ran."""
        ran = defaultdict(list)
        asked = {e.body["seq"]: e.body["activity"] for e in run.of("ActivityTaskScheduled")}
        for trace in self._traces:
            # (a decision that came to nothing may have run a local one under the same number)
            if trace.run_id == run.id and asked.get(trace.seq) == trace.activity:
                ran[trace.seq].append(trace.attempt)
        specs = {e.body["seq"]: e.body["input"][0] for e in run.of("ActivityTaskScheduled")}
        for event in run.of("ActivityTaskCompleted"):
            seq, attempt = event.body["seq"], event.body["attempt"]
            if event.body.get("result", {}).get("v") != specs[seq]["v"]:
                yield f"I4 {run.name}: activity {seq} of {specs[seq]} returned {event.body}"
            if attempt not in ran[seq]:
                yield f"I4 {run.name}: activity {seq}: attempt {attempt} completed, ran {ran[seq]}"
            if attempt <= specs[seq].get("fails", 0):
                yield f"I4 {run.name}: activity {seq}: attempt {attempt} of {specs[seq]} completed"
        for event in run.of(*OUTCOMES):
            seq, attempt = event.body["seq"], event.body["attempt"]
            if any(n > attempt for n in ran[seq]):
                yield f"I4 {run.name}: activity {seq} ran {ran[seq]}, its history knows {attempt}"

    def _of_traces(self) -> Iterator[str]:
        """Each attempt begins once, except local ones: their decisions may be made again."""
        counts = Counter(
            (t.run_id, t.seq, t.attempt) for t in self._traces if t.activity != "app:quick"
        )
        for (run_id, seq, attempt), count in counts.items():
            if count > 1:
                what = f"attempt {attempt} of activity {seq}"
                yield f"I4 run {run_id[:8]}: {what} began {count} times"
        keys = defaultdict(set)
        for t in self._traces:
            keys[t.run_id, t.seq].add(t.key)
        for (run_id, seq), names in keys.items():
            if len(names) > 1:
                yield f"I4 run {run_id[:8]}: activity {seq} had the keys {names}"

    # -- I6: messages ----------------------------------------------------------------------------

    def _of_next(self, run: Run) -> Iterator[str]:
        """What a run that continues as new has not taken is in the next one, in order."""
        if run.status != "continued_as_new":
            return
        follower = self.runs.get(run.next)
        if follower is None or follower.started.get("continued_from") != run.id:
            yield f"I1 {run.name} continues as {run.next}, which is not there"
            return
        seen = max((e.body["seen"] for e in run.of("WorkflowTaskCompleted")), default=0)
        late = [_content(e) for e in run.of(*MESSAGES) if e.id > seen]
        there = [_content(e) for e in follower.of(*MESSAGES)]
        # (behind what it has not taken of what it saw, before what came to the next run itself)
        if not any(there[i : i + len(late)] == late for i in range(len(there) + 1)):
            yield f"I6 {run.name}: {late} came late, and are not in the next run: {there}"
        cancels = len(run.of("WorkflowExecutionCancelRequested"))
        if not _input(run)["interrupt"] and cancels > len(
            follower.of("WorkflowExecutionCancelRequested")
        ):
            # (its code never looks at them)
            yield f"I6 {run.name}: of {cancels} requests to cancel some are not in the next run"

    def _tried_again(self) -> set[str]:
        """The workflow ids with a run that failed or timed out, and was followed by another try."""
        runs = self.runs.values()
        return {r.workflow_id for r in runs if r.next and r.status != "continued_as_new"}

    def _chains(self) -> list[list[Run]]:
        """Runs that follow each other under one workflow id, in order."""
        found = []
        followers = {run.next for run in self.runs.values() if run.next}
        for run in self.runs.values():
            if run.id in followers:
                continue
            chain = [run]
            while chain[-1].next in self.runs:
                chain.append(self.runs[chain[-1].next])
            found.append(chain)
        return found

    def _taken(self, chain: Sequence[Run]) -> tuple[list[int], list[int]]:
        """The signals the code of a chain took, in order, and those nobody took.

        What is in the next run, too, was carried over: numbers are unique.
        """
        taken: list[int] = []
        left: list[int] = []
        for run, follower in itertools.zip_longest(chain, chain[1:]):
            mine = signal_values(run.events)
            carried = set(signal_values(follower.events)) if follower else set()
            unread = set((run.end.body.get("unread") if run.end else None) or ())
            gone = signal_values([e for e in run.events if e.id in unread])
            taken += [v for v in mine if v not in carried and v not in gone]
            left += [v for v in gone if v not in carried]
        return taken, left

    def _of_chain(self, chain: Sequence[Run]) -> Iterator[str]:
        name = chain[0].name
        taken, left = self._taken(chain)
        again = self._tried_again()
        # (what is tried again says what it said before, to itself and to others)
        own = {
            e.body["input"][0]
            for r in chain
            for e in r.of("WorkflowExecutionSignaled")
            if e.body.get("from", "").rpartition("|")[2].rstrip("}") in again
        }
        if any(n > 1 and v not in own for v, n in Counter(taken + left).items()):
            yield f"I6 {name}: signals taken {taken}, left {left}: some twice"
        for i, run in enumerate(chain):
            # (a run that is tried again has taken nothing yet)
            if any(r.status != "continued_as_new" for r in chain[:i]):
                break
            if i:
                so_far, _ = self._taken(chain[: i + 1])
                mine, _ = self._taken(chain[i : i + 1])
                got = _input(run).get("got") or []
                if got != [v for v in so_far if v not in mine]:
                    yield f"I6 {run.name}: it begins with {got} taken, histories say {so_far}"
            if run.status == "completed":
                yield from self._of_result(run, self._taken(chain[: i + 1])[0])

    def _of_result(self, run: Run, taken: list[int]) -> Iterator[str]:
        """What the code says it saw is what its history says."""
        assert run.end
        result = values.decode(run.end.body["result"])
        if list(result["got"]) != taken:
            yield f"I6 {run.name}: its code took {result['got']}, its histories say {taken}"
        unread = set(run.end.body.get("unread") or ())
        decided = run.of("WorkflowTaskCompleted")[-1].id
        # (what it sends to itself takes effect with the commit: of the last one, nobody reads it)
        behind = [
            e
            for e in run.of("WorkflowExecutionSignaled")
            if e.id in unread and not (e.id > decided and "from" in e.body)
        ]
        if behind and _input(run)["steps"][-1]["op"] == "drain":
            yield f"I6 {run.name}: its code emptied its mailbox, and left {behind} behind"
        steps = [s for s in _input(run)["steps"] if s["op"] != "again"]
        if [entry["op"] for entry in result["log"]] != [s["op"] for s in steps]:
            yield f"I7 {run.name}: steps {[s['op'] for s in steps]}, log {result['log']}"
            return
        for entry, step in zip(result["log"], steps, strict=True):
            pairs = [(entry, step["spec"])] if "spec" in step else []
            if step["op"] in {"all", "chain"}:
                if len(entry["all"]) != len(step["specs"]):
                    yield f"I7 {run.name}: {step} gave {entry}"
                    continue
                pairs = list(zip(entry["all"], step["specs"], strict=True))
            wrong = [(e, s) for e, s in pairs if e.get("v", s["v"]) != s["v"]]
            if wrong or (step["op"] == "side" and entry["v"] != step["value"]):
                yield f"I7 {run.name}: {step} gave {entry}"

    # -- I1: what clients were told --------------------------------------------------------------

    def _of_told(self, told: Told) -> Iterator[str]:
        op, ok = told.op, told.outcome == "ok"
        what = f"{op.kind} {op.target} by client {told.client}"
        runs = [r for r in self.runs.values() if r.workflow_id == op.target]
        if told.outcome.startswith(("unexpected", "open")):
            yield f"I1 {what}: {told.outcome}"
        if told.outcome == "gone":
            yield f"I1 {what}: whoever waits is told that it never was"
        if op.kind in {"start", "again"}:
            if ok and told.run_id not in self.runs:
                yield f"I1 {what}: acknowledged, but there is no run {told.run_id}"
            values = op.how.get("messages", ())
            yield from self._of_values(what, told, runs, values)
        if op.kind == "signal":
            yield from self._of_values(what, told, runs, [op.how["value"]])
        if op.kind == "result" and ok:
            ends = [r.end.body.get("result") for r in runs if r.end and r.status == "completed"]
            if told.answer not in ends:
                yield f"I1 {what}: told {told.answer}, in the histories is {ends}"
        if op.kind == "terminate" and ok and not any(r.status == "terminated" for r in runs):
            yield f"I1 {what}: acknowledged, but no run was terminated"
        if op.kind == "update":
            yield from self._of_update(what, told, runs)
        if op.kind == "job" and ok and (told.answer or {}).get("v") != op.how["spec"]["v"]:
            yield f"I1 {what}: told {told.answer}, wanted {op.how['spec']}"

    def _of_values(
        self, what: str, told: Told, runs: Sequence[Run], values: Sequence[int]
    ) -> Iterator[str]:
        """Acknowledged signals came once, unknown ones once or not at all, refused ones never."""
        came: Counter[int] = Counter()
        for chain in self._chains():
            if chain[0] in runs:
                taken, left = self._taken(chain)
                came.update(taken + left)
        for value in values:
            least, most = 1, 1
            if told.outcome == "unknown":
                least = 0
            elif told.outcome != "ok":
                least = most = 0
            elif told.op.kind in {"start", "again"} and told.existed:
                least = 0  # (a conflict policy may hand them to the run there is, or not)
            if not least <= came[value] <= most:
                yield f"I1 {what}: signal {value} came {came[value]} times ({told.outcome})"

    def _of_update(self, what: str, told: Told, runs: Sequence[Run]) -> Iterator[str]:
        name = f"u{told.op.how['value']}"
        events = [e for r in runs for e in r.events if e.body.get("update_id") == name]
        done = [e for e in events if e.type == "WorkflowExecutionUpdateCompleted"]
        if len(done) > 1:
            yield f"I4 {what}: it was carried out {len(done)} times"
        if told.outcome == "ok":
            results = [e.body.get("result") for e in done]
            if told.answer != {"n": told.op.how["value"]} or results != [told.answer]:
                yield f"I1 {what}: told {told.answer}, in the histories is {results}"
        if told.op.how["refused"] and done:
            yield f"I1 {what}: its validator says no, and it was carried out"

    def _of_order(self) -> Iterator[str]:
        """One client's signals, each sent when the one before was acknowledged, stay in order."""
        sent: dict[tuple[int, str], list[int]] = defaultdict(list)
        for told in self._told:
            apart = told.op.how.get("apart")
            if told.op.kind == "signal" and told.outcome == "ok" and not apart:
                sent[told.client, told.op.target].append(told.op.how["value"])
        for (client, target), numbers in sent.items():
            for chain in self._chains():
                if chain[0].workflow_id != target:
                    continue
                came = list(dict.fromkeys(v for r in chain for v in signal_values(r.events)))
                mine = [v for v in came if v in numbers]
                if mine != [v for v in numbers if v in mine]:
                    yield f"I6 {chain[0].name}: client {client} sent {numbers}, came {mine}"

    # -- I7: replay ------------------------------------------------------------------------------

    def _replays(self, run: Run) -> Iterator[str]:
        bundle, engine = self._engine(bundle_of(run.events))
        info = run_info(
            self._direct.namespace,
            run.workflow_id,
            run.id,
            run.started,
            bundle,
            pid_of(run.started),
        )
        opened = engine.open(info)
        try:
            Execution(opened, _no_value).replay(run.events)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            yield f"I7 {run.name}: {type(error).__name__}: {error}"
        finally:
            opened.close()

    def _engine(self, name: str) -> tuple[Any, Engine]:
        if not self._fresh and name in _ENGINES:
            return _ENGINES[name]
        bundle = at_once(load_bundle(self._direct.store, name))
        _ENGINES[name] = bundle, Engine(source_of(bundle), cpu_seconds=60)
        return _ENGINES[name]


_ENGINES: dict[str, tuple[Any, Engine]] = {}


def _content(event: Event) -> object:
    said = {k: v for k, v in event.body.items() if k in {"name", "input", "update_id", "reason"}}
    return event.type, said


def _input(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = values.decode(run.started["input"])[0]
    return found


def _no_value(name: str) -> NoReturn:
    raise AssertionError(f"a replay made a value of its own: {name}")
