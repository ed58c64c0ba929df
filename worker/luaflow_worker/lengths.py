"""Long histories: never an error, but each time a worker takes one anew it costs a replay."""

from __future__ import annotations

import logging

from luaflow.observe.logs import run_fields
from luaflow.store.transitions import Route

log = logging.getLogger(__name__)

LONG = 10_000
"""Events from which on a replay is told of, and avoided where it can be."""
VERY_LONG = 50_000
"""Events from which on that is a warning."""


def tell_of_length(route: Route, events: int, seconds: float) -> None:
    """Log the replay of a long history, with what to do about it."""
    if events < LONG:
        return
    level = logging.WARNING if events >= VERY_LONG else logging.INFO
    log.log(
        level,
        "workflow %s (run %s) has %d events; their replay took %.1f s, and does so whenever a"
        " worker takes the run anew: end a round with workflow.continue_as_new when"
        " workflow.history_length() has reached some thousands",
        route.workflow_id,
        route.run_id,
        events,
        seconds,
        extra=run_fields(route),
    )
