"""The commands about what is kept, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.commands import Commands


def test_retention_and_archive_are_settings(luaflow: Commands, tmp_path: Path) -> None:
    """They are shown as they were set, and can be taken back."""
    url = f"file://{tmp_path}/archive"
    words = ("--retention-of", "failed=2h", "--retention-of", "any=1h", "--settle-after", "5s")
    shown = luaflow("namespace", "update", *words, "--archive", url, "-o", "json").json
    assert shown["retentions"] == {"failed": 7_200_000, "any": 3_600_000}
    assert (shown["archive"], shown["settle_after_ms"]) == (url, 5000)
    assert luaflow("workflow", "list", "--archived", "-o", "json").json["workflows"] == []
    none = ("--archive", "", "--retention-of", "")
    shown = luaflow("namespace", "update", *none, "-o", "json").json
    assert (shown["archive"], shown["retentions"]) == ("", {})


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("'lost' is no outcome", ("--retention-of", "lost=1h")),
        ("retention failed", ("--retention-of", "failed=long")),
        ("cannot be opened", ("--archive", "ftp://x/y")),
        ("names no folder", ("--archive", "file:relative")),
    ],
)
def test_what_cannot_be_is_refused(luaflow: Commands, says: str, words: tuple[str, ...]) -> None:
    """At the edge, with nothing changed."""
    before = luaflow("namespace", "describe", "-o", "json").json["version"]
    answer = luaflow("namespace", "update", *words)
    assert (answer.code, says in answer.err) == (2, True), answer
    assert luaflow("namespace", "describe", "-o", "json").json["version"] == before


def test_pinning_what_is_not_there(luaflow: Commands) -> None:
    """Nothing is pinned that does not exist."""
    for verb in ("pin", "unpin"):
        answer = luaflow("workflow", verb, "-w", "nobody")
        assert (answer.code, "no workflow" in answer.err) == (4, True), answer
