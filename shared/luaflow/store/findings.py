"""Finding: one thing that is wrong with a server."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Check = Literal[
    "version",
    "eviction",
    "persistence",
    "disk",
    "memory",
    "replicas",
    "role",
    "clock",
    "permissions",
    "server",
]
CHECKS: Final = Check.__args__  # type: ignore[attr-defined]
"""Every word for what is looked at; metrics label with them."""


class Finding(NamedTuple):
    """Something wrong with the server: ``refuse`` (data would be lost) or ``warn``.

    ``unsure``: the server did not let itself be asked. ``check`` is what was looked at.
    """

    level: Literal["refuse", "warn"]
    text: str
    unsure: bool = False
    check: Check = "server"


def refusal_of(findings: list[Finding]) -> str:
    """Why no work must be given to this server; '' when it may."""
    return "; ".join(finding.text for finding in findings if finding.level == "refuse")
