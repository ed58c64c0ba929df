"""YAML is read with lines, and hostile or careless files are refused by line."""

from __future__ import annotations

from typing import Any

import pytest

from luaflow.registry.problems import RegistryError
from luaflow.registry.yamlfile import MAX_BYTES, MAX_NODES, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("0644", 420),
        ("0x10", 16),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!int 1", 1),
        ("30s", "30s"),
        ("<<", "<<"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    """No word, date or time turns into something else behind a user's back."""
    found = parse(f"a: {text}\n".encode(), "f.yaml").data["a"]
    assert (found, type(found)) == (value, type(value))


def test_every_value_knows_its_line() -> None:
    """A value's line is that of its key; a missing one takes the nearest around it."""
    document = parse(b"a:\n  - b: 1\n    c: |\n      text\n  - 2\n", "f.yaml")
    assert document.data == {"a": [{"b": 1, "c": "text\n"}, 2]}
    assert [document.line(path) for path in [("a", 0, "b"), ("a", 0, "c"), ("a", 1)]] == [2, 3, 5]
    assert document.line(("a", 0, "missing")) == 2
    assert document.text_line(("a", 0, "c")) == 4


def test_json_is_read_alike() -> None:
    """A JSON file gives the same data with lines."""
    document = parse(b'{\n "a": [1, null],\n "b": "x\\u00e9"\n}\n', "f.json")
    assert document.data == {"a": [1, None], "b": "xé"}
    assert document.line(("b",)) == 3


@pytest.mark.parametrize(
    ("raw", "line", "message", "remedy"),
    [
        (b"a: 1\nb: [1\n", 3, "not YAML", "mend the syntax"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8", "save it as UTF-8"),
        (b"a: \x00\n", 1, "not YAML", "control characters"),
        (b"a: 1\nb: 2\na: 3\n", 3, "a stands twice, first in line 1", "keep one"),
        (b"a: &x 1\nb: *x\n", 2, "alias *x", "write the value out"),
        (b"a: 1\n---\nb: 2\n", 2, "second document", "one document a file"),
        (b"a:\n  !!python/object:os.system x\n", 2, "tag", "remove the tag"),
        (b"a: !!binary aGk=\n", 1, "tag", "remove the tag"),
        (b"a: !x {}\n", 1, "tag", "remove the tag"),
        (b"a: 9223372036854775808\n", 1, "does not fit 64 bits", "quote it"),
        (b"? [1]\n: 2\n", 1, "a key must be plain text", "quote the key"),
        (b"a: " + b"[" * 70 + b"]" * 70, 1, "deeper than 64", "flatten"),
        (b"a: [" + b"1," * (MAX_NODES + 1) + b"]", 1, "more than 10000 values", "split"),
        (b"#" * (MAX_BYTES + 1), 1, "at most 262144 are read", "split"),
    ],
)
def test_bad_files_name_line_and_remedy(raw: bytes, line: int, message: str, remedy: str) -> None:
    """Each bad file gives one error with its line and what to do."""
    with pytest.raises(RegistryError) as caught:
        parse(raw, "f.yaml")
    error = caught.value
    assert (error.file, error.line) == ("f.yaml", line)
    assert message in error.what
    assert remedy in error.remedy
    assert str(error) == f"f.yaml:{line}: {error.what} \u2013 {error.remedy}"


def test_an_alias_bomb_ends_at_its_first_alias() -> None:
    """Nothing is ever expanded."""
    bomb = "a: &a [x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(20)
    )
    with pytest.raises(RegistryError, match="alias"):
        parse(bomb.encode(), "f.yaml")
