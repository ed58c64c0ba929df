"""http_client against a host that is written so that only the library takes it for an address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.modules.support_modules import in_function

from luaflow.errors import WorkflowFailed
from luaflow_worker.modules import egress


class Inside:
    """A server that functions must not reach."""

    def __init__(self) -> None:
        """Nobody came."""
        self.port = 0
        self.visits = 0
        self.told: dict[str, str] = {}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Count who comes, and keep what the last one said."""
        self.visits += 1
        self.told = {name.lower(): value for name, value in request.headers.items()}
        return web.Response(text="secret")


@pytest.fixture
async def inside(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """A server on a loopback address."""
    monkeypatch.delenv(egress.VARIABLE, raising=False)
    found = Inside()
    runner = web.ServerRunner(web.Server(found.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


# The first ones become 127.0.0.1 by the rules of international names.
HOSTS = (
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020\u30020\u30021",
    "\u2460\u2461\u2466.0.0.1",
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
    "0x7f.1",
    "127.1",
    "%31%32%37.0.0.1",
    "127.0.0.1%00",
)


@pytest.mark.parametrize("host", HOSTS)
async def test_no_spelling_reaches_the_inside(tmp_path: Path, inside: Inside, host: str) -> None:
    """The address is checked when the connection is made, whoever made it of the host."""
    url = f"http://{host}:{inside.port}/"
    body = "local r, e = http_client.get(...) return r == nil and e:kind()"
    kind = await in_function(tmp_path, body, url, modules=["http_client"])
    assert inside.visits == 0
    assert kind in ("PermissionDenied", "Invalid", "Internal")


@pytest.mark.parametrize("text", ["64:ff9b:1::7f00:1", "64:ff9b::a00:1", "fec0::1", "100.64.0.1"])
def test_addresses_that_lead_inside(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What gateways may turn into an address of the inside counts as one."""
    monkeypatch.delenv(egress.VARIABLE, raising=False)
    with pytest.raises(WorkflowFailed, match="not allowed"):
        egress.check_address(text)


async def test_a_redirect_takes_nothing_along(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was meant for one host is not told to the next one, nor where the first one lies."""
    monkeypatch.setenv(egress.VARIABLE, "allow")

    async def leads_away(_request: web.BaseRequest) -> web.StreamResponse:
        where = f"http://localhost:{inside.port}/"
        return web.Response(status=302, headers={"Location": where})

    runner = web.ServerRunner(web.Server(leads_away))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    body = """return http_client.get(..., {headers = {Authorization = "s", Cookie = "s", Host = "h",
        ["Proxy-Authorization"] = "s"}}).body"""
    assert await in_function(tmp_path, body, url, modules=["http_client"]) == "secret"
    await runner.cleanup()
    assert not {"authorization", "cookie", "proxy-authorization"} & set(inside.told)
    assert inside.told["host"] == f"localhost:{inside.port}"
