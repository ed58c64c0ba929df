"""Whatever is logged about a run names it in fields, and only processes of ours set logging up."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.mutants import proves, replaced

from luaflow import activity
from luaflow.activity import Context, Info
from luaflow.observe import logs
from luaflow.observe.logs import AddFields, attempt_fields, log_fields, setup_logging

ROOT = Path(__file__).parents[2]
ROOMS = ("shared", "worker", "scheduler", "web", "cli")
ABOUT = re.compile(r"\b(the run|workflow|activity|^.run) %s")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
INFO = Info("app:charge", 2, "o", "r1", "app:order", "orders", 1, 1000, 0, traceparent=TRACE)


def calls(*names: str) -> Iterator[tuple[str, ast.Call, dict[str, str]]]:
    """Calls of these functions in our code, and what variables of their files stand for."""
    for path in (found for room in ROOMS for found in (ROOT / room).rglob("*.py")):
        tree, texts = ast.parse(path.read_text()), dict[str, str]()
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                pairs = [(node.targets[0], node.value)]
                if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(node.targets[0].elts, node.value.elts, strict=True))
                texts |= {ast.unparse(name): ast.unparse(value) for name, value in pairs}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node, texts


def test_lines_about_a_run_have_its_fields() -> None:
    """A message that names a run, a workflow or an activity says so to machines, too."""
    seen, without = 0, []
    levels = ("debug", "info", "warning", "error", "exception", "log")
    for where, call, texts in calls(*(f"log.{level}" for level in levels)):
        words = [ast.unparse(argument) for argument in call.args]
        text = " ".join(texts.get(word, word) for word in words)
        if ABOUT.search(text):
            seen += 1
            if not any(keyword.arg == "extra" for keyword in call.keywords):
                without.append(f"{where}: {text}")
    assert seen > 15
    assert not without


def test_only_processes_set_logging_up() -> None:
    """A library leaves the handlers of its user alone."""
    places = {where.partition(":")[0] for where, *_ in calls("logging.basicConfig")}
    assert places == {"shared/luaflow/observe/logs.py"}
    places = {where.partition(":")[0] for where, *_ in calls("setup_logging")}
    assert places == {
        "cli/luaflow_cli/dev.py",
        "cli/luaflow_cli/serve.py",
        "scheduler/luaflow_scheduler/cli.py",
        "worker/luaflow_worker/cli.py",
    }


def test_a_program_that_uses_us_has_its_own_logging() -> None:
    """No handler, no level of ours; OpenTelemetry is loaded by who wants it."""
    code = """
import logging, sys
import luaflow.client, luaflow_worker.worker
assert not logging.getLogger().handlers
assert logging.getLogger("luaflow").level == logging.NOTSET
assert "luaflow.observe.otel" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where setup_logging() shall write; all loggers are as before afterwards."""
    root, one = logging.getLogger(), logging.getLogger("luaflow.store.link")
    before = root.handlers[:], root.level, one.level
    root.handlers[:] = []
    yield io.StringIO()
    root.handlers[:], level, own = before
    root.setLevel(level)
    one.setLevel(own)


@pytest.mark.parametrize("level", ["warning,luaflow.store.link=debug", "luaflow.store.link=debug"])
def test_loggers_have_levels_of_their_own(stream: io.StringIO, level: str) -> None:
    """What is not named has the level of all, info where none is said."""
    setup_logging("json", level, stream)
    for name in ("luaflow.store.link", "luaflow.store"):
        logging.getLogger(name).debug(name)
    logging.getLogger("luaflow.store").info("info")
    said = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert said == ["luaflow.store.link", *(["info"] if level.startswith("luaflow") else [])]


@pytest.mark.parametrize("level", ["", "loud", "info,", "info,luaflow=", "info,debug"])
def test_what_is_no_level_is_refused(stream: io.StringIO, level: str) -> None:
    """Nothing has been set up then."""
    before = logging.getLogger().handlers[:]
    with pytest.raises(ValueError, match="is no level: say debug, info, warning or error"):
        setup_logging(level=level, stream=stream)
    assert logging.getLogger().handlers == before


@pytest.fixture
def attempt() -> Iterator[None]:
    """The code of an activity runs."""
    token = activity.current.set(Context(lambda: INFO, lambda _: None))
    yield
    activity.current.reset(token)


@pytest.mark.usefixtures("attempt")
@proves(replaced(logs, "attempt_fields", lambda _: {}))
async def test_code_of_activities_logs_with_the_fields_of_the_attempt(stream: io.StringIO) -> None:
    """Whatever the logger; what the line says itself stands."""
    setup_logging("json", stream=stream)
    logging.getLogger("shop").info("hello", extra={"attempt": "mine"})
    line = json.loads(stream.getvalue())
    del line["ts"]
    assert line == {
        "level": "info",
        "logger": "shop",
        "message": "hello",
        "run_id": "r1",
        "workflow_id": "o",
        "workflow_type": "app:order",
        "queue": "orders",
        "activity": "app:charge",
        "attempt": "mine",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }


@pytest.mark.usefixtures("attempt")
def test_handlers_of_a_program_may_have_the_fields(stream: io.StringIO) -> None:
    """A filter adds them to the record; nothing of it is overwritten."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(run_id)s %(attempt)s %(step)s %(message)s"))
    handler.addFilter(AddFields())
    log = logging.getLogger("luaflow.test.shop")
    log.addHandler(handler)
    with log_fields(step=3):
        log.warning("hello", extra={"attempt": 1})
    log.removeHandler(handler)
    assert stream.getvalue() == "r1 1 3 hello\n"


def test_a_job_has_an_id_and_no_workflow() -> None:
    """The fields of a plain job."""
    info = Info("app:mail", 1, "", "r2", "", "mail", 1, 0, 0, job_id="j")
    expected = {"run_id": "r2", "queue": "mail", "activity": "app:mail", "attempt": 1}
    assert attempt_fields(info) == {**expected, "job_id": "j"}
