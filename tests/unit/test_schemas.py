"""JSON Schemas of entries: checked when an app loads, and followed wherever values cross."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.apps import HEAD, WORKFLOW, write_app

from luaflow.domain.failure import Invalid
from luaflow.registry.app import load_app
from luaflow.registry.bundle import Bundle, make_bundles
from luaflow.registry.problems import RegistryErrors
from luaflow.registry.schemas import check_input, check_output, mistake, text_of
from luaflow.store.deployed import DeployedType

ORDER = {
    "type": "object",
    "required": ["sku"],
    "properties": {
        "sku": {"type": "string"},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "extra": {"type": "object", "patternProperties": {"^x": {"type": "string"}}},
    },
    "$defs": {"item": {"type": "object", "properties": {"qty": {"type": "integer"}}}},
}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "input: None is not of type 'object'"),
        ([5, {"sku": "a"}], "input: 5 is not of type 'object'"),
        ([{}], "input: 'sku' is a required property"),
        ([{"sku": 1}], "input.sku: 1 is not of type 'string'"),
        ([{"sku": "a", "items": [{}, {"qty": "2"}]}], "input.items[1].qty: '2' is not of type"),
    ],
)
def test_a_bad_input_is_named_by_its_place(args: list[Any], said: str) -> None:
    """The message says where in the first argument the value is, and what is wrong with it."""
    with pytest.raises(Invalid) as caught:
        check_input(text_of(ORDER), args, "workflow 'w'")
    assert "the input of workflow 'w' does not follow its schema" in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        {"sku": "a"},
        {"sku": "a", "items": [], "extra": []},
        {"sku": "a", "items": [[], {"qty": 1}]},
    ],
)
def test_an_empty_table_is_both(value: dict[str, Any]) -> None:
    """Lua's empty table travels as an empty list; it is an object where one is asked for."""
    check_input(text_of(ORDER), [value], "w")


def test_only_the_first_argument_is_looked_at() -> None:
    """Further arguments are free; without a schema everything is."""
    check_input(text_of(ORDER), [{"sku": "a"}, 1, 2], "w")
    check_input("", [object()], "w")


def test_a_result_is_checked_alike() -> None:
    """The same rules, under another name."""
    with pytest.raises(Invalid, match=r"the result of f .* result: 'x' is not of type 'integer'"):
        check_output('{"type":"integer"}', "x", "f")


def test_long_values_are_not_quoted_whole() -> None:
    """A message stays readable whatever the value is."""
    with pytest.raises(Invalid) as caught:
        check_input('{"type":"integer"}', ["x" * 100_000], "w")
    assert len(caught.value.message) < 400


def test_nothing_is_fetched() -> None:
    """A reference to elsewhere is refused; one to nowhere is told when it is met."""
    found = mistake({"properties": {"a": {"$ref": "https://example.com/x.json"}}})
    assert found
    assert found[0] == ("properties", "a", "$ref")
    assert mistake({"$ref": "#/$defs/none"}) is None
    with pytest.raises(Invalid, match="refers to"):
        check_input('{"$ref": "#/$defs/none"}', [1], "w")


def app_of(folder: Path, schema: str, key: str = "input_schema") -> Path:
    """An app whose workflow has a schema, written below line 14."""
    files: dict[str, str | bytes] = {"wf.lua": "return { main = function() end }"}
    return write_app(folder, files | {"_index.yaml": HEAD + WORKFLOW + f"    {key}:\n{schema}"})


def test_a_bad_schema_is_found_at_its_line(tmp_path: Path) -> None:
    """The app does not load; file and line are those of the word that is wrong."""
    schema = "      type: object\n      properties:\n        qty:\n          type: whole\n"
    with pytest.raises(RegistryErrors) as caught:
        load_app(app_of(tmp_path, schema))
    (error,) = caught.value.errors
    assert error.line == 18 + 1
    assert "input_schema is no JSON Schema: 'whole' is not valid" in str(error)


def test_a_schema_file_is_checked_too(tmp_path: Path) -> None:
    """Of a schema in a file of its own the place inside is named."""
    write_app(tmp_path, {"in.json": '{"properties": {"a": {"type": 5}}}'})
    app = app_of(tmp_path, "").joinpath("_index.yaml")
    app.write_text(app.read_text().replace("input_schema:\n", "input_schema: file://in.json\n"))
    with pytest.raises(RegistryErrors, match=r"\(at properties/a/type\)"):
        load_app(tmp_path)


def test_bundles_carry_what_results_must_follow(tmp_path: Path) -> None:
    """A schema is part of the code; a workflow without one keeps the name it had."""
    plain = make_bundles(load_app(app_of(tmp_path / "a", "", "memo")))[0]
    schema = "      type: integer\n"
    other = make_bundles(load_app(app_of(tmp_path / "b", schema, "output_schema")))[0]
    assert b"output_schema" not in plain.bundle.content
    assert other.bundle.name != plain.bundle.name
    assert Bundle.from_bytes(other.bundle.content).output_schema == '{"type":"integer"}'
    started = make_bundles(load_app(app_of(tmp_path / "c", schema)))[0]
    assert (started.bundle.name, started.input_schema) == (plain.bundle.name, '{"type":"integer"}')


def test_types_of_older_releases_are_read() -> None:
    """The types table of before has no schemas; one without a schema is written as before."""
    one = DeployedType("t", "app:t", "b", "q", "app:worker", "app:client")
    assert b"schema" not in one.to_bytes()
    assert DeployedType.from_bytes(one.to_bytes()) == one
    two = one._replace(input_schema="{}")
    assert DeployedType.from_bytes(two.to_bytes()) == two


def test_the_library_is_loaded_when_it_is_needed(tmp_path: Path) -> None:
    """An app without schemas never pays for it."""
    app = app_of(tmp_path, "", "memo")
    code = (
        "import sys, pathlib; from luaflow.registry.app import load_app;"
        f"load_app(pathlib.Path({str(app)!r})); print('jsonschema' in sys.modules)"
    )
    words = [sys.executable, "-c", code]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
