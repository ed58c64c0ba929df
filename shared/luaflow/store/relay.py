"""The relay: messages between partitions, applied once, in order, and answered (design 5.6).

Anybody may relay at any time: the receiver's mark decides what counts. A message leaves its outbox
only after the receiver's write is confirmed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from redis.exceptions import ResponseError

from luaflow.domain import locks, messages
from luaflow.domain.failure import Failure, terminated
from luaflow.domain.ids import partition_of
from luaflow.errors import InvalidArgument, LuaflowError
from luaflow.store import delivery, entities, gates
from luaflow.store.child_starts import child_start
from luaflow.store.delivery import Stamp
from luaflow.store.entities import Line
from luaflow.store.inboxes import deliver_inbox
from luaflow.store.keys import Partition
from luaflow.store.link import Call, ScriptFailed
from luaflow.store.schedules import read_schedule, tell_schedule
from luaflow.store.store import PATIENCE_SECONDS, Store
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)

PAGE = 50
PAGES = 10
"""A drain ends after so many pages: others wait, too."""
MOVES = 10
"""How often a message follows a run that moves between workers before it waits."""
_SETTLED = frozenset({"ok", "no", "void", "duplicate"})
_AGAIN = frozenset({"moved", "ended"})
"""What is to be looked at again, at once; `ended`: the target made way for a new run."""


class Verdict(NamedTuple):
    """What became of a message.

    ``ok`` applied, ``no`` applied as a refusal, ``void`` nobody waits for it any more,
    ``duplicate`` it was applied before; ``gap`` an earlier message is missing, ``busy`` its target
    takes none now, ``moved`` its target moves faster than it can be followed. ``replies`` are the
    partitions the receiver put a message for.
    """

    word: str
    replies: tuple[int, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether the sender is done with the message."""
        return self.word in _SETTLED


_BROKEN = Verdict("broken")
"""Its target's keys make the script fail: an answer on the way to another one."""


class Drained(NamedTuple):
    """What a drain did: messages settled, messages left, outboxes of the receiver to look at."""

    settled: int
    left: int
    replies: frozenset[int]


class _Letter(NamedTuple):
    number: int
    epoch: int
    text: bytes


class _Target(NamedTuple):
    """Where a message is to arrive, as it was read; ``parent`` is who started the run.

    ``first`` is the run its chain began with.
    ``line`` is that of the lock a message is for; ``wait`` ms has its rate limit a run wait.
    """

    run_id: str
    queue: str
    sticky: str
    parent: Mapping[str, Any] | None = None
    running: bool = False
    line: Line | None = None
    wait: int = 0
    first: str = ""


async def deliver(
    store: Store, sender: int, number: int, epoch: int, message: bytes, oldest: int = 0
) -> Verdict:
    """Apply one outbox message in its receiver's partition; the receiver is its workflow id's.

    ``oldest`` is the sender's oldest undeleted number (0: not known). Raises InvalidArgument for a
    message that names no workflow, and what ``Store.run`` raises.
    """
    mail = _read(message)
    workflow_id = mail.get("key") if mail.get("k") in entities.KINDS else mail.get("workflow_id")
    if not isinstance(workflow_id, str):
        raise InvalidArgument(
            f"a message without a workflow id cannot be delivered: {message[:200]!r}"
        )
    receiver = partition_of(workflow_id, len(store.partitions))
    letters = [_Letter(number, epoch, message)]
    return (await _carry(store, sender, receiver, letters, oldest))[0]


