"""os.time of tables that leave things out; and errors that were wrapped before they left."""

from __future__ import annotations

import pytest
from tests.modules.support_modules import play


def test_what_a_date_leaves_out() -> None:
    """Its time is midnight, its date today: 2023-11-14 in this workflow."""
    run = play(
        """return { os.time({ year = 2024, month = 6, day = 15 }), os.time({ day = 1 }),
        os.time({ hour = 1 }),
        os.time({ year = 2024, month = 12, day = 25, hour = 10, min = 30 }) }""",
        modules=(),
    )
    assert run.result == [1718409600, 1698796800, 1699923600, 1735122600]


@pytest.mark.parametrize("value", ["'x'", "1.5"])
def test_what_is_no_number_is_refused(value: str) -> None:
    """With the name of the field."""
    run = play(f"return {{ pcall(os.time, {{ year = {value} }}) }}", modules=())
    assert run.result == [False, "flow.lua:1: field 'year' is not an integer"]


def test_a_wrapped_error_crosses_as_the_inner_one() -> None:
    """Message and kind are preserved (contract 9.3); what it was wrapped in stays behind."""
    run = play(
        """local inner = errors.new({ message = "in", kind = errors.NOT_FOUND, retryable = false })
        return nil, errors.wrap(errors.wrap(inner, "mid"), "out")""",
        modules=(),
    )
    assert (run.failure["kind"], run.failure["message"]) == ("NotFound", "in")
    assert run.failure["retryable"] is False
