"""Schemas that are made to cost much, or to be no schemas in ways a library does not expect."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import Any

import orjson
import pytest
from tests.support.mutants import proves, replaced

from luaflow import patience
from luaflow.domain.failure import Failure, Invalid
from luaflow.lua.services import schemas as lua_schemas
from luaflow.registry import schema_rules
from luaflow.registry.schemas import check_input, mistake, text_of


def doubling(depth: int) -> dict[str, Any]:
    """A small schema that is 2^depth checks."""
    defs: dict[str, Any] = {"a0": {"type": "integer"}}
    for n in range(1, depth + 1):
        defs[f"a{n}"] = {"allOf": [{"$ref": f"#/$defs/a{n - 1}"}] * 2}
    return {"$ref": f"#/$defs/a{depth}", "$defs": defs}


COSTLY: tuple[tuple[dict[str, Any], Any], ...] = (
    ({"pattern": "^(a+)+$"}, "a" * 40 + "!"),
    (doubling(30), 1),
    ({"uniqueItems": True}, [{"a": n} for n in range(20000)]),
)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is less time than usual."""
    monkeypatch.setattr(lua_schemas, "SECONDS", 0.2)
    monkeypatch.setattr(schema_rules, "SECONDS", 0.2)


@pytest.mark.parametrize(("schema", "value"), COSTLY)
@pytest.mark.usefixtures("hurried")
def test_a_costly_schema_ends(schema: dict[str, Any], value: Any) -> None:
    """Whether code asks, or an entry has the schema: the worker goes on."""
    began = time.thread_time()
    found = lua_schemas.validate(orjson.dumps(schema), orjson.dumps(value), False)
    assert isinstance(found, Failure)
    assert found.kind == "Timeout"
    assert mistake(schema) is None
    with pytest.raises(Invalid, match=r"more than 0\.2 s"):
        check_input(text_of(schema), [value], "app:f")
    assert time.thread_time() - began < 2


NONE: tuple[dict[str, Any], ...] = (
    {"pattern": "(("},
    {"patternProperties": {"[": {}}},
    {"$schema": ["x"]},
    {"$schema": 5},
)


@pytest.mark.parametrize("schema", NONE)
def test_what_is_no_schema_is_said_at_load(schema: dict[str, Any]) -> None:
    """And code that hands it over is told so, too."""
    assert mistake(schema) is not None
    found = lua_schemas.validate(orjson.dumps(schema), b'{"x":1}', False)
    assert isinstance(found, Failure)
    assert "is not a JSON schema" in found.message


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"items": {"$ref": "#"}},
        {"$schema": "http://json-schema.org/draft-03/schema#", "type": [{"type": "x"}]},
        {"$schema": "http://json-schema.org/draft-03/schema#", "type": "x"},
    ],
)
def test_what_shows_only_with_a_value_is_invalid(schema: dict[str, Any]) -> None:
    """References without end, values nested deeper than Python goes, types of old drafts."""
    value: Any = {}
    for _ in range(250):
        value = [value]
    with pytest.raises(Invalid):
        check_input(text_of(schema), [value], "app:f")
    found = lua_schemas.validate(orjson.dumps(schema), orjson.dumps(value), True)
    assert isinstance(found, Failure)


def test_a_schema_nested_too_deep_is_none() -> None:
    """It is said, where Python's own depth ends first."""
    schema: dict[str, Any] = {}
    for _ in range(450):
        schema = {"not": schema}
    assert mistake(schema) is not None
    assert isinstance(lua_schemas.validate(json.dumps(schema).encode(), b"1", False), Failure)


def spin(seconds: float) -> None:
    """Use CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@proves(replaced(signal, "setitimer", lambda *_: None))
async def test_the_bound_is_of_time_of_this_thread() -> None:
    """Work ends after it, and nothing rings afterwards."""
    with pytest.raises(patience.OutOfTime), patience.at_most(0.05):
        spin(1)
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_other_threads_have_no_bound() -> None:
    """Signals do not reach them: they are not refused for that."""
    done = []

    def work() -> None:
        with patience.at_most(0.01):
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
