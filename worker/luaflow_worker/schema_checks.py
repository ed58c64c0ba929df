"""What functions are given and give back, held against the schemas of their entries."""

from __future__ import annotations

import orjson

from luaflow.domain.failure import Invalid
from luaflow.registry.entries import CallableEntry
from luaflow.registry.schemas import check_input, check_output, text_of
from luaflow_worker.attempt import Attempt, Outcome


def refused_input(entry: CallableEntry, attempt: Attempt) -> Outcome | None:
    """The failure of an attempt whose input does not follow its schema; else None."""
    if entry.input_schema is None:
        return None
    try:
        check_input(text_of(entry.input_schema), orjson.loads(attempt.input), entry.id)
    except Invalid as error:
        return Outcome(failure=error.failure())
    return None


def checked(entry: CallableEntry, outcome: Outcome) -> Outcome:
    """The outcome, or a failure where the result does not follow its schema."""
    if entry.output_schema is None or outcome.failure or outcome.deferred:
        return outcome
    try:
        check_output(text_of(entry.output_schema), orjson.loads(outcome.result), entry.id)
    except Invalid as error:
        return Outcome(failure=error.failure())
    return outcome
