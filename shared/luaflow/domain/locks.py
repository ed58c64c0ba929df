"""Locks and slots: what travels between a run and the entity it asks (design 4, "entity").

An entity lives in the partition of its key. Each request has one answer; giving back has none. A
member names who asks: ``<partition>|<run id>|<command number>``; number 0 is the slot a run needs
to begin (``luaflow.domain.flow``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from luaflow.domain.failure import Failure
from luaflow.domain.messages import outcome

LONGEST_KEY: Final = 200
"""Bytes a key may have."""
MOST_WAITING: Final = 10_000
"""Runs that may stand in one line."""
GRANTED: Final = "LockGranted"
REFUSED: Final = "LockRefused"


def member_of(sender: Mapping[str, Any], seq: int | str) -> str:
    """The name under which a run's request is known to the entity."""
    return f"{sender['p']}|{sender['run_id']}|{seq}"


def run_of(member: str) -> str:
    """The run that asked; of a slot, the first one of its chain."""
    return member.split("|")[1]


def ask(sender: Mapping[str, Any], seq: int, key: str, limit: int, *, wait: bool) -> bytes:
    """A request for a lock that ``limit`` runs may have at once; ``wait``: it stands in line."""
    mail = {"k": "lock", "key": key, "from": sender, "seq": seq, "limit": limit, "wait": int(wait)}
    return orjson.dumps(mail)


def give_back(key: str, member: str) -> bytes:
    """What a run has, or waits for, is given back."""
    return orjson.dumps({"k": "unlock", "key": key, "member": member})


def look_again(key: str) -> bytes:
    """The line of a lock is looked at again; nobody gives anything back."""
    return give_back(key, "")


def granted(mail: Mapping[str, Any]) -> bytes:
    """The answer to a request that was granted."""
    if "slot" in mail:
        return _slot_answer(mail, granted=1)
    return outcome(mail["from"], GRANTED, {"seq": mail["seq"]}, final=False)


def refused(mail: Mapping[str, Any], failure: Failure) -> bytes:
    """The answer to a request that was not."""
    if "slot" in mail:
        return _slot_answer(mail, granted=0, failure=failure.to_json())
    return outcome(mail["from"], REFUSED, {"seq": mail["seq"], "failure": failure.to_json()})


def _slot_answer(mail: Mapping[str, Any], **said: Any) -> bytes:
    me = {"workflow_id": mail["from"]["workflow_id"], "run_id": mail["from"]["run_id"]}
    return orjson.dumps({"k": "slot", **me, "slot": mail["slot"], **said})


def not_free(mail: Mapping[str, Any]) -> Failure:
    """Why a request that does not wait, or finds too many waiting, is refused."""
    limit = mail["limit"]
    if "slot" in mail:
        what = f"the concurrency limit of {mail['slot']['type']} is {limit}, and as many run"
    else:
        held = "another run has it" if limit == 1 else f"{limit} runs have it"
        what = f"the lock '{mail['key']}' is not free: {held}"
    if mail.get("wait"):
        text = f"{what}; {MOST_WAITING} wait already"
        return Failure("Unavailable", text, retryable=True)
    kind = "Conflict" if "slot" in mail else "Timeout"
    return Failure(kind, what, retryable=False)
