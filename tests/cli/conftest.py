"""A namespace with deployed types, and the command line pointed at it."""

from __future__ import annotations

import pytest
from tests.support.commands import Commands


@pytest.fixture
def luaflow(redis_url: str, namespace: str) -> Commands:
    """The command line; its namespace has small payload limits and two workflow types."""
    commands = Commands(redis_url, namespace)
    made = commands("namespace", "create", namespace, "--payload-max-bytes", "4000")
    assert made.code == 0, made.err
    commands.play(lambda player: player.register("app:pay", "app:ship"))
    return commands
