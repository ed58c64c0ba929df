"""The targets there are, by name."""

from __future__ import annotations

from tests.fuzz.connections import Connections
from tests.fuzz.edges import Addresses, CommandLines
from tests.fuzz.programs import Programs
from tests.fuzz.servers import Servers
from tests.fuzz.sources import Registries, Typed, Yaml
from tests.fuzz.stored import ArchivedRuns, Packed, SealedPayloads
from tests.fuzz.target import Target
from tests.fuzz.texts import Names, Options, Queries, Times, Values

TARGETS: dict[str, type[Target]] = {
    target.name: target
    for target in (
        *(Registries, Yaml, Typed, Programs, Queries, Times, Names, Options, Values),
        *(Packed, ArchivedRuns, SealedPayloads, Addresses, CommandLines, Servers, Connections),
    )
}
