"""What a user of the server may not do, in one line: who, what, on what, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, ResponseError

from luaflow.errors import Refused
from luaflow.store.credentials import user_of

if TYPE_CHECKING:
    from luaflow.store.link import Arg, Call

_COMMAND = re.compile(r"run the '([^']+)' command")
_IN_SCRIPTS = ("ACL failure in script", "The user executing the script can't")
"""How Valkey and Redis say that a command of a script was refused."""
_CHANNELS = frozenset({"PUBLISH", "SUBSCRIBE"})


def denied(answer: Any, url: str, command: Call | Sequence[Arg]) -> Refused | None:
    """The refusal that stands behind an answer; None where it is none of an ACL."""
    text = str(answer)
    inside = isinstance(answer, ResponseError) and any(words in text for words in _IN_SCRIPTS)
    if not (inside or isinstance(answer, NoPermissionError)):
        return None
    script = getattr(command, "script", None)
    verb = "evalsha" if script else str(command[0]).lower()
    keys = [str(key) for key in (command.keys if script else command[1:2])]  # type: ignore[union-attr]
    user = user_of(url)
    where = f" (in the script {script.name})" if script else ""
    if named := _COMMAND.search(text):
        what, allow = f"run the command '{named[1]}'{where}", f"+{named[1]}"
    elif "run this command" in text:
        what, allow = f"run a command{where}", "+…, as luaflow server check names it"
    elif "channel" in text or verb.upper() in _CHANNELS:
        what = f"use the channel{'s' if len(keys) > 1 else ''} {', '.join(keys)}{where}"
        allow = f"&{_pattern(keys)}"
    else:
        what = f"use {'one of the keys' if len(keys) > 1 else 'the key'} {', '.join(keys)}{where}"
        allow = f"~{_pattern(keys)}"
    return Refused(
        f"Redis does not let the user '{user}' {what}: allow it (ACL SETUSER {user} {allow}), or "
        "be another user"
    )


def _pattern(keys: Sequence[str]) -> str:
    """The pattern of keys of the same family, in all partitions."""
    if len(keys) > 1:
        return f"{keys[0].rpartition('}')[0]}}}:*"
    return re.sub(r":\d+\}", ":*}", keys[0])
