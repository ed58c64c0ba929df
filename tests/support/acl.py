"""The server's users of deploy/redis/users.acl, made on a test's server for its namespace."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from redis.exceptions import ResponseError

from luaflow.store.links import Linked

FILE = Path(__file__).parents[2] / "deploy/redis/users.acl"
PASSWORD = "password-of-a-test-8c1f29ab"


def users(namespace: str, file: Path = FILE) -> dict[str, list[str]]:
    """The rules of each role for a namespace, without its password."""
    found = {}
    for line in file.read_text().replace("NAMESPACE", namespace).splitlines():
        _, name, *rules = line.split()
        found[name.removeprefix(f"{namespace}-")] = [r for r in rules if not r.startswith("#")]
    return found


def url_as(url: str, role: str, namespace: str) -> str:
    """The address of the same server for the user that a role has in a namespace."""
    parts = urlsplit(url)
    user, host = f"{namespace}-{role}", parts.netloc.rpartition("@")[2]
    if parts.scheme == "unix":
        return f"unix://{user}@{parts.path}?password={quote(PASSWORD)}"
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(PASSWORD)}@{host}"))


def on() -> bool:
    """Whether the parts of each engine of this session are users of their own."""
    return bool(os.environ.get("LUAFLOW_TEST_ACL"))


def place(url: str, role: str, namespace: str) -> str:
    """The address that a part of an engine uses: that of its user where ``on``."""
    return url_as(url, role, namespace) if on() else url


def instead_of(linted: AbstractContextManager[list[str]]) -> AbstractContextManager[list[str]]:
    """What finds undeclared keys, which needs a user of its own; not where ``on``."""
    return contextlib.nullcontext([]) if on() else linted


async def make_user(link: Linked, namespace: str, role: str, rules: Sequence[str]) -> None:
    """Make the user of a role, or make it anew."""
    command = ("ACL", "SETUSER", f"{namespace}-{role}", "reset", f">{PASSWORD}", *rules)
    (answer,) = await link.batch([command])
    assert not isinstance(answer, ResponseError), answer


async def make_users(link: Linked, namespace: str) -> None:
    """Make the users of all roles."""
    for role, rules in users(namespace).items():
        await make_user(link, namespace, role, rules)


async def drop_users(link: Linked, namespace: str) -> None:
    """Delete them."""
    await link.batch([("ACL", "DELUSER", *(f"{namespace}-{role}" for role in users(namespace)))])


async def refusals(link: Linked, user: str) -> list[str]:
    """What the server refused a user: ``command: what``, one for each kind."""
    (entries,) = await link.batch([("ACL", "LOG", 1000)])
    found = []
    for entry in entries:
        told = {k.decode(): v for k, v in zip(entry[::2], entry[1::2], strict=True)}
        if told["username"] == user.encode() and told["reason"] != b"auth":
            found.append(f"{told['reason'].decode()}: {told['object'].decode()}")
    return found
