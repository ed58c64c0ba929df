"""The Lua files of the prelude, and which of them only some code needs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "prelude"

ABSENT: Final = frozenset(
    """
    cdc cloudstorage compress contract eval excel exec expr fs html hub io pg queue security sql
    store stream system templates text treesitter tty websocket
    """.split()  # noqa: SIM905
)
"""Modules of other runtimes: they can be listed and required, and every call says what to do."""

LATER: Final[dict[str, tuple[str, ...]]] = {
    "activity": ("activity",),
    "base64": ("hash",),
    "crypto": ("hash", "crypto"),
    "env": ("env",),
    "events": ("events",),
    "hash": ("hash",),
    "http": ("http",),
    "http_client": ("streams", "http_client"),
    "metrics": ("metrics",),
    "registry": ("registry",),
    "yaml": ("yaml",),
    **dict.fromkeys(ABSENT, ("absent",)),
}
"""Module -> the files below `modules` that an engine loads when its code lists that module."""

LISTED: Final = " ".join(sorted(LATER.keys() - ABSENT)).encode()
"""Those that are there once they are listed, for the messages of `require`."""


@cache
def prelude_file(name: str) -> bytes:
    """The text of a file of the prelude."""
    return (_FOLDER / f"{name}.lua").read_bytes()
