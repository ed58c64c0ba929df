"""A pytest plugin: each run that a test's engine replays at its end is written down.

``pytest -p tests.corpus.recording`` with ``CORPUS_RECORD=<folder>`` and ``CORPUS_COMMIT=<name>``.
What ran under a planted violation is left out.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from luaflow.domain.events import Event
from luaflow.lua.vm import Engine as LuaEngine
from luaflow.replay.loading import source_of
from tests.corpus.files import FORMAT, Stored
from tests.corpus.replaying import replayed
from tests.support import mutants
from tests.support.engine import Engine

_replay = Engine._replay


def _write_down(
    self: Engine, p: Any, run_id: str, events: list[Event], bundle: Any, engine: LuaEngine
) -> None:
    _replay(self, p, run_id, events, bundle, engine)
    if mutants._planted or self.excused:
        return
    namespace = self.store.namespace
    # not that of the test, which other runs may have used up
    asked = replayed(namespace, run_id, events, bundle, LuaEngine(source_of(bundle)))
    header = {
        "format": FORMAT,
        "recorded": os.environ["CORPUS_COMMIT"],
        "origin": os.environ["PYTEST_CURRENT_TEST"].split(" ")[0],
        "namespace": namespace,
        "run_id": run_id,
        "bundle": bundle.name,
        "asked": asked,
    }
    content = Stored(header, events).to_bytes()
    folder = Path(os.environ["CORPUS_RECORD"])
    name = hashlib.sha256(content).hexdigest()[:32]
    (folder / "histories" / f"{name}.hist").write_bytes(content)
    (folder / "bundles" / f"{bundle.name}.json").write_bytes(bundle.content)


Engine._replay = _write_down  # type: ignore[method-assign]
