"""The keys of entries that control the flow: read, checked, with the line of each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.apps import HEAD, write_app

from luaflow.domain.flow import Concurrency, Flow, RateLimit, group_of, plan
from luaflow.registry import RegistryErrors, load_app
from luaflow.registry.bundle import make_bundles
from luaflow.registry.entries import WorkflowEntry

FLOW = HEAD + (
    "  - name: wf\n    kind: workflow.lua\n    source: 'return {main = function() end}'\n"
    "    meta: {temporal: {workflow: {worker: worker}}}\n"
)


def app_of(folder: Path, text: str) -> Path:
    """An app folder of one registry file."""
    return write_app(folder, {"_index.yaml": text})


def flow_of(folder: Path, text: str) -> Flow:
    """What is deployed of the workflow ``app:wf``."""
    (one,) = make_bundles(load_app(app_of(folder, text)))
    return Flow.from_text(one.flow)


def test_what_an_entry_says_is_deployed(tmp_path: Path) -> None:
    """The workflow's own keys, typed; the short form of a limit; the default of a strategy."""
    text = FLOW + "    concurrency: 3\n    rate_limit: {limit: 2, per: 1m, key: input.a}\n"
    assert flow_of(tmp_path, text) == Flow(
        "app:wf", Concurrency(3), RateLimit(2, 60_000, "input.a")
    )


def test_a_worker_limits_all_its_workflows(tmp_path: Path) -> None:
    """Its limit is one over all of them, unless a workflow has its own."""
    head = FLOW.replace("task_queue: orders\n", "task_queue: orders\n    concurrency: 7\n")
    assert flow_of(tmp_path / "a", head) == Flow("app:worker", Concurrency(7))
    own = head + "    concurrency: {limit: 1, strategy: cancel-running}\n    priority: 2\n"
    limit = Concurrency(1, "", "cancel_running")
    assert flow_of(tmp_path / "b", own) == Flow("app:wf", limit, None, 2)


def test_nothing_said_is_nothing_deployed(tmp_path: Path) -> None:
    """A type without limits costs nothing: there is no text to read."""
    (one,) = make_bundles(load_app(app_of(tmp_path, FLOW)))
    assert one.flow == ""
    assert plan(one.flow, "app:wf", []) is None


@pytest.mark.parametrize(
    ("keys", "what", "line"),
    [
        ("concurrency: 0", "concurrency must be a whole number from 1", 14),
        ("concurrency: many", "concurrency must be a whole number from 1", 14),
        ("concurrency: [1]", "concurrency must be a whole number", 14),
        ("concurrency: {key: a}", "concurrency.limit is required", 14),
        ("concurrency: {limit: 1.5}", "concurrency.limit must be a whole", 14),
        ("concurrency: {limit: 1, strategy: x}", "concurrency.strategy must be one of queue", 14),
        ("concurrency: {limit: 1, key: 'a b'}", "concurrency.key must be a name, or a path", 14),
        ("rate_limit: 5", "rate_limit must be a mapping", 14),
        ("rate_limit: {limit: 1, per: soon}", "rate_limit.per", 14),
        ("rate_limit: {limit: 1, per: 0}", "rate_limit.per must be at least", 14),
        ("rate_limit: {limit: -1}", "rate_limit.limit must be", 14),
        ("priority: 0", "priority must be a whole number from 1 to 5", 14),
        ("priority: high", "priority must be a whole number from 1 to 5", 14),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, keys: str, what: str, line: int) -> None:
    """Each is refused at load, where it stands."""
    with pytest.raises(RegistryErrors) as error:
        load_app(app_of(tmp_path, FLOW + f"    {keys}\n"))
    (one,) = error.value.errors
    assert what in one.what
    assert one.line == line


def test_unknown_keys_are_warned_of(tmp_path: Path) -> None:
    """A misspelling does not lift a limit without a word."""
    app = load_app(app_of(tmp_path, FLOW + "    concurrency: {limit: 1, stratgy: queue}\n"))
    assert any("concurrency.stratgy is not known" in str(w) for w in app.warnings)


def test_limits_of_local_activities_are_warned_of(tmp_path: Path) -> None:
    """They have a limit of their own kind."""
    text = FLOW + (
        "  - name: fn\n    kind: function.lua\n    source: return 1\n"
        "    rate_limit: {limit: 1}\n"
        "    meta: {temporal: {activity: {worker: worker, local: true}}}\n"
    )
    app = load_app(app_of(tmp_path, text))
    assert any("rate_limit does not hold for a local activity" in str(w) for w in app.warnings)


def test_entries_of_other_kinds_do_not_know_them(tmp_path: Path) -> None:
    """A client has no concurrency."""
    text = FLOW.replace("6379\n", "6379\n    concurrency: 1\n")
    app = load_app(app_of(tmp_path, text))
    assert any("concurrency is not known" in str(w) for w in app.warnings)


@pytest.mark.parametrize(
    ("key", "args", "group"),
    [
        ("", [1], "t\n"),
        ("db", [1], "\ndb"),
        ("input", ["a"], "t\na"),
        ("input", [7], "t\n7"),
        ("input.a.b", [{"a": {"b": "x"}}], "t\nx"),
        ("input.a", [{}], "t\nnull"),
        ("input.a", [], "t\nnull"),
        ("input.a", ["text"], "t\nnull"),
    ],
)
def test_keys_split_a_limit(key: str, args: list[object], group: str) -> None:
    """By a value of the first argument; a word is one group for all types."""
    assert group_of("t", key, args) == group


def test_long_values_are_hashed() -> None:
    """Keys have a bound, values have none."""
    assert len(group_of("t", "input", ["x" * 1000])) < 100
    assert group_of("t", "input", ["x" * 1000]) != group_of("t", "input", ["x" * 1001])


def test_the_entry_is_typed(tmp_path: Path) -> None:
    """Whoever reads the registry finds the limits there."""
    app = load_app(app_of(tmp_path, FLOW + "    concurrency: 2\n"))
    entry = app.entries["app:wf"]
    assert isinstance(entry, WorkflowEntry)
    assert entry.concurrency == Concurrency(2)
