"""The typed door to the scripts about processes that are no workflows: inboxes and names.

An inbox belongs to a node incarnation, a name to a process. Both expire when the node's heartbeat
does not come any more, and both live in the partition of their own text (design 4).
"""

from __future__ import annotations

from luaflow.domain.ids import partition_of
from luaflow.store.delivery import Stamp
from luaflow.store.keys import Partition
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load
from luaflow.store.store import Store
from luaflow.store.transitions import RequestId

TTL_MS = 60_000
"""How long a node that went silent is still taken to be there."""
LIMIT = 10_000
"""Letters that may wait in an inbox; beyond it the oldest go."""


def home(store: Store, text: str) -> Partition:
    """The partition of a node incarnation, or of a name."""
    return store.partitions[partition_of(text, len(store.partitions))]


def keep_inbox(*, partition: Partition, node: str, ttl: int = TTL_MS) -> Call:
    """Make the inbox of a node, or keep it for another while."""
    return Call(load("keep_inbox"), [partition.meta, partition.inbox(node)], [ttl])


def post_inbox(*, partition: Partition, node: str, letter: bytes, request: RequestId) -> Call:
    """Put a letter (JSON) into the inbox of a node."""
    p = partition
    keys = [p.meta, p.inbox(node), p.session(request.session)]
    args: list[Arg] = [request.session, request.number, request.lowest, LIMIT, letter]
    return Call(load("post_inbox"), keys, args)


def deliver_inbox(*, partition: Partition, node: str, stamp: Stamp, letter: bytes) -> Call:
    """The same for a letter of a run, which came through an outbox."""
    p = partition
    keys = [p.meta, p.inbox(node), p.mark(stamp.sender)]
    return Call(load("deliver_inbox"), keys, [*stamp, LIMIT, letter])


def register_name(*, partition: Partition, name: str, pid: str, ttl: int = TTL_MS) -> Call:
    """Give a name to a process for a while, or keep it."""
    return Call(load("register_name"), [partition.meta, partition.name(name)], [pid, ttl])


def unregister_name(*, partition: Partition, name: str, pid: str = "") -> Call:
    """Free a name; with ``pid`` only where it is that process's."""
    return Call(load("unregister_name"), [partition.meta, partition.name(name)], [pid])
