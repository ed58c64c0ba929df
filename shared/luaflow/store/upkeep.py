"""The typed door to the scripts of a partition itself: its settings, its memory, its clock."""

from __future__ import annotations

from collections.abc import Sequence

from luaflow.store.keys import Partition
from luaflow.store.link import Arg, Call
from luaflow.store.scripts import load


def settings(*, partition: Partition, version: int, fields: Sequence[Arg]) -> Call:
    """Write a partition's copy of the namespace settings, if it is newer."""
    return Call(load("settings"), [partition.meta], [version, *fields])


def head_room(*, partition: Partition, percent: int) -> Call:
    """Tell a partition how much of its memory the server uses."""
    return Call(load("head_room"), [partition.meta], [percent])


def confirm(*, partition: Partition) -> Call:
    """Write something, so that a WAIT behind it counts what was there before."""
    return Call(load("confirm"), [partition.meta], [])


def may(*, partition: Partition, commands: Sequence[str]) -> Call:
    """Ask which commands the user of the connection may not use; ``XGROUP CREATE`` is one."""
    return Call(load("may"), [partition.meta], [partition.bell(), *commands])


def shift_clock(*, partition: Partition, to: int, simulated: bool) -> Call:
    """Move namespace time forward; ``to`` is the offset, or the virtual clock, to be reached."""
    return Call(load("shift_clock"), [partition.meta], [to, int(simulated)])
