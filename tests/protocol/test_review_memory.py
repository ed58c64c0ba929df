"""Growth: letters between processes when memory is out, views that are not shown any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from tests.protocol.hand import Hand
from tests.protocol.test_memory import full
from tests.support.mutants import Violation, mutant, proves

from luaflow.errors import Refused
from luaflow.store import inboxes, scripts
from luaflow.store.transitions import NO_REQUEST


@contextmanager
def letters_allowed() -> Iterator[None]:
    """Letters are accepted whatever the server says."""
    scripts.load.cache_clear()
    with patch.object(scripts, "_OOM_REFUSED", scripts._OOM_REFUSED - {"post_inbox"}):
        yield
    scripts.load.cache_clear()


@pytest.mark.one_server("it sets the memory of one server")
@proves(Violation("letters need no memory", letters_allowed))
async def test_letters_are_refused_without_memory(hand: Hand) -> None:
    """Ten thousand may wait in an inbox; the node itself goes on saying that it is there."""
    p = inboxes.home(hand.store, "n")
    keep = inboxes.keep_inbox(partition=p, node="n")
    post = inboxes.post_inbox(partition=p, node="n", letter=b"{}", request=NO_REQUEST)
    assert await hand.store.one(keep) == [b"made"]
    assert (await hand.store.one(post))[0] == b"ok"
    async with full(hand.store):
        assert await hand.store.one(keep) == [b"kept"]
        with pytest.raises(Refused, match="out of memory"):
            await hand.store.one(post)


@proves(mutant("includes/other_operations", "if ARGV[i + 2] == '' then", "if false then"))
async def test_a_view_that_is_gone_leaves_nothing(hand: Hand) -> None:
    """A long run may show a thousand things, one after the other: it keeps those it shows."""
    route, _ = await hand.idle("w", "H", "v:a", "1", "H", "v:b", "2")
    await hand.tell(route)
    await hand.commit(await hand.take(route), "H", "v:a", "")
    assert [field for field in await hand.state(route) if field[:2] == "v:"] == ["v:b"]
