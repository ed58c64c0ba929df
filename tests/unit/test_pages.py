"""The runner of documentation sees what it must see: a page that lies is caught."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.pages import Session, blocks, matches, only_looks


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("b", "a\nb\nc\n", True),
        ("a … c", "a b c\n", True),
        ("a\n…\nd", "a\nb\nc\nd\n", True),
        ("a\nc", "a\nb\nc\n", False),
        ("a…", "b\n", False),
        ("a.c", "abc\n", False),
        ("error: no", "error: none\n", False),
    ],
)
def test_output_is_compared_line_by_line(shown: str, said: str, *, same: bool) -> None:
    """Dots stand for anything, alone on a line for any lines; all else must be there as it is."""
    assert matches(shown, said) is same


def test_files_are_named_by_the_paragraph_before(tmp_path: Path) -> None:
    """The last path in backticks names a block; a block right behind another has no name."""
    page = tmp_path / "page.md"
    page.write_text(
        "An entry `a:b` of `x/one.yaml`:\n\n```yaml\na: 1\n```\n\n```lua\nreturn 1\n```\n\n"
        "Run `it`:\n\n```sh\nfalse\n```\n"
    )
    found = [(b.language, b.text, b.file, b.line) for b in blocks(page)]
    assert found == [
        ("yaml", "a: 1\n", "x/one.yaml", 3),
        ("lua", "return 1\n", "", 7),
        ("sh", "false\n", "", 13),
    ]


def test_commands_share_a_session_and_may_not_fail(tmp_path: Path) -> None:
    """What one block exports the next one sees; the first command that fails ends its block."""
    with Session(tmp_path, server="unix:///here") as session:
        assert session.run("export A=1 URL=redis://localhost:6379\ncd examples") == (0, "")
        assert session.run('echo "$A $URL"\nbasename "$PWD"') == (0, "1 unix:///here\nexamples\n")
        assert session.run("false\necho never")[0] != 0
        assert session.run("make no-such-target")[0] != 0


def test_only_what_changes_nothing_is_run_again() -> None:
    """A start is never repeated, however often its output is looked for."""
    assert only_looks("luaflow workflow show -w a\nluaflow workflow list")
    assert not only_looks("luaflow workflow start -t a\nluaflow workflow list")
