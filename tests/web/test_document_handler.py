"""The handler of the user's document, word for word: it starts a workflow and tells its id."""

from __future__ import annotations

from tests.support.engine import Engine
from tests.web.support_web import Served, write_app

from luaflow.registry.app import load_app

HANDLER = """\
local function handler()
    local req = http.request()
    local order = json.decode(req:body())

    local pid, err = process.spawn(
        "app:order_workflow",
        "app:worker",
        order
    )

    if err then
        return http.response():status(500):json({error = tostring(err)})
    end

    return http.response():json({
        workflow_id = tostring(pid),
        status = "started"
    })
end

return {handler = handler}
"""

WORKFLOW = """\
local function main(order)
  return {paid = order.total}
end
"""


async def test_the_handler_starts_a_workflow(engine: Engine) -> None:
    """Its globals are there, its body is read, the workflow runs, the answer is JSON."""
    write_app(
        engine.folder,
        {"start": ""},
        {"POST /orders": "start"},
        workflows={"order_workflow": WORKFLOW},
        modules=("http", "json"),
    )
    (engine.folder / "start.lua").write_text(HANDLER)
    app = load_app(engine.folder)
    await engine.deploy()
    await engine.worker()
    async with Served(engine, app) as http:
        async with http.client.post("/orders", json={"total": 120}) as response:
            answer = await response.json()
            assert response.status == 200
            assert response.content_type == "application/json"
        assert answer["status"] == "started"
        pid = answer["workflow_id"]
        assert pid.startswith("{app:client@app:worker|")
        handle = engine.client.get_handle(pid.rpartition("|")[2].rstrip("}"))
        assert await handle.result(timeout=10) == {"paid": 120}


async def test_a_handler_calls_and_waits(engine: Engine) -> None:
    """It executes a workflow, calls another function, signals: as any function may."""
    code = """
    local paid, err = process.exec("app:order_workflow", "app:worker", {total = 5})
    local doubled, err2 = funcs.call("app:double", 21)
    local sent, err3 = process.send("{app:client@app:worker|nobody}", "go", 1)
    http.response():json({paid = paid, doubled = doubled, err3 = err3:kind()})"""
    write_app(
        engine.folder,
        {"pay": code, "double": ""},
        {"POST /pay": "pay"},
        workflows={"order_workflow": WORKFLOW},
    )
    double = "return {handler = function(n) return n * 2 end}"
    (engine.folder / "double.lua").write_text(double)
    await engine.deploy()
    await engine.worker()
    async with Served(engine, load_app(engine.folder)) as http:
        found = await http.lua("/pay", "POST")
    assert found == {"paid": {"paid": 5}, "doubled": 42, "err3": "NotFound"}


async def test_the_handler_tells_what_went_wrong(engine: Engine) -> None:
    """Nobody deployed the workflow: status 500, and the error as JSON."""
    write_app(engine.folder, {"start": ""}, {"POST /orders": "start"}, modules=("http", "json"))
    (engine.folder / "start.lua").write_text(HANDLER)
    async with Served(engine, load_app(engine.folder)) as http:
        status, answer = await http.json("POST", "/orders", json={"total": 120})
    assert status == 500
    assert "app:order_workflow" in answer["error"]
