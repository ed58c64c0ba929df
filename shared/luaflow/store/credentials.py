"""Who a connection says it is: from the address, from a file, or from variables.

An address may leave out its password, so that neither a list of processes nor a log can show it:
``?password_file=/run/secrets/redis`` names a file, ``LUAFLOW_REDIS_PASSWORD_FILE`` does it for all
addresses of a process, ``LUAFLOW_REDIS_USERNAME`` and ``LUAFLOW_REDIS_PASSWORD`` are the words
themselves. For Sentinels the same begin with ``LUAFLOW_SENTINEL_``. What the address says goes
first, and a socket takes nothing from variables. A file is read at each connection: a password can
be changed while a process runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from luaflow.errors import Unavailable

OPTIONS: Final = ("password_file", "login")
"""Options of an address that are ours; ``login`` is for Sentinels, which have their own words."""
MAX_BYTES: Final = 64 * 1024


def fill_in(settings: dict[str, Any], environment: Mapping[str, str] = os.environ) -> None:
    """Take our options out of the settings of a connection, and put in user and password.

    Raises Unavailable, naming the file, for a password that cannot be read.
    """
    whose = str(settings.pop("login", "redis"))
    file = settings.pop("password_file", None)
    if "path" not in settings:
        before = f"LUAFLOW_{whose.upper()}_"
        if not settings.get("password") and file is None:
            file = environment.get(f"{before}PASSWORD_FILE") or None
            if not settings.get("username") and (name := environment.get(f"{before}USERNAME")):
                settings["username"] = name
            if file is None and (word := environment.get(f"{before}PASSWORD")):
                settings["password"] = word
    if file is not None and not settings.get("password"):
        settings["password"] = _word(file)


def _word(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8") as opened:
            word = opened.read(MAX_BYTES).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"the password file {file} cannot be read: {_why(error)}") from None
    if not word or len(word.splitlines()) > 1:
        raise Unavailable(f"the password file {file} must hold one line: the password")
    return word


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def user_of(url: str) -> str:
    """As whom an address reaches a server, for people."""
    parts = urlsplit(f"redis://{url.rpartition('://')[2]}")
    login = parts.username or dict(parse_qsl(parts.query)).get("username")
    if not login and not url.startswith("unix://"):
        login = os.environ.get("LUAFLOW_REDIS_USERNAME")
    return unquote(login or "default")
