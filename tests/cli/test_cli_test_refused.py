"""luaflow test and workflows whose modules are none for workflows: told at once, not waited for."""

from __future__ import annotations

from pathlib import Path

from tests.support.apps import write_app
from tests.support.commands import Commands

INDEX = """\
namespace: app
entries:
  - {name: client, kind: temporal.client, address: "localhost:7233"}
  - {name: worker, kind: temporal.worker, client: client, task_queue: t}
  - {name: lib, kind: library.lua, modules: [env], source: "return {}"}
  - {name: reads, kind: workflow.lua, modules: [http_client],
     source: "return function() return 1 end", meta: {temporal: {workflow: {worker: worker}}}}
  - {name: imports, kind: workflow.lua, imports: {lib: lib},
     source: "return function() return 1 end", meta: {temporal: {workflow: {worker: worker}}}}
  - {name: sound, kind: workflow.lua,
     source: "return function() return 1 end", meta: {temporal: {workflow: {worker: worker}}}}
  - name: starts
    kind: function.lua
    source: |
      return function()
        local kinds = {}
        for i, name in ipairs({ "app:reads", "app:imports", "app:sound" }) do
          local value, err = process.exec(name, "app:worker")
          kinds[i] = err and err:kind() or value
        end
        return kinds[1] == "NotFound" and kinds[2] == "NotFound" and kinds[3] == 1
      end
    meta: {type: test}
  - {name: itself, kind: workflow.lua, modules: [sql], source: "return function() return 1 end",
     meta: {type: test, temporal: {workflow: {worker: worker}}}}
"""


def test_a_workflow_with_such_a_module_is_left_out(
    redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """Starting it fails at once, and so does a test that is one; the rest of the app runs."""
    app = write_app(tmp_path / "app", {"src/_index.yaml": INDEX})
    answer = Commands(redis_url, namespace)("test", str(app), "--timeout", "5", "-o", "json", "-v")
    found = {test["id"]: test for test in answer.json["tests"]}
    assert found["app:starts"]["status"] == "passed", answer.out
    error = found["app:itself"]["error"]
    assert (error["kind"], error["line"]) == ("Invalid", 24)
    assert error["message"].startswith("module sql is not available in workflows (app:itself)")
    assert "app:reads is left out: module http_client is not available" in answer.err
    assert "app:imports is left out: module env is not available" in answer.err
