"""Each script happens whole or not at all (design 3, 2), and touches only keys it declares."""

from __future__ import annotations

import pytest
from tests.protocol.conftest import hand
from tests.protocol.hand import Hand
from tests.protocol.scenes import SCENES, contents, dump, script_of
from tests.support.mutants import mutant, proves

from luaflow.store.link import Call
from luaflow.store.scripts import names

__all__ = ["hand"]

REFUSED = {
    b"gone",
    b"closed",
    b"moved",
    b"early",
    b"fenced",
    b"lost",
    b"turn",
    b"behind",
    b"token",
    b"ts",
}
UNUSED = {"commit step": 4, "finish_activity": 1, "start gated": 1, "start rated": 1, "put_off": 1}
"""Of how many of its keys a scene's call makes no use, or none that it cannot do without."""
REFUSED |= {b"messages", b"gap", b"duplicate", b"void", b"busy", b"open", b"exists", b"no"}


def test_every_script_has_a_scene() -> None:
    """No script is left out of these tests."""
    assert {script_of(scene) for scene in SCENES} == set(names())


@pytest.mark.parametrize("scene", SCENES)
async def test_a_scene_does_the_whole_work(hand: Hand, scene: str) -> None:
    """The calls below fail because of a wrong type and for no other reason."""
    hand.excused = True  # bodies are empty, requests go nowhere
    answer = await hand.store.one(await SCENES[scene](hand))
    assert answer[0] not in REFUSED, answer


async def restore(hand: Hand, state: dict[str, bytes]) -> None:
    """Put back what ``dump`` found."""
    await hand.store.read(*(("DEL", key) for key in await contents(hand)))
    await hand.store.read(*(("RESTORE", key, 0, content) for key, content in state.items()))


async def write_nothing(hand: Hand, call: Call) -> int:
    """Each key of the call in turn has a wrong type: the call fails and changes no byte.

    Or it does not need that key and does its whole work; how often that was so.
    """
    store, without = hand.store, 0
    for key in dict.fromkeys(call.keys):
        state = await dump(hand)
        (there,) = await store.read(("EXISTS", key))
        if there:
            await store.read(("RENAME", key, f"{key}~"))
        await store.read(("SET", key, "of a wrong type"))
        before = await contents(hand)
        (answer,) = await store.at_once(call)
        after = await contents(hand)
        if isinstance(answer, Exception):
            assert "WRONGTYPE" in str(answer)
            changed = sorted(k for k in before | after if before.get(k) != after.get(k))
            assert not changed, f"{call.script.name} with a wrong {key} wrote {changed}"
        else:
            assert answer[0] not in REFUSED, f"{call.script.name} with a wrong {key}: {answer}"
            assert after[key] == before[key]
            without += 1
        await restore(hand, state)
    return without


@pytest.mark.parametrize("scene", SCENES)
async def test_a_wrong_type_changes_nothing(hand: Hand, scene: str) -> None:
    """Whichever key of a script has a wrong type: it fails before it writes."""
    hand.excused = True
    without = await write_nothing(hand, await SCENES[scene](hand))
    assert without == UNUSED.get(scene, 0)


@proves(
    mutant("includes/partition", "  typed()\n", ""),
    mutant("commit", "if not step then\n", "if false then\n"),
    mutant("commit", "if closing or r.sticky ~= sticky then", "if false then"),
)
async def test_types_are_looked_at_before_the_first_write(hand: Hand) -> None:
    """Without the look at all keys a commit would write a part of itself."""
    await write_nothing(hand, await SCENES["commit closing"](hand))


@proves(mutant("renew_task", "local v =", "rcall('HGET', meta_key .. 'x', 'a')\nlocal v ="))
async def test_undeclared_keys_are_refused(hand: Hand) -> None:
    """The suite runs scripts as a user that may touch their KEYS: another key is refused."""
    await hand.store.one(await SCENES["renew_task"](hand))
