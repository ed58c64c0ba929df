"""Servers that speak TLS, for tests: the embedded one does not, the distributions' do."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.nodes import Node, data_node, free_port


@cache
def tls_server() -> Path:
    """A server with TLS: ``LUAFLOW_TEST_SERVER``, or one on PATH; without any the test is skipped.

    Not so in CI, where it fails.
    """
    named = os.environ.get("LUAFLOW_TEST_SERVER")
    for found in (named, shutil.which("redis-server"), shutil.which("valkey-server")):
        if found and _speaks_tls(found):
            return Path(found)
    text = "no server with TLS: install redis-server, or name one with LUAFLOW_TEST_SERVER"
    assert not os.environ.get("CI"), text
    pytest.skip(text)


def _speaks_tls(binary: str) -> bool:
    # one that listens nowhere ends at once, and says so; one without TLS does not know the word
    command = (binary, "--port", "0", "--tls-port", "0", "--unixsocket", "")
    told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return "Bad directive" not in told.stdout + told.stderr


class TlsNode:
    """A data node with a port for TLS beside its plain one, which the tests' own hands use."""

    def __init__(self, folder: Path, ca: Path, cert: Path, key: Path, *options: str) -> None:
        self.port = free_port()
        self.options = (
            *("--tls-port", str(self.port), "--tls-ca-cert-file", str(ca)),
            *("--tls-cert-file", str(cert), "--tls-key-file", str(key)),
            *("--tls-auth-clients", "optional"),
        )
        self.node: Node = data_node(folder, *self.options, *options)
        self.node.binary = tls_server()

    async def set(self, name: str, value: object) -> None:
        """Change a setting while it runs."""
        assert await self.node.ask("CONFIG", "SET", name, str(value))
