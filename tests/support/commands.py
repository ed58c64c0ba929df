"""The command line in this process: what it prints, and its exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import orjson
from click.testing import CliRunner

from luaflow.store.store import Store
from luaflow_cli.main import cli
from tests.support.player import Player

T = TypeVar("T")


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object it printed."""
        return orjson.loads(self.out)


class Commands:
    """Runs commands against one namespace."""

    def __init__(self, url: str, namespace: str) -> None:
        self.url = url
        self.namespace = namespace
        self.env = {"LUAFLOW_REDIS_URL": url, "LUAFLOW_NAMESPACE": namespace}

    def __call__(self, *words: str, env: Mapping[str, str | None] | None = None) -> Answer:
        """Run ``luaflow <words>``; an exception that gets out of it fails the test."""
        runner = CliRunner(env={**self.env, "LUAFLOW_DEBUG": None, **(env or {})})
        found = runner.invoke(cli, words, prog_name="luaflow")
        assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
        assert "Traceback" not in found.output
        return Answer(found.exit_code, found.stdout, found.stderr)

    def play(self, what: Callable[[Player], Awaitable[T]]) -> T:
        """Let a hand-made worker do something in the namespace."""

        async def work() -> T:
            store = await Store.open(self.url, self.namespace)
            try:
                return await what(Player(store))
            finally:
                await store.close()

        return asyncio.run(work())
