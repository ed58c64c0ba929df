from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaflow.errors import InvalidArgument, NotFound, Unavailable
from luaflow.objects import open_objects

KEYS = st.lists(
    st.text(st.characters(exclude_characters="/", codec="utf-8"), max_size=20), max_size=3
)


async def test_an_object_is_what_was_put_last_and_gone_when_it_is_deleted(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path}/store")
    await objects.put("runs/a/1", b"old")
    await objects.put("runs/a/1", b"new")
    await objects.put("runs/b", b"")
    assert await objects.get("runs/a/1") == b"new"
    assert await objects.keys("") == ["runs/a/1", "runs/b"]
    assert await objects.keys("runs/a/") == ["runs/a/1"]
    await objects.delete("runs/a/1")
    await objects.delete("runs/a/1")
    with pytest.raises(NotFound, match="runs/a/1"):
        await objects.get("runs/a/1")
    assert await objects.keys("runs/") == ["runs/b"]
    assert not (tmp_path / "store" / "runs" / "a").exists(), "an empty folder stays behind"


@given(parts=KEYS)
async def test_no_key_leaves_the_folder_and_each_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("objects")
    objects = open_objects(f"file://{folder}/in")
    key = "/".join(["k", *parts])
    await objects.put(key, b"x")
    assert await objects.get(key) == b"x"
    assert await objects.keys("") == [key]
    assert [path.name for path in folder.iterdir()] == ["in"]


async def test_a_failing_disk_is_unavailable_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file in the way")
    with pytest.raises(Unavailable, match="store"):
        await open_objects(f"file://{tmp_path}/store").put("a/b", b"x")


@pytest.mark.parametrize("url", ["file://relative/path", "ftp://host/x", "nothing"])
def test_an_address_that_is_none_is_refused_in_words(url: str) -> None:
    with pytest.raises(InvalidArgument, match="file"):
        open_objects(url)
