"""Backup and restore as docs/operators/backup.md has it: of a server at work, to another folder."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from tests.support.engine import Engine, Make, within
from tests.support.nodes import eventually
from tests.support.open_runs import OpenRuns, engine_on

from luaflow.embedded import EmbeddedServer

NAMESPACE = "kept"


@pytest.fixture
def server(server_binary: Path | None) -> Callable[..., EmbeddedServer]:
    """Makes a server on a folder."""

    def make(folder: Path, *extra: str) -> EmbeddedServer:
        return EmbeddedServer(folder, appendfsync="everysec", binary=server_binary, extra=extra)

    return make


@asynccontextmanager
async def live(server: EmbeddedServer, folder: Path) -> AsyncIterator[tuple[Engine, OpenRuns]]:
    """Workers and a scheduler at work on open runs, while others come and go."""
    make = Make(server.url, NAMESPACE, folder)
    try:
        engine = await make(lease_ms=500, sticky_timeout_ms=200)
        runs = OpenRuns(engine)
        await runs.begin(stop=False)
        yield engine, runs
        assert await within((await engine.start("call", "goes on here")).result()) == 1
        await runs.go_on(engine)  # a backup disturbs nobody
        await make.check()
    finally:
        await make.close()


async def info(client: Any, name: str) -> int:
    return int((await client.info("persistence"))[name])


async def test_the_append_only_files_of_a_server_at_work(
    tmp_path: Path, server: Callable[..., EmbeddedServer]
) -> None:
    """No rewrite meanwhile, copy the folder: whoever starts on the copy goes on from there."""
    copy = tmp_path / "copy"
    with server(tmp_path / "live") as first:
        async with live(first, tmp_path / "app") as (_, runs):
            async with redis.asyncio.Redis.from_url(first.url) as client:
                await client.config_set("auto-aof-rewrite-percentage", 0)

                async def quiet() -> bool:
                    names = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
                    return not any([await info(client, name) for name in names])

                await eventually(quiet, "the end of a rewrite")
                copy.mkdir()
                shutil.copytree(first.data_dir / "appendonlydir", copy / "appendonlydir")
                await client.config_set("auto-aof-rewrite-percentage", 100)
            await restored(server(copy), tmp_path, runs)


async def test_a_snapshot_of_a_server_at_work(
    tmp_path: Path, server: Callable[..., EmbeddedServer]
) -> None:
    """BGSAVE, copy the file; read without the append-only files, which are made from it then."""
    copy = tmp_path / "copy"
    copy.mkdir()
    with server(tmp_path / "live") as first:
        async with live(first, tmp_path / "app") as (_, runs):
            async with redis.asyncio.Redis.from_url(first.url) as client:
                await client.bgsave()

                async def saved() -> bool:
                    return not await info(client, "rdb_bgsave_in_progress")

                await eventually(saved, "the end of the save")
            shutil.copy(first.data_dir / "dump.rdb", copy)
            shutil.copytree(copy, tmp_path / "trap")
            with server(tmp_path / "trap") as trap:
                async with redis.asyncio.Redis.from_url(trap.url) as client:
                    assert not await client.dbsize()  # (it has not read the snapshot)
            with server(copy, "--appendonly", "no") as second:
                async with redis.asyncio.Redis.from_url(second.url) as client:
                    assert await client.exists("lf:namespaces")
                    await client.config_set("appendonly", "yes")

                    async def written() -> bool:
                        names = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
                        return not any([await info(client, name) for name in names])

                    await eventually(written, "the append-only files")
            await restored(server(copy), tmp_path, runs)


async def restored(second: EmbeddedServer, folder: Path, runs: OpenRuns) -> None:
    """The runs of a backup go on to their ends on a server of its own."""
    with second:
        async with engine_on(second.url, NAMESPACE, folder / "app") as engine:
            await runs.go_on(engine)
