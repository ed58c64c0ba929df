"""How long runs of a workflow are kept, as its registration says it."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from tests.support.apps import HEAD, write_app

from luaflow.deploy import _deployed
from luaflow.registry import RegistryErrors, load_app
from luaflow.registry.bundle import make_bundles
from luaflow.store.deployed import DeployedType

FLOW = HEAD + (
    "  - name: wf\n    kind: workflow.lua\n    source: 'return {main = function() end}'\n"
    "    meta: {temporal: {workflow: {worker: worker%s}}}\n"
)
HOUR = 3_600_000


def deployed(folder: Path, text: str) -> DeployedType:
    """What is deployed of a workflow whose registration has this text, too."""
    (one,) = make_bundles(load_app(write_app(folder, {"_index.yaml": FLOW % text})))
    return DeployedType.from_bytes(_deployed(one).to_bytes())


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (", retention: 24h", {"any": 24 * HOUR}),
        (", retention: {completed: 1h, failed: 720h}", {"completed": HOUR, "failed": 720 * HOUR}),
        (", retention: {any: 2h}", {"any": 2 * HOUR}),
    ],
)
def test_what_a_registration_says_is_deployed(
    tmp_path: Path, text: str, rules: dict[str, int]
) -> None:
    """A time for all outcomes, or one for each."""
    assert orjson.loads(deployed(tmp_path, text).retention) == rules


def test_without_it_nothing_is_stored(tmp_path: Path) -> None:
    """What is deployed then is what releases before wrote."""
    one = deployed(tmp_path, "")
    assert one.retention == ""
    assert b"retention" not in one.to_bytes()


@pytest.mark.parametrize("text", [", retention: 0s", ", retention: {lost: 1h}", ", retention: x"])
def test_what_means_nothing_is_refused(tmp_path: Path, text: str) -> None:
    """It is named with its line."""
    with pytest.raises(RegistryErrors, match=r"retention|lost"):
        deployed(tmp_path, text)
