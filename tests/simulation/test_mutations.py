"""Every protocol rule undone on purpose is found by a seed: the simulation can fail."""

from __future__ import annotations

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation, hunt
from tests.simulation.wire import Server

LIGHT = [m for m in MUTATIONS if m.light]


pytestmark = [
    # what a killed actor left half done ends with it
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mutation", LIGHT, ids=lambda m: m.name)
def test_a_broken_rule_is_found(mutation: Mutation, server: Server) -> None:
    assert hunt(mutation, server), f"no seed finds that {mutation.name} ({mutation.rule})"


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_every_broken_rule_is_found(mutation: Mutation, server: Server) -> None:
    assert hunt(mutation, server), f"no seed finds that {mutation.name} ({mutation.rule})"
