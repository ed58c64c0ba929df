"""Making users of a server from the rules of an ACL file (deploy/redis/users.acl)."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import ResponseError

from luaflow.errors import InvalidArgument
from luaflow.store.links import Linked
from luaflow.store.noperm import denied


async def make_users(link: Linked, users: Sequence[Sequence[str]]) -> list[str]:
    """Make users, each a name and its rules, on every server of a link; return their names.

    A user that was there has these rules afterwards, and no other. Raises Refused where this user
    may not do that, InvalidArgument for rules that the server does not understand.
    """
    for name, *rules in users:
        command = ("ACL", "SETUSER", name, "reset", *rules)
        for (answer,) in (await link.each(command)).values():
            if problem := denied(answer, link.url, ("ACL SETUSER",)):
                raise problem
            if isinstance(answer, ResponseError):
                raise InvalidArgument(f"the user {name!r} was not made: {answer}")
            if isinstance(answer, Exception):
                raise answer
    return [name for name, *_ in users]