async def drain_outbox(
    store: Store, sender: int, receiver: int, *, patience: float = PATIENCE_SECONDS
) -> Drained:
    """Carry the messages of one outbox, strictly in order; stop at the first that must wait.

    The answers these cause lie in the receiver's outboxes afterwards (``replies``). What is left is
    for the next drain; the outbox is looked after again within a second.
    """
    partition = store.partitions[sender]
    settled, replies, done, epoch = 0, frozenset[int](), list[tuple[int, int]](), 0
    for _ in range(PAGES):
        # one round trip: forget what is done, claim the rest, read on; what is read is confirmed
        claim = delivery.forget_messages(
            partition=partition, receiver=receiver, delivered=done, epoch=epoch
        )
        answer, page = await store.run(
            claim,
            ("XRANGE", partition.outbox(receiver), "-", "+", "COUNT", PAGE),
            patience=patience,
        )
        left, epoch = int(answer[1]), int(answer[2])
        letters = [_letter(entry) for entry in page]
        if not letters:
            return Drained(settled, left, replies)
        verdicts = await _carry(store, sender, receiver, letters, letters[0].number, answer[3])
        done = [(x.number, x.epoch) for x, v in zip(letters, verdicts, strict=False) if v.settled]
        settled += len(done)
        replies = replies.union(*(v.replies for v in verdicts))
        if not done:
            return Drained(settled, left, replies)
    claim = delivery.forget_messages(
        partition=partition, receiver=receiver, delivered=done, epoch=epoch
    )
    return Drained(settled, int((await store.one(claim))[1]), replies)


def _letter(entry: Any) -> _Letter:
    id_, fields = entry
    found = dict(zip(fields[::2], fields[1::2], strict=True))
    return _Letter(int(bytes(id_).split(b"-")[0]), int(found[b"e"]), bytes(found[b"m"]))


async def _carry(
    store: Store,
    sender: int,
    receiver: int,
    letters: Sequence[_Letter],
    oldest: int,
    read_on: bytes = b"",
) -> list[Verdict]:
    """Deliver messages, read on this server; the verdicts go up to the first that must wait.

    The mark keeps the order: once one must wait, the server answers ``gap`` to those behind it. One
    that its target's keys make fail is answered and skipped: others wait behind it.
    """
    partition = store.partitions[receiver]
    mails = [_read(letter.text) for letter in letters]
    stamps = [Stamp(sender, x.number, x.epoch, oldest, read_on.decode()) for x in letters]
    verdicts: list[Verdict] = []
    moves = 0
    while len(verdicts) < len(letters):
        at = len(verdicts)
        part = slice(at, gates.next_rated(mails, at + 1))
        targets = await _find(store, partition, stamps[at], mails[part])
        made = [
            _call(store, partition, stamp, mail, target)
            for stamp, mail, target in zip(stamps[part], mails[part], targets, strict=True)
        ]
        answers = await store.apart(*(call for call, _ in made))
        got = [_verdict(a, replies) for a, (_, replies) in zip(answers, made, strict=True)]
        waits = next((v for v in got if not v.settled), None)
        verdicts += got if waits is None else got[: got.index(waits)]
        if waits == _BROKEN:
            n = len(verdicts)
            waits = await _skip(store, partition, stamps[n], mails[n], answers[n - at])
            if waits.settled:
                verdicts.append(waits)
        # a start earlier in the same batch moves its workflow id: read again, go on from there
        moves = moves + 1 if len(verdicts) == at else 0
        if waits and not waits.settled and (waits.word not in _AGAIN or moves > MOVES):
            verdicts.append(waits)
            break
    return verdicts


async def _skip(
    store: Store, p: Partition, stamp: Stamp, mail: Mapping[str, Any], problem: object
) -> Verdict:
    """Take note of a message that can never be applied, and answer it."""
    _complain(p, stamp, problem)
    failure = Failure("Internal", f"the message cannot be applied: {problem}", retryable=False)
    answer = await store.one(_to_nobody(p, stamp, _refusal(mail, failure)))
    return _verdict(answer, (stamp.sender,) if mail.get("from") else ())


def _complain(p: Partition, stamp: Stamp, problem: object) -> None:
    log.error("message %d of partition %d to %d: %s", stamp.number, stamp.sender, p.number, problem)


