"""Pages of other sites, and what handlers must not be able to write."""

from __future__ import annotations

import pytest
from tests.support.engine import Engine
from tests.web.support_web import Served, write_app

EVIL = {"Origin": "https://evil.example"}


async def test_credentials_need_names_of_sites(engine: Engine) -> None:
    """Not every page may read what a visitor's cookies show."""
    options = {"cors.allow.credentials": True}
    router = {"middleware": ["cors"], "options": options}
    app = write_app(
        engine.folder, {"h": 'http.response():send("x")'}, {"GET /": "h"}, router=router
    )
    async with Served(engine, app) as http, http.client.get("/", headers=EVIL) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers


HEAD = """\
local res, out = http.response(), {}
for i, set in ipairs({
    function() return res:set_header("X-A", "1\\r\\nX-Evil: 1") end,
    function() return res:set_header("X-A", "1\\nX-Evil: 1") end,
    function() return res:set_header("X-A: 1\\r\\nX-Evil", "1") end,
    function() return res:set_header("X-A", "1\\0") end,
    function() return res:set_header("X-A", "\\xff\\r\\nX-Evil: 1") end,
    function() return res:set_content_type("text/html\\r\\nX-Evil: 1") end,
    function() return res:set_header("Content-Length", "0") end,
    function() return res:set_header("Transfer-Encoding", "chunked") end,
    function() return res:set_status(99) end,
    function() return res:set_status(1000) end,
    function() return res:set_transfer("x\\r\\nX-Evil: 1") end,
}) do out[i] = set() ~= nil end
"""


@pytest.mark.parametrize("last", ["res:write_json(out)", "res:flush() res:write(json.encode(out))"])
async def test_a_handler_writes_no_second_header(engine: Engine, last: str) -> None:
    """Nor another length, or another way of the body."""
    app = write_app(engine.folder, {"h": HEAD + last}, {"GET /": "h"})
    async with Served(engine, app) as http, http.client.get("/") as response:
        assert await response.json(content_type=None) == [True] * 11
        assert "X-Evil" not in response.headers
