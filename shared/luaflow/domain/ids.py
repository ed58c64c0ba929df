"""Names and identities: workflow ids, partitions, PIDs, run ids.

The rules come from design section 4 (what an id may hold) and from the contract, section 0
rule 11 and 7.1 (the shape of a PID).
"""

from __future__ import annotations

import re
import secrets
import uuid
import zlib
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import NamedTuple

from luaflow.errors import InvalidArgument

MAX_WORKFLOW_ID = 200
MAX_REQUEST_ID = 200
ALIKE = 0.6
"""From 0 (nothing in common) to 1: how near a name must come to be what was meant."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f{}|]")
_NODE = re.compile(r"n[0-9a-f]{12}\Z")
_PID = re.compile(r"\{(?:(?P<node>[^@{}|]+)@)?(?P<host>[^|{}]*)\|(?P<uniq>[^{}]+)\}\Z")


def check_workflow_id(workflow_id: str) -> str:
    """Return the workflow id, or raise InvalidArgument saying what is wrong with it.

    A workflow id is 1-200 characters of UTF-8 without control characters, ``{``, ``}`` or
    ``|``: braces would move its keys to another cluster slot, the bar ends it inside a PID.
    """
    if not workflow_id or len(workflow_id) > MAX_WORKFLOW_ID:
        raise InvalidArgument(
            f"a workflow id has 1-{MAX_WORKFLOW_ID} characters, this one has {len(workflow_id)}"
        )
    if bad := _FORBIDDEN.search(workflow_id):
        raise InvalidArgument(
            f"the workflow id {workflow_id!r} holds {bad.group()!r}: control characters, "
            "'{', '}' and '|' are not allowed in ids"
        )
    try:
        workflow_id.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"the workflow id {workflow_id!r} is not valid UTF-8") from None
    return workflow_id


def check_name(name: str, what: str) -> str:
    """Return a namespace or queue name, or raise InvalidArgument naming the rule it breaks."""
    if not _NAME.match(name):
        raise InvalidArgument(
            f"{what} {name!r} is not a name: use letters, digits, '_', '.', '-' "
            "(1-63 characters, the first a letter or a digit)"
        )
    return name


def check_request_id(request_id: str) -> str:
    """Return the id a caller gave its request, or raise InvalidArgument: the server keeps many."""
    if not 1 <= len(request_id) <= MAX_REQUEST_ID:
        raise InvalidArgument(
            f"a request id has 1-{MAX_REQUEST_ID} characters, this one has {len(request_id)}"
        )
    try:
        request_id.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"the request id {request_id!r} is not valid UTF-8") from None
    return request_id


def check_update_id(update_id: str) -> str:
    """Return the id of an update, or raise InvalidArgument: code answers ``{update|<id>}``."""
    if not 1 <= len(update_id) <= MAX_REQUEST_ID or _FORBIDDEN.search(update_id):
        raise InvalidArgument(
            f"the update id {update_id[:80]!r} must have 1-{MAX_REQUEST_ID} characters,"
            " none of them '{', '}', '|' or a control character"
        )
    return check_request_id(update_id)


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a workflow id (or of an entity's key): crc32(utf-8) % P."""
    return zlib.crc32(key.encode()) % partitions


def closest(wanted: str, names: Iterable[str]) -> str | None:
    """The name that ``wanted`` may be a misspelling of; None when none comes near.

    What stands before the colon of an entry id says nothing: most ids of an app share it.
    """
    scored = [(_alike(_local(wanted), _local(name)), _alike(wanted, name), name) for name in names]
    score, _, name = max(scored, default=(0.0, 0.0, ""))
    return name if score >= ALIKE else None


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _alike(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b).ratio()


def new_run_id() -> str:
    """Return a fresh run id: 32 hexadecimal digits, chosen by whoever starts the run."""
    return uuid.uuid4().hex


def new_node_id() -> str:
    """Return a fresh node incarnation: the first part of the PIDs of one OS process's functions."""
    return f"n{secrets.token_hex(6)}"


class Pid(NamedTuple):
    """A process identity: ``{node@host|uniq}``; a workflow's uniq is its workflow id.

    The node of a workflow is its client entry, ``namespace:name``; that of a function or process is
    the incarnation of the OS process it runs in, so that anybody can route a message to it.
    """

    node: str
    host: str
    uniq: str

    def __str__(self) -> str:
        """Return the text form, with braces, as Lua code sees it."""
        node = f"{self.node}@" if self.node else ""
        return f"{{{node}{self.host}|{self.uniq}}}"

    @property
    def is_process(self) -> bool:
        """Whether this is a function or process of a node, and no workflow."""
        return _NODE.match(self.node) is not None


def parse_pid(text: str) -> Pid | None:
    """Return the PID a text spells, or None: text without braces is a name to resolve.

    The older form ``{node@host|x|uniq}`` keeps its last part (contract 7.1).
    """
    if not (text.startswith("{") and text.endswith("}") and "|" in text):
        return None
    head, _, uniq = text[1:-1].rpartition("|")
    match = _PID.match(f"{{{head.split('|')[0]}|{uniq}}}")
    if match is None:
        return None
    return Pid(match["node"] or "", match["host"], match["uniq"])
