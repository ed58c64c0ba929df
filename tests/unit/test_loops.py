"""How a process runs: what it is made of is not looked through for garbage, what it makes is."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import gc, weakref
from luaflow import loops

class Node:
    pass

def cycle():
    one = Node()
    one.me = one
    return weakref.ref(one)

loops.settle()
frozen = gc.get_freeze_count()
made = [cycle() for _ in range(4 * loops.SELDOM)]
print(frozen > 1000, any(ref() is None for ref in made), gc.get_freeze_count() == frozen)
"""


def test_garbage_is_still_found() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "True", "True"]
