"""What a temporal.client says of encryption and of who a process is: warned about, not believed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.apps import HEAD, write_app

from luaflow.registry import load_app


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ("tls: {enabled: true}", "tls says nothing here: this address is not encrypted"),
        ("auth: {type: api_key, api_key: k}", "auth says nothing here"),
        ("tls: {enabled: false}", ""),
        ("auth: {type: none}", ""),
    ],
)
def test_what_holds_elsewhere(tmp_path: Path, more: str, warned: str) -> None:
    """Nobody is to think that a plain connection is encrypted."""
    text = HEAD.replace("6379\n", f"6379\n    {more}\n", 1)
    app = load_app(write_app(tmp_path, {"_index.yaml": text}))
    found = [str(one) for one in app.warnings]
    assert any(warned in one for one in found) if warned else not found, found


def test_an_address_with_tls_is_not_warned_about(tmp_path: Path) -> None:
    """There it is true."""
    text = HEAD.replace(
        "localhost:6379\n", "rediss://localhost:6379\n    tls: {enabled: true}\n", 1
    )
    assert not load_app(write_app(tmp_path, {"_index.yaml": text})).warnings
