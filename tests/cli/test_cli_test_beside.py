"""luaflow test: what an app's entries ask to run beside its code runs, too."""

from __future__ import annotations

from pathlib import Path

from tests.support.apps import HEAD, write_app
from tests.support.commands import Commands

APP = (
    HEAD
    + """\
  - {name: host, kind: process.host}
  - name: counter
    kind: process.lua
    source: |
      return function()
        local inbox, n = process.inbox(), 0
        while true do
          local message = inbox:receive()
          n = n + 1
          process.send(message:from(), "count", n)
        end
      end
  - name: service
    kind: process.service
    process: counter
    host: host
    lifecycle: {auto_start: true}
  - name: gateway
    kind: http.service
    addr: "127.0.0.1:0"
    lifecycle: {auto_start: true}
  - {name: api, kind: http.router, meta: {server: gateway}, prefix: /api}
  - name: hello
    kind: function.lua
    modules: [http]
    source: |
      return function() http.response():json({hello = http.request():query("name")}) end
  - {name: hello.get, kind: http.endpoint, meta: {router: api}, method: GET, path: /hello,
     func: hello}
  - name: talks_to_the_service
    kind: function.lua
    meta: {type: test}
    source: |
      return function()
        local answers = process.listen("count")
        assert(process.send("app:service", "add"))
        assert(process.send("app:service", "add"))
        answers:receive()
        return answers:receive() == 2
      end
"""
)


def test_services_run(luaflow: Commands, tmp_path: Path) -> None:
    """A process.service is there under its id, in the node of the tests; HTTP is served."""
    app = write_app(tmp_path / "app", {"app.yaml": APP})
    found = luaflow("test", str(app), "-v")
    assert found.code == 0, found.out + found.err
    assert "1 passed, 0 failed" in found.out


def test_a_service_that_cannot_start_is_a_warning(luaflow: Commands, tmp_path: Path) -> None:
    """It fails no test that does not need it."""
    broken = APP.replace("host: host\n    lifecycle", "host: nowhere\n    lifecycle")
    broken = broken.replace('process.send("app:service", "add")', "true").replace(
        "answers:receive() == 2", "true"
    )
    broken = broken.replace("        answers:receive()\n", "")
    app = write_app(tmp_path / "app", {"app.yaml": broken})
    found = luaflow("test", str(app))
    assert "1 passed, 0 failed" in found.out, found.out + found.err
