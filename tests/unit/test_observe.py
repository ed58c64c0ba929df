"""Logs as people and machines read them; metrics and health over HTTP."""

from __future__ import annotations

import io
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from luaflow.observe.http import OpsServer
from luaflow.observe.logs import current_fields, log_fields, setup_logging

log = logging.getLogger("luaflow.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where setup_logging() shall write; the root logger is as before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = []
    yield io.StringIO()
    root.handlers[:], level = before
    root.setLevel(level)


def test_json_line_holds_fields_and_extra(stream: io.StringIO) -> None:
    """A line is one object: time, level, logger, message, fields of the context, extra."""
    setup_logging("json", "debug", stream)
    with log_fields(run_id="r1", attempt=1), log_fields(attempt=2):
        log.info("took %s", "a task", extra={"queue": "orders", "level": "not overwritten"})
    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "luaflow.test",
        "message": "took a task",
        "run_id": "r1",
        "attempt": 2,
        "queue": "orders",
    }
    assert current_fields() == {}


def test_json_line_holds_the_traceback(stream: io.StringIO) -> None:
    """An exception is one field, on the same line."""
    setup_logging("json", stream=stream)
    try:
        raise OSError("no route")
    except OSError:
        log.exception("broken")
    (line,) = stream.getvalue().splitlines()
    assert "OSError: no route" in json.loads(line)["exception"]


@pytest.mark.parametrize("value", [b"\xff", 2**70, "\ud800", {1: object()}, float("nan")])
def test_any_value_can_be_logged(stream: io.StringIO, value: object) -> None:
    """A field that JSON cannot hold never costs the line."""
    setup_logging("json", stream=stream)
    log.warning("odd", extra={"value": value})
    assert json.loads(stream.getvalue())["message"].strip("'") == "odd"


def test_text_line_is_for_people(stream: io.StringIO) -> None:
    """Time, level, message, then fields; a traceback below; debug lines are off by default."""
    setup_logging(stream=stream)
    log.debug("unseen")
    with log_fields(queue="orders"):
        try:
            raise OSError("no route")
        except OSError:
            log.exception("broken")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("Z ERROR   broken queue=orders")
    assert rest[-1] == "OSError: no route"


def test_unknown_level_is_refused(stream: io.StringIO) -> None:
    """A wrong --log-level is told, not ignored."""
    with pytest.raises(ValueError, match="LOUD"):
        setup_logging(level="loud", stream=stream)


class State:
    """What the checks answer."""

    ready = False

    def healthz(self) -> tuple[bool, str]:
        return True, "ok"

    def readyz(self) -> tuple[bool, str]:
        return self.ready, "ready" if self.ready else "no connection to Redis"


@pytest.fixture
def state() -> State:
    """Healthy, not ready."""
    return State()


@pytest.fixture
def ops(state: State) -> Iterator[OpsServer]:
    """A server on any free port, with one counter."""
    registry = CollectorRegistry()
    Counter("luaflow_tests", "Tests.", registry=registry).inc()
    with OpsServer("127.0.0.1", 0, registry, state.healthz, state.readyz) as server:
        yield server


def get(server: OpsServer, path: str, accept: str = "*/*") -> tuple[int, str, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}", headers={"Accept": accept}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_metrics_in_the_format_that_was_asked_for(ops: OpsServer) -> None:
    """Plain text by default, OpenMetrics for a Prometheus that asks for it; a query is ignored."""
    status, kind, body = get(ops, "/metrics?name[]=x")
    assert (status, "luaflow_tests_total 1.0" in body) == (200, True)
    assert kind.startswith("text/plain")
    _, kind, body = get(ops, "/metrics", "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_checks_answer_200_or_503(ops: OpsServer, state: State) -> None:
    """A check that says no is 503 with its sentence; the next answer may be another."""
    assert get(ops, "/healthz")[::2] == (200, "ok\n")
    assert get(ops, "/readyz")[::2] == (503, "no connection to Redis\n")
    state.ready = True
    assert get(ops, "/readyz")[::2] == (200, "ready\n")


def test_check_that_raises_is_503(ops: OpsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken check is told to the one who asked."""

    def broken() -> tuple[bool, str]:
        raise OSError("no route")

    monkeypatch.setitem(ops._checks, "/readyz", broken)
    assert get(ops, "/readyz")[::2] == (503, "OSError('no route')\n")


def test_other_paths_say_what_is_there(ops: OpsServer) -> None:
    """404 names the three paths."""
    status, _, body = get(ops, "/")
    assert (status, "/metrics, /healthz and /readyz" in body) == (404, True)


def test_start_and_stop_are_safe_twice(ops: OpsServer) -> None:
    """start() twice keeps the port; stop() twice does nothing; a taken port is an OSError."""
    port = ops.port
    assert ops.start().port == port
    second = OpsServer("127.0.0.1", port, CollectorRegistry(), State().healthz, State().readyz)
    with pytest.raises(OSError, match="in use"):
        second.start()
    second.stop()
    ops.stop()
    ops.stop()
