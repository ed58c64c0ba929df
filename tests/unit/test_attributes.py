"""Search attributes in the index: the order of texts is that of values; conditions on them."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from luaflow.domain.attributes import MOST, field_of, indexed, value_of, values_in
from luaflow.domain.failure import Invalid
from luaflow.domain.visibility import Condition, parse_query

NUMBERS = [float("-inf"), -(10**30), -2.5, -1, -1e-300, 0, 1e-300, 0.5, 1, 2, 2**53, 10**400]
TEXTS = ["", "\0", "\1", "\2", "\2a", "\3", "a", "a\0", "a\0b", "a\1", "aa", "b", "é", "\u4e2d"]


@pytest.mark.parametrize("values", [NUMBERS, TEXTS, [False, True]])
def test_texts_are_ordered_as_values_are(values: list[Any]) -> None:
    """Also where a text holds the bytes that divide a member of the index."""
    texts = [value_of(value).encode() for value in values]
    assert texts == sorted(texts)
    assert len(set(texts)) == len(texts)


def test_no_value_reaches_into_the_next_part() -> None:
    """Names and values hold none of the two bytes that the index is divided by."""
    for text in TEXTS:
        assert not {"\0", "\1"} & set(field_of(text) + value_of(text))


def test_equal_numbers_have_one_place() -> None:
    """Whichever way they are written; minus zero is zero."""
    assert value_of(3) == value_of(3.0)
    assert value_of(-0.0) == value_of(0)
    assert value_of(True) != value_of(1)


def test_each_value_of_a_list_has_a_place() -> None:
    """Once, and not what is no text, number or boolean; 100 places at most."""
    places, text = indexed({"a": ["x", "y", "x"], "n": 1, "raw": {"$": "bytes"}})
    assert [p.split("\0") for p in places.decode().split("\1")] == [
        ["@a", "sx"],
        ["@a", "sy"],
        ["@n", value_of(1)],
    ]
    assert orjson.loads(text)["raw"] == {"$": "bytes"}
    assert indexed({}) == (b"", b"")
    many = {f"a{n}": n for n in range(MOST + 5)}
    assert values_in(many) == MOST + 5
    assert len(indexed(many)[0].split(b"\1")) == MOST


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("amount > 5", Condition("amount", ">", 5)),
        ("amount <= -2.5e3", Condition("amount", "<=", -2500.0)),
        ("vip = TRUE", Condition("vip", "=", True)),
        ("city != 'it''s'", Condition("city", "!=", "it's")),
        ('n = "5"', Condition("n", "=", "5")),
        ("`a b` = c", Condition("a b", "=", "c")),
        ("`status` = 1", Condition("status", "=", 1)),
        ("TaskQueue = q", Condition("task_queue", "=", "q", attribute=False)),
        ("start_time >= '1970-01-01T00:00:01Z'", Condition("start_time", ">=", 1000, False)),
    ],
)
def test_conditions(text: str, condition: Condition) -> None:
    """Quotes make a text, anything else is a number or boolean where it looks like one."""
    assert parse_query(text).conditions == (condition,)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = 1 OR b = 2", "at 6"),
        ("a == = 1", "at 0"),
        ("a = 1 AND", "at 6"),
        ("a = 1 AND b ~ 2", "at 9"),
        ("a = 1 AND status > running", "at 9"),
        ("a = 1 AND (b = 2)", "at 9"),
        ("type = a AND type = b", "at 12"),
    ],
)
def test_what_cannot_be_read_says_where(text: str, where: str) -> None:
    """The position is that of the part that is not understood."""
    with pytest.raises(Invalid, match=where):
        parse_query(text)


def test_values_of_different_kinds_are_never_compared() -> None:
    """No error and no match: a text is not above a number, true is not 1."""
    run = {"attributes": {"n": 1, "t": "1", "b": True, "l": ["x", "y"]}, "close_time": None}
    ops, names = ("=", "!=", "<", ">"), ("n", "t", "b")
    values: tuple[Any, ...] = (1, "1", True)
    for (i, name), (j, value), op in itertools.product(enumerate(names), enumerate(values), ops):
        assert Condition(name, op, value).holds(run) is (i == j and op == "=")
    assert Condition("l", "=", "y").holds(run)
    assert not Condition("missing", "!=", 1).holds(run)
    assert not Condition("close_time", ">", 0, attribute=False).holds(run)
