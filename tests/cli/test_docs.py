"""Every command, file and output of README.md and docs/guides is tried: pages do not lie."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from tests.support.pages import ROOT, Block, Session, blocks, matches, only_looks
from tests.support.spans import installed
from tools.event_fields import EVENTS

from luaflow import Client
from luaflow.domain.events import Event
from luaflow.embedded import EmbeddedServer
from luaflow.lua import BundleSource, Engine
from luaflow.registry.typed import erase
from luaflow.store.link import Link
from luaflow.store.namespaces import list_namespaces

GUIDES = ROOT / "docs" / "guides"
PAGES = [ROOT / "README.md", *sorted(GUIDES.glob("*.md"))]
BAD = re.compile(r"^(error|failed|rejected|terminated|canceled|Error):", re.MULTILINE)

LOOK_SECONDS = 20.0


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: a page's server has its socket in there."""
    with tempfile.TemporaryDirectory(prefix="lf-") as path:
        yield Path(path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_is_true(
    page: Path, folder: Path, server_binary: Path | None, request: pytest.FixtureRequest
) -> None:
    """Its commands run and say what the page shows; its code loads; its events are described."""
    if page.name == "README.md":
        request.getfixturevalue("true_processes")  # what a newcomer types is run as they run it
    if "\ncurl " in page.read_text() and not shutil.which("curl") and not os.environ.get("CI"):
        pytest.skip("curl is not installed")
    if "import opentelemetry" in page.read_text().replace("from ", "import ") and not installed():
        pytest.skip("opentelemetry-sdk is not installed")
    with EmbeddedServer(folder / "server", binary=server_binary) as server:
        work = folder / "w"
        work.mkdir()
        with Session(work, server=server.url) as session:
            play(page, session)
            for url in (server.url, *(f"unix://{s}" for s in work.glob("*/.luaflow/server.sock"))):
                asyncio.run(check_events(url))


def play(page: Path, session: Session) -> None:
    """Go through the blocks of a page, as a reader would."""
    found = blocks(page)
    for number, block in enumerate(found):
        where = f"{name_of(page)}:{block.line}"
        if block.language == "sh":
            following = found[number + 1] if number + 1 < len(found) else None
            shown = following.text if following and following.language == "text" else ""
            do(block.text, session.filled(shown), session, where)
        elif block.file:
            path = session.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(session.filled(block.text))
        if block.language != "text":
            load(block, where)


def do(commands: str, shown: str, session: Session, where: str) -> None:
    """Run a block of commands; it must say what the page shows, and fail only if that says so."""
    until = time.monotonic() + LOOK_SECONDS
    while True:
        code, said = session.run(commands)
        if matches(shown, said) or not only_looks(commands) or time.monotonic() > until:
            break
    assert matches(shown, said), f"{where} shows\n{shown}\nbut it says\n{said}"
    assert not code or BAD.search(shown), f"{where} ended with {code}:\n{said}"


def load(block: Block, where: str) -> None:
    """Code must compile and YAML be YAML, also where it is a part of something."""
    if block.language == "lua":
        Engine(BundleSource(where, erase(block.text).text, chunkname=where, method=""))
    elif block.language == "yaml":
        assert yaml.safe_load(block.text), where
    elif block.language == "python":
        compile(block.text, where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    else:
        assert block.language in ("sh", "mermaid"), f"{where}: {block.language} is not tried"


async def check_events(url: str) -> None:
    """Every event in every history of a server says nothing that the reference leaves out."""
    link = Link(url)
    try:
        names = list(await list_namespaces(link))
    finally:
        await link.close()
    for name in names:
        async with await Client.connect(url, name) as client:
            for run in (await client.list(None, 200))["workflows"]:
                handle = client.get_handle(run["workflow_id"], run["run_id"])
                check_fields([event async for event in handle.history()])


def check_fields(history: list[Event]) -> None:
    """Each field of each event is described."""
    for event in history:
        fields = set(event.to_json()) - {"id", "ts", "type"}
        unknown = fields - set(EVENTS[event.type][1].split())
        assert not unknown, f"{event!r}: describe {unknown} in tools/event_fields.py"


@cache
def words_of_the_code() -> str:
    """All texts of the code: of Python with … for what is filled in, of Lua as it stands."""
    texts = []
    for room in ("shared", "worker", "scheduler", "cli"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
                    texts.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
        texts += [path.read_text() for path in (ROOT / room).rglob("*.lua")]
    return "\n".join(texts)


def test_quoted_messages_are_of_today() -> None:
    """Troubleshooting quotes errors as the code words them: each piece between dots is found."""
    page = (GUIDES / "troubleshooting.md").read_text()
    headings = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert len(headings) > 15
    for heading in headings:
        for piece in heading.split("…"):
            words = piece.strip(" :;.'")
            assert words in words_of_the_code(), f"{heading}: {words!r} is said no more"


def test_demo_tells_what_the_readme_says(folder: Path) -> None:
    """Everything is killed while the order sleeps, and the card is charged once."""
    with Session(folder, server="") as session:
        code, said = session.run("luaflow demo --data demo")
    assert not code, said
    assert said.count("kill -9") == 3
    events = re.findall(r"order +\d+  (\w+) +(\S*)", said)
    assert events.count(("ActivityTaskScheduled", "app:charge_payment")) == 1
    assert events[-1][0] == "WorkflowExecutionCompleted"


def test_make_is_there() -> None:
    """A page's `make` is only looked up: without make nothing would be."""
    assert shutil.which("make")
