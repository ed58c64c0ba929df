"""Activities that end their process, or hang it, for as long as a file says so."""

from __future__ import annotations

import os
import re
from pathlib import Path


def _told(name: str) -> bool:
    """Say aloud that an attempt began; whether it is to do harm."""
    os.write(1, f"poison {name} {os.getpid()}\n".encode())
    return not Path(os.environ["CRASH_EFFECTS"]).exists()


def die(name: str) -> str:
    """End the process as a crash in C does."""
    if _told(name):
        os._exit(11)
    return f"{name} lives"


def hang(name: str) -> str:
    """Keep the interpreter to itself, for years."""
    if _told(name):
        re.match(r"(a+)+$", "a" * 64 + "b")
    return f"{name} lives"


def echo(name: str) -> str:
    """Do no harm."""
    return name
