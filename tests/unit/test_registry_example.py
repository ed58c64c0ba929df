"""The order application loads and checks without a word."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from luaflow.registry import check_app, load_app, make_bundles
from luaflow.registry.entries import PythonEntry

ORDERS = Path(__file__).parents[2] / "examples" / "orders"


def test_the_order_application_gives_no_warning() -> None:
    """Every workflow has a bundle on the queue `orders`."""
    app = load_app(ORDERS, {})
    assert check_app(app) == []
    deployments = {found.entry_id: found for found in make_bundles(app)}
    assert set(deployments) == set(app.workflows)
    assert {found.task_queue for found in deployments.values()} == {"orders"}
    assert {"app:order_workflow", "app:order_demo", "app:saga"} <= set(deployments)


def test_every_python_handler_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `handler` names is there and can be called."""
    monkeypatch.syspath_prepend(ORDERS)
    handlers = [
        e.handler for e in load_app(ORDERS, {}).activities.values() if isinstance(e, PythonEntry)
    ]
    assert len(handlers) == 2
    for handler in handlers:
        module, _, name = handler.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
