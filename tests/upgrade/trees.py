"""Programs of an old tree and of this one on the same server, and what each says of a history."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import orjson
from tests.support.old_tree import ROOMS, ROOT, rooms_of
from tests.support.processes import Fleet, Program

Age = Literal["old", "new"]
AGES: tuple[Age, Age] = ("old", "new")
_WHERE = "import luaflow, pathlib; print(pathlib.Path(luaflow.__file__).parents[2])"


class Trees:
    """The rooms of two trees; each program runs with those of one."""

    def __init__(self, old: Path, new: Path = ROOT) -> None:
        self._roots = {"old": old, "new": new}

    def environment(self, age: Age, *more: Path) -> dict[str, str]:
        """What makes a process import the packages of that tree."""
        paths = (rooms_of(self._roots[age]), *map(str, more))
        return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}

    async def run(self, age: Age, *command: str, given: bytes = b"") -> bytes:
        """Run Python with the packages of that tree; what it writes."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env=self.environment(age, ROOT),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complaints = await process.communicate(given)
        assert process.returncode == 0, f"{age}: {command}:\n{complaints.decode()}"
        return said

    async def check(self) -> None:
        """Each kind of process imports the packages of its own tree, and no other."""
        for age, root in self._roots.items():
            found = (await self.run(age, "-c", _WHERE)).decode().strip()  # type: ignore[arg-type]
            assert Path(found) == root, f"the {age} tree imports {found}, not {root}"
        assert all((self._roots["old"] / room).is_dir() for room in ROOMS)

    async def tell(self, age: Age, what: str, *words: str) -> Any:
        """Let that tree do one thing of ``tests/upgrade/doing.py``; its answer."""
        script = Path(__file__).parent / "doing.py"
        return orjson.loads(await self.run(age, str(script), what, *words))


class MixedFleet(Fleet):
    """Workers and schedulers of both trees."""

    def __init__(
        self,
        trees: Trees,
        url: str,
        namespace: str,
        app: Path,
        effects: Path,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(url, namespace, app, effects, effects, on_line)
        self._trees = trees
        self._common = dict(self._environment)

    async def start(self, age: Age, kind: str, *, ready: bool = True) -> Program:
        """Start a worker or a scheduler of a tree."""
        # the coroutine below copies it before it waits for anything
        paths = self._trees.environment(age)["PYTHONPATH"]
        self._environment = self._common | {"PYTHONPATH": paths}
        if kind == "worker":
            return await self.worker(ready=ready)
        return await self.scheduler(ready=ready)
