"""Draw the previews of the boards in docs/images: python -m tests.ops.pictures [minutes].

Real processes work under a real Prometheus for so long (2 without); it takes a prometheus on PATH.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.ops.stand import Stand, filled
from tools.board_pictures import Series, picture
from tools.check_alerts import FILE
from tools.check_dashboards import load, panels
from tools.programs import ROOT

from luaflow.embedded import EmbeddedServer
from luaflow.errors import LuaflowError

IMAGES = ROOT / "docs" / "images"
STEP = 4
"""Seconds between two points of a line."""


async def answers(stand: Stand, board: Any, seconds: float) -> dict[int, list[Series]]:
    """What each panel of a board shows of the last ``seconds``."""
    now = time.time()
    found: dict[int, list[Series]] = {}
    for panel in panels(board):
        for target in panel["targets"]:
            data = await stand.ask(
                "query_range",
                query=filled(target["expr"]),
                start=str(now - seconds),
                end=str(now),
                step=str(STEP),
            )
            for one in data["result"]:
                name = legend(target.get("legendFormat", ""), one["metric"])
                points = [(float(t), float(value)) for t, value in one["values"]]
                found.setdefault(panel["id"], []).append(Series(name, points))
    return found


def legend(form: str, labels: dict[str, str]) -> str:
    """The name of a series, as Grafana would write it."""
    if not form:
        return ", ".join(labels.values())
    return re.sub(r"\{\{(\w+)\}\}", lambda m: labels.get(m[1], ""), form)


async def load_it(stand: Stand, seconds: float) -> None:
    """Work that comes and goes, with some failures, for so long."""
    chance = random.Random(1)
    end = time.monotonic() + seconds
    await stand.client.start("app:loops")
    await stand.client.start("app:stray")
    while time.monotonic() < end:
        for _ in range(chance.choice((1, 2, 2, 8))):
            await stand.client.start("app:busy")
        for _ in range(chance.choice((0, 4, 12))):
            await stand.client.start("app:child")
        for _ in range(chance.choice((0, 0, 1))):
            await stand.client.start("app:fails")
        sleeping = await stand.client.start("app:sleeps", f"{chance.randint(1, 9000)}ms")
        with contextlib.suppress(LuaflowError):
            await sleeping.query("anything")
        paths = chance.choices(("/answers", "/fails"), (9, 1), k=chance.choice((1, 2, 2, 12)))
        # At the same time, so that scrapes meet requests in flight.
        await asyncio.gather(
            stand.scrapes.next(chance.randint(1, 4)), *(stand.visit(path) for path in paths)
        )


async def draw(seconds: float, folder: Path) -> None:
    """Draw all boards into ``folder``."""
    with tempfile.TemporaryDirectory(prefix="lf-") as place:
        server = EmbeddedServer(Path(place) / "redis", extra=("--maxmemory", "256mb"))
        async with Stand(Path(place), server, FILE) as stand:
            worker = ("--cache", "20")
            await asyncio.gather(stand.worker(*worker), stand.scheduler(), stand.serve())
            await stand.worker(*worker, name="spare")
            await load_it(stand, seconds)
            for name, board in load().items():
                text = picture(board, await answers(stand, board, seconds))
                await asyncio.to_thread((folder / f"{name}.svg").write_text, text)


if __name__ == "__main__":
    minutes = float(sys.argv[1]) if sys.argv[1:] else 2
    IMAGES.mkdir(exist_ok=True)
    asyncio.run(draw(60 * minutes, IMAGES))
