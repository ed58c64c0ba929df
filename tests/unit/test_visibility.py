"""The query language of list and count, and the order of the index."""

from __future__ import annotations

import pytest

from luaflow.domain.failure import Invalid
from luaflow.domain.visibility import Query, bounds, page_token, parse_page, parse_query, run_of


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (None, Query()),
        ("  ", Query()),
        ("ExecutionStatus = 'Running'", Query(status="running")),
        ("executionstatus=ContinuedAsNew", Query(status="continued_as_new")),
        ('status == "timed_out"', Query(status="timed_out")),
        ("WorkflowType='app:it''s'", Query(type="app:it's")),
        ("type = app:pay and status=Failed", Query(type="app:pay", status="failed")),
        (
            "WorkflowId = 'a AND b' AND status = running",
            Query(status="running", workflow_id="a AND b"),
        ),
        ("WorkflowId = ''", Query(workflow_id="")),
    ],
)
def test_queries(text: str | None, query: Query) -> None:
    """A query is read as it was meant, whichever way it is spelled."""
    assert parse_query(text) == query


@pytest.mark.parametrize(
    "text",
    [
        "status",
        "= 'x'",
        "status = ",
        "status = 'nonsense'",
        "status > running",
        "StartTime = '2026'",
        "status = running status = failed",
        "status = running AND status = failed",
        "status = running AND",
        "status = running ANDtype = x",
        "status = 'running",
        "status = running OR type = x",
    ],
)
def test_bad_queries(text: str) -> None:
    """What cannot be read is refused, never guessed."""
    with pytest.raises(Invalid):
        parse_query(text)


def test_bounds_hold_exactly_one_value() -> None:
    """A range of the index holds its value and no other that begins alike."""
    low, high = bounds("type", "app:pay")
    members = [b"type\0app:pay\0" + b"0" * 12 + b"\0r", b"type\0app:pays\0x", b"type\0app:pa\0x"]
    inside = [m for m in members if low[1:] <= m < high[1:]]
    assert inside == members[:1]
    assert (low[:1], high[:1]) == (b"[", b"(")


def test_page_tokens_go_back() -> None:
    """A page token names the position it was made of; anything else is refused."""
    place = b"0123456789ab\0run-1"
    assert parse_page(page_token(place)) == place
    assert run_of(place) == "run-1"
    for bad in ("", "2", "0123456789ab-", "xyz-run", "0123456789AB-r"):
        with pytest.raises(Invalid):
            parse_page(bad)
