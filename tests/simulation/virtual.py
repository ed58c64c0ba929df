"""The one place where the world outside is replaced: time, chance, names of this machine."""

from __future__ import annotations

import getpass
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from luaflow.client.payloads import identity
from luaflow.store import connect

EPOCH = 1_000_000_000.0
"""What ``time.time`` says at the beginning, in seconds; that of a simulated namespace, too."""


@contextmanager
def virtual(now: Callable[[], float], seed: int, connection: Callable[..., Any]) -> Iterator[None]:
    """Give the product virtual clocks, seeded chance and simulated connections for a while.

    CPU time stays real: it bounds what code may use, and no outcome rests on it here.
    """
    chance = random.Random(f"product {seed}")
    state = random.getstate()
    random.seed(f"module {seed}")
    places: list[tuple[Any, str, Any]] = [
        (time, "monotonic", now),
        (time, "time", lambda: EPOCH + now()),
        (time, "time_ns", lambda: int((EPOCH + now()) * 1e9)),
        (os, "urandom", chance.randbytes),
        (random, "_urandom", chance.randbytes),
        (os, "getpid", lambda: 1),
        (socket, "gethostname", lambda: "simulated"),
        (getpass, "getuser", lambda: "nobody"),
        (connect, "make_connection", connection),
    ]
    before = logging.root.manager.disable
    identity.cache_clear()
    try:
        with ExitStack() as stack:
            for target, name, value in places:
                stack.enter_context(patch.object(target, name, value))
            identity()
            yield
    finally:
        identity.cache_clear()
        random.setstate(state)
        logging.disable(before)