def _verdict(answer: Any, replies: tuple[int, ...] | None) -> Verdict:
    """What an answer means; replies None: it names them itself."""
    if isinstance(answer, ScriptFailed):
        return _BROKEN
    if isinstance(answer, LuaflowError):
        raise answer
    word = bytes(answer[0]).decode()
    if replies is None:
        replies = tuple(map(int, answer[1:])) if word == "ok" else ()
    return Verdict(word, replies if word in ("ok", "no", "ended") else ())


def _read(text: bytes) -> dict[str, Any]:
    try:
        mail = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return mail if isinstance(mail, dict) else {}


def _target(fields: Sequence[bytes | None]) -> _Target:
    run, queue, sticky, status, first = (bytes(f or b"").decode(errors="replace") for f in fields)
    return _Target(run, queue, sticky, running=status == "running", first=first)


async def _find(
    store: Store, p: Partition, first: Stamp, mails: Sequence[Mapping[str, Any]]
) -> list[_Target]:
    """Return where each message is to arrive; ``first`` is the stamp of the first one."""
    ids = [str(mail.get("workflow_id", "")) for mail in mails]
    # where a key has a wrong type, the message's script says so, and stops nobody else
    found = await store.ask(
        *(
            read_schedule(p, id_)
            if mail.get("k") == "schedule"
            else ("HMGET", p.wf(id_), "run", "queue", "sticky", "status", "first")
            for id_, mail in zip(ids, mails, strict=True)
        )
    )
    targets = [_Target("", "", "") if isinstance(f, ResponseError) else _target(f) for f in found]
    ask = [
        i
        for i, (mail, target) in enumerate(zip(mails, targets, strict=True))
        if target.run_id and (_ends(mail) or mail.get("child_of"))
    ]
    if ask:
        parents = await store.ask(*(("HGET", p.run(targets[i].run_id), "parent") for i in ask))
        for i, text in zip(ask, parents, strict=True):
            known = text and not isinstance(text, ResponseError)
            targets[i] = targets[i]._replace(parent=_read(text) if known else None)
    if any(mail.get("k") in entities.KINDS for mail in mails):
        for i, line in (await entities.lines(store, p, mails)).items():
            targets[i] = targets[i]._replace(line=line)
    if wait := await gates.wait_of_first(store, p, first, mails[0]):
        targets[0] = targets[0]._replace(wait=wait)
    return targets


def _ends(mail: Mapping[str, Any]) -> bool:
    """Whether a message may end the run it finds, whose parent is told then."""
    return mail.get("k") in ("end", "slot") or mail.get("conflict") == "terminate_existing"


def _call(
    store: Store, p: Partition, stamp: Stamp, mail: Mapping[str, Any], target: _Target
) -> tuple[Call, tuple[int, ...] | None]:
    """Return the call that applies a message, and which outboxes of the receiver it may fill.

    None: its answer says which.
    """
    answers = (stamp.sender,) if mail.get("from") else ()
    try:
        child_of = mail.get("child_of")
        if child_of and not _is_child(child_of, target.parent):
            return _to_nobody(p, stamp, b""), ()
        if mail.get("chain", target.first) != target.first:
            return _to_nobody(p, stamp, b""), ()
        match mail.get("k"):
            case "start":
                no = _refusal(mail, messages.exists_already(str(mail["workflow_id"])))
                at = Route(p, str(mail["workflow_id"]), *target[:3])
                gate = gates.of_start(store, p, mail, target.wait)
                running, parent = target.running, target.parent
                return child_start(
                    stamp, mail, at, running=running, parent=parent, no=no, gate=gate
                )
            case "message":
                return _message(p, stamp, mail, target), answers
            case "end":
                told = (int(target.parent["p"]),) if target.parent else ()
                return _end(p, stamp, mail, target), (*answers, *told)
            case "outcome":
                return _outcome(p, stamp, mail, target), ()
            case "schedule":  # what it is stands in the place of a run's route
                return tell_schedule(p, stamp, mail, *target[:3]), ()
            case "letter":  # to a process, whose node stands in the place of a workflow id
                node, letter = str(mail["workflow_id"]), orjson.dumps(mail["letter"])
                return deliver_inbox(partition=p, node=node, stamp=stamp, letter=letter), ()
            case "slot":
                place = Route(p, str(mail["workflow_id"]), str(mail["run_id"]), target.queue)
                return gates.of_slot(stamp, mail, place, target.parent, target.wait), None
            case "lock" | "unlock":
                return entities.call(store, p, stamp, mail, target.line), None
        problem = f"nobody knows messages of the kind {mail.get('k')!r}"
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        problem = f"the message cannot be read: {error!r}"
    _complain(p, stamp, problem)
    refusal = _refusal(mail, Failure("Invalid", problem, retryable=False))
    return _to_nobody(p, stamp, refusal), answers


