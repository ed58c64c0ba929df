"""Finds keys that a script touches without declaring them, on a plain server.

Each script call runs as a user that may touch exactly the call's KEYS; what else it touches is
answered ``NOPERM``. A cluster would find such a key only when it happens to live on another node.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from redis.exceptions import ResponseError

from luaflow.store import cluster, links
from luaflow.store.link import Arg, Call, Link

_GLOB = re.compile(r"([\\*?\[\]])")
_TAG = re.compile(r"\{[^}]+\}")


class LintedLink(Link):
    """A link whose scripts may touch what they declare and nothing else."""

    found: list[str]
    """What was found, of all links made under one ``linted()``."""

    def __init__(self, url: str, *, name: str = "luaflow", confirm: tuple[Arg, ...] = ()) -> None:
        super().__init__(url, name=name, confirm=confirm)
        self._user = f"lint-{uuid.uuid4().hex[:12]}"

    async def _send(
        self,
        commands: Sequence[Call | tuple[Arg, ...]],
        *,
        body: bool = False,
        asking: bool = False,
    ) -> list[Any]:
        assert not asking, "a suite that moves slots is not linted: it checks itself"
        sent: list[Call | tuple[Arg, ...]] = []
        places = []
        for command in commands:
            if isinstance(command, Call):
                self._check_slot(command)
                allowed = [f"~{_pattern(key)}" for key in command.keys]
                # the key that nobody has (includes/partition.lua), asked for on a cluster
                allowed.append(f"~{_pattern(command.keys[0])}:")
                rules = ("on", "nopass", "+@all", "allchannels", "resetkeys", *allowed)
                sent += [("ACL", "SETUSER", self._user, *rules), ("AUTH", self._user, "-")]
            places.append(len(sent))
            sent.append(command)
            if isinstance(command, Call):
                sent.append(("AUTH", "default", "-"))
        answers = await super()._send(sent, body=body)
        wanted = [answers[place] for place in places]
        for command, answer in zip(commands, wanted, strict=True):
            if isinstance(answer, ResponseError) and "access" in str(answer):
                assert isinstance(command, Call), command
                self.found.append(f"{command.script.name}.lua: {answer}")
        around = [answer for i, answer in enumerate(answers) if i not in places]
        assert all(answer == b"OK" for answer in around), around
        return wanted

    async def close(self) -> None:
        """Close the connection; the user goes with it."""
        if self.connected:
            await super()._send([("ACL", "DELUSER", self._user)])
        await super().close()

    def _check_slot(self, call: Call) -> None:
        tags = {tag[0] for key in call.keys if (tag := _TAG.search(key))}
        if len(tags) != 1 or not all(_TAG.search(key) for key in call.keys):
            self.found.append(f"{call.script.name}.lua: keys of several slots {call.keys}")


@contextmanager
def linted() -> Iterator[list[str]]:
    """Make the links of stores opened meanwhile ``LintedLink``; yields what they find."""
    found: list[str] = []
    one = type("LintedLink", (LintedLink,), {"found": found})
    node = type("LintedNodeLink", (LintedLink, cluster.NodeLink), {"found": found})
    with patch.object(links, "Link", one), patch.object(cluster, "NodeLink", node):
        yield found


def _pattern(key: str) -> str:
    """The ACL pattern of one key; a blank cannot stand in one."""
    return re.sub(r"\s", "?", _GLOB.sub(r"\\\1", key))
