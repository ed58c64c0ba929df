"""Placeholders are filled from entries and the environment, by the contract's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.apps import write_app

from luaflow.registry import RegistryErrors, load_app
from luaflow.registry.interpolate import EnvError, EnvRegistry, Variable

ENV = EnvRegistry(
    {"HOST": "h", "PORT": "9", "FLAG": "true", "RATE": "2"},
    variables={
        "app:host": Variable("HOST", None, "own"),
        "app:gone": Variable("GONE", None, "own"),
        "app:fixed": Variable("K", "app:static", None),
        "app:routed": Variable("HOST", "app:router", None),
    },
    static={"app:static": {"K": 5}, "app:empty": {}},
    routers={"app:router": ("app:empty", "app:os")},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${env:HOST}", "h"),
        ("redis://${env:HOST}:${env:PORT|1}", "redis://h:9"),
        ("${env:PORT}", "9"),
        ("${env:PORT|6379}", 9),
        ("${env:NONE|6379}", 6379),
        ("${env:FLAG|false}", True),
        ("${env:RATE|1.5}", 2.0),
        ("${env:NONE|text}", "text"),
        ("${env:NONE|}", ""),
        ("${NONE|d}", "d"),
        ("${PORT|1}", 9),
        ("${PORT}", "${PORT}"),
        ("${port|1}", "${port|1}"),
        ("$${env:HOST}", "${env:HOST}"),
        ("${env:app:host|x}", "h"),
        ("${env:host}", "h"),
        ("${env:gone|inline}", "own"),
        ("${env:app:fixed}", "5"),
        ("${env:routed}", "h"),
    ],
)
def test_placeholders(text: str, value: Any) -> None:
    """A whole field keeps the type of its default; an entry's default beats the inline one."""
    found = ENV.resolve(text, "app")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("${env:NONE}", "NONE is not set", "set it, or write a default"),
        ("${env:HOST|1}", "HOST is 'h', which is no int", "something like 1"),
    ],
)
def test_what_cannot_be_filled(text: str, message: str, remedy: str) -> None:
    """A missing value and one of the wrong type are errors."""
    with pytest.raises(EnvError, match=message) as caught:
        ENV.resolve(text, "app")
    assert remedy in caught.value.remedy


YAML = """\
namespace: app
entries:
  - {name: os, kind: env.storage.os}
  - {name: queue, kind: env.variable, variable: QUEUE, storage: os, default: fallback}
  - name: client
    kind: temporal.client
    address: ${env:REDIS}
    namespace_env: SPACE
  - name: worker
    kind: temporal.worker
    client: client
    task_queue: ${env:queue}
    worker_options:
      max_concurrent_activity_execution_size: ${SLOTS|7}
"""


def test_entries_are_filled_when_the_app_is_loaded(tmp_path: Path) -> None:
    """Typed fields hold the values; `data` keeps what was written."""
    app = load_app(write_app(tmp_path, {"a.yaml": YAML}), {"REDIS": "r:1", "SPACE": "s"})
    client, worker = app.clients["app:client"], app.workers["app:worker"]
    assert (client.address, client.target_namespace) == ("r:1", "s")
    assert client.data["address"] == "${env:REDIS}"
    assert (worker.task_queue, worker.options.max_concurrent_activity_execution_size) == (
        "fallback",
        7,
    )
    assert [warning.line for warning in app.warnings] == [8]


def test_an_unset_variable_is_one_error_with_its_line(tmp_path: Path) -> None:
    """No second error about the field that is now empty."""
    with pytest.raises(RegistryErrors) as caught:
        load_app(write_app(tmp_path, {"a.yaml": YAML}), {"SPACE": "s"})
    assert [(e.line, e.what) for e in caught.value.errors] == [
        (7, "address cannot be filled: the environment variable REDIS is not set")
    ]
