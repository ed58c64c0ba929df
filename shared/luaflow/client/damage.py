"""What is stored is not always what was written: disks fail, people type into the wrong shell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from luaflow.errors import Damaged, LuaflowError


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raise Damaged, in words, where something that was read makes no sense."""
    try:
        yield
    except LuaflowError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Damaged(
            f"what is stored of {what} is not what was written"
            f" ({type(error).__name__}: {error}): restore it from a backup, or terminate the run"
        ) from error
