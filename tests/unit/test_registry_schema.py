"""The JSON Schema of registry files is of today, and says of apps what the loader says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tools.registry_schema import FILE, READERS, keys_of, text

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(FILE.read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
APPS = sorted(
    path
    for room in ("examples", "bench", "tests")
    for path in (ROOT / room).rglob("*.yaml")
    if "namespace:" in path.read_text()
)


def test_the_file_is_of_today() -> None:
    """The schema that is shipped is what the readers ask for."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    stale = "registry.schema.json is stale: run .venv/bin/python -m tools.registry_schema"
    assert FILE.read_text() == text(), stale


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.parent.name)
def test_our_apps_pass(path: Path) -> None:
    """Apps that load have nothing to be marked in an editor."""
    found = [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))]
    assert found == []


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"name": "w", "kind": "temporal.worker", "worker_options": {"identity": []}}, "[]"),
        ({"name": "w", "kind": "temporal.worker", "worker_options": []}, "[]"),
        ({"name": "f", "kind": "function.lua", "modules": "json"}, "json"),
        ({"name": "f", "kind": "process.lua", "meta": {"temporal": {"activity": 7}}}, "7"),
        ({"kind": "function.lua"}, "name"),
    ],
)
def test_mistakes_are_marked(entry: dict[str, Any], part: str) -> None:
    """What the loader refuses is marked while it is written."""
    found = VALIDATOR.iter_errors({"namespace": "app", "entries": [entry]})
    assert any(part in error.message for error in found)


def test_every_reader_is_asked() -> None:
    """The keys come from the readers: a new one cannot be forgotten."""
    assert "task_queue" in keys_of("temporal.worker")
    for kind in READERS:
        assert keys_of(kind), kind
