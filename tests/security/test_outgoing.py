"""What answers of hostile servers can do to ``http_client``: bodies that grow, redirects inside."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.modules.support_modules import in_function

from luaflow_worker.modules import egress

BOMB_BYTES = 120_000_000
"""What half a megabyte becomes."""


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server that functions may reach, and that means no good."""
    monkeypatch.setenv(egress.VARIABLE, "allow")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/bomb":
            body = gzip.compress(bytes(BOMB_BYTES), 1)
            return web.Response(body=body, headers={"Content-Encoding": "gzip"})
        where = {"/metadata": "http://169.254.169.254/latest", "/file": "file:///etc/passwd"}
        return web.Response(status=302, headers={"Location": where[request.path]})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def told(folder: Path, url: str) -> str:
    """The kind of the failure that a request ends with, and its words."""
    body = (
        """local _, err = http_client.get(...) return err and err:kind() .. ": " .. tostring(err)"""
    )
    return str(await in_function(folder, body, url, modules=("http_client",)))


async def test_a_body_that_unfolds_is_bounded(tmp_path: Path, port: int) -> None:
    """The limit is of what comes out of it."""
    assert "has more than 10485760 bytes" in await told(tmp_path, f"http://127.0.0.1:{port}/bomb")


@pytest.mark.parametrize(
    ("path", "kind"), [("/metadata", "PermissionDenied"), ("/file", "Invalid")]
)
async def test_a_redirect_leads_nowhere_else(
    tmp_path: Path, port: int, path: str, kind: str
) -> None:
    """Each step is checked, also where private addresses are allowed: the metadata never are."""
    assert (await told(tmp_path, f"http://127.0.0.1:{port}{path}")).startswith(kind)
