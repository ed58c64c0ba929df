"""The old tree, and a server for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.old_tree import NoHistory, last_release, unpack
from tests.upgrade.trees import Trees

from luaflow.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def old_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the last release; without the repository's history skipped, in CI an error."""
    try:
        return unpack(last_release(), tmp_path_factory.mktemp("old") / "tree")
    except NoHistory as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NOT TESTED: the rolling upgrade. {error}")


@pytest.fixture
def trees(old_tree: Path) -> Trees:
    """The old tree and this one."""
    return Trees(old_tree)


@pytest.fixture
def server(tmp_path: Path, server_binary: Path | None) -> Iterator[EmbeddedServer]:
    """A server for processes of both trees."""
    folder = tmp_path / "redis"
    with EmbeddedServer(folder, appendfsync="everysec", binary=server_binary) as server:
        yield server
