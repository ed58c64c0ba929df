"""All targets, by name."""

from __future__ import annotations

from tests.fuzz.sources import Registries, Typed, Yaml
from tests.fuzz.target import Target
from tests.fuzz.texts import Names, Options, Queries, Times, Values

_ALL: tuple[type[Target], ...] = (
    *(Queries, Times, Names, Options, Values),
    *(Registries, Yaml, Typed),
)
TARGETS: dict[str, type[Target]] = {target.name: target for target in _ALL}