def _is_child(child_of: Mapping[str, Any], parent: Mapping[str, Any] | None) -> bool:
    return parent is not None and all(parent.get(k) == child_of[k] for k in ("run_id", "seq"))


def _to_nobody(p: Partition, stamp: Stamp, answer: bytes) -> Call:
    """Return the call that takes note of a message, answers it, and applies nothing."""
    route = Route(p, "", "", "", "")
    return delivery.deliver_message(route=route, stamp=stamp, type="", body=b"", yes=b"", no=answer)


def _refusal(mail: Mapping[str, Any], failure: Failure) -> bytes:
    """Return the answer to a request that cannot be carried out; nothing where nobody asked."""
    types = {
        "start": "StartChildWorkflowExecutionFailed",
        "message": mail.get("failed"),
        "end": "TerminateExternalWorkflowExecutionFailed",
    }
    sender, type_ = mail.get("from"), types.get(str(mail.get("k")))
    try:
        if mail.get("k") == "lock":
            return locks.refused(mail, failure)
        body = {"seq": int(mail["seq"]), "failure": failure.to_json()}
        return messages.outcome(sender, type_, body) if sender and type_ else b""
    except (LookupError, TypeError, ValueError):
        return b""


def _accepted(mail: Mapping[str, Any], type_: str) -> bytes:
    if not mail.get("from") or not type_:
        return b""
    return messages.outcome(mail["from"], type_, {"seq": mail["seq"]})


def _message(p: Partition, stamp: Stamp, mail: Mapping[str, Any], target: _Target) -> Call:
    workflow_id = str(mail["workflow_id"])
    return delivery.deliver_message(
        route=Route(p, workflow_id, target.run_id, target.queue, target.sticky),
        stamp=stamp,
        type=str(mail["type"]),
        body=orjson.dumps(mail["body"]),
        yes=_accepted(mail, mail.get("ok", "")),
        no=_refusal(mail, messages.not_running(workflow_id)),
    )


def _end(p: Partition, stamp: Stamp, mail: Mapping[str, Any], target: _Target) -> Call:
    workflow_id, parent = str(mail["workflow_id"]), target.parent
    told = b""
    if parent:
        slot = {"failure": terminated().to_json()}
        told = messages.child_outcome(parent, workflow_id, target.run_id, "terminated", slot)
    return delivery.deliver_end(
        route=Route(p, workflow_id, target.run_id, target.queue, target.sticky),
        stamp=stamp,
        body=orjson.dumps(dict(mail["body"]))[:-1],
        receiver=int(parent["p"]) if parent else None,
        message=told,
        yes=_accepted(mail, "ExternalWorkflowExecutionTerminated"),
        no=_refusal(mail, messages.not_running(workflow_id)),
    )


def _outcome(p: Partition, stamp: Stamp, mail: Mapping[str, Any], target: _Target) -> Call:
    return delivery.deliver_outcome(
        route=Route(p, str(mail["workflow_id"]), str(mail["run_id"]), target.queue, target.sticky),
        stamp=stamp,
        seq=int(mail["seq"]),
        type=str(mail["type"]),
        body=orjson.dumps(mail["body"]),
        final=bool(mail.get("final", 1)),
    )
