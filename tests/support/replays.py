"""Histories replayed on a fresh engine: the code must ask for the same commands (design 3.4)."""

from __future__ import annotations

from typing import Any, NoReturn

from luaflow.deploy import load_bundle
from luaflow.errors import LuaflowError
from luaflow.lua.vm import Engine
from luaflow.replay.decider import Execution
from luaflow.replay.loading import bundle_of, pid_of, run_info, source_of
from luaflow.store.store import Store
from tests.support.histories import History


class Replays:
    """Replays the histories of one namespace; one engine a bundle, one run a history."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._engines: dict[str, tuple[Any, Engine]] = {}

    async def problem(self, history: History) -> str | None:
        """Where a history and its code part ways, as a sentence; None where they do not."""
        name = bundle_of(history.events)
        if name not in self._engines:
            bundle = await load_bundle(self._store, name)
            self._engines[name] = bundle, Engine(source_of(bundle))
        bundle, engine = self._engines[name]
        started = history.events[0].body
        info = run_info(
            self._store.namespace,
            history.workflow_id,
            history.run_id,
            started,
            bundle,
            pid_of(started),
        )
        run = engine.open(info)
        try:
            Execution(run, _no_value).replay(history.events)
        except LuaflowError as error:
            return f"{history.workflow_id} (run {history.run_id}): its replay differs: {error}"
        finally:
            run.close()
        return None


def _no_value(name: str, *_: object) -> NoReturn:
    raise LuaflowError(f"the replay made a value of its own: {name}")
