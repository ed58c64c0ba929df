"""Fields of a log line are for people: what is no plain data becomes text."""

from __future__ import annotations

import orjson
from tests.lua.support_kernel import Play
from tests.support.mutants import kernel_mutant, proves


@proves(kernel_mutant("modules/logger", "K.errors.is_error(value) or codec", "codec"))
async def test_an_error_in_the_fields_is_its_text() -> None:
    """As print would show it."""
    play = Play(
        """return function()
        local logger = require("logger"):with({ cause = errors.new("first") })
        local failure = errors.wrap(errors.new({ message = "gone", kind = "NotFound" }), "loading")
        logger:error("failed", { error = failure, count = 2 })
    end""",
        start=False,
    )
    lines: list[bytes] = []
    play.run.log = lambda _level, _text, fields: lines.append(fields)
    play.step(b"start", [], {})
    fields = orjson.loads(lines[0])
    assert (fields["cause"], fields["error"], fields["count"]) == ("first", "loading: gone", 2)
