"""Real processes on a server whose settings change under them: ready, not ready, ready."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request

import pytest
from tests.crash.conftest import APP, NAMESPACE, World
from tests.support.processes import Fleet, Program

from luaflow.embedded import EmbeddedServer
from luaflow.store.link import Link

pytestmark = pytest.mark.heavy

METRICS = r"^metrics on (http://\S+)/metrics"


async def ask(base: str, path: str) -> tuple[int, str]:
    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(base + path) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(get)


async def change(server: EmbeddedServer, policy: str) -> None:
    """Set a policy, and cut all connections as a fail-over does."""
    link = Link(server.url)
    await link.batch([("CONFIG", "SET", "maxmemory-policy", policy)])
    await link.batch([("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")])
    await link.close()


async def becomes(base: str, code: int) -> str:
    """What /readyz says once it answers so: the process looks when it has connected again."""
    async with asyncio.timeout(20):
        while True:
            got, text = await ask(base, "/readyz")
            if got == code and "connection" not in text:
                return text
            await asyncio.sleep(0.1)  # nobody tells a load balancer either


async def test_workers_schedulers_and_serve_are_not_ready(
    fleet: Fleet, server: EmbeddedServer, world: World
) -> None:
    """Each of them answers 503 with the reason on a server that evicts, and 200 once it is well."""
    await world()
    serve = Program("serve", "^luaflow serve")
    fleet.programs.append(serve)
    words = ["--port", "0", "--metrics-port", "0", "--redis", server.url, "--namespace", NAMESPACE]
    await serve.start("luaflow_cli.main", "serve", str(APP), *words)
    programs = [await fleet.worker("--metrics-port", "0"), await fleet.scheduler(), serve]
    bases = [(await program.line(METRICS))[1] for program in programs]
    for base in bases:
        assert (await becomes(base, 200)).startswith("ready\n")
    await change(server, "allkeys-lfu")
    for base in bases:
        assert "CONFIG SET maxmemory-policy noeviction" in await becomes(base, 503)
        _, text = await ask(base, "/metrics")
        assert 'luaflow_server_findings{check="eviction",level="refuse"} 1.0' in text
    await change(server, "noeviction")
    for base in bases:
        assert (await becomes(base, 200)).startswith("ready\n")
