"""What operators get wrong about the server: one clear line of each program, and its exit code."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from tests.support.nodes import free_port

from luaflow.embedded import EmbeddedServer

pytestmark = pytest.mark.heavy  # sixty processes
PROGRAMS = {
    "luaflow": ("luaflow_cli.main", "workflow", "list"),
    "luaflow server check": ("luaflow_cli.main", "server", "check"),
    "luaflow serve": ("luaflow_cli.main", "serve", "--port", "0"),
    "luaflow-worker": ("luaflow_worker.cli", "--queue", "q"),
    "luaflow-scheduler": ("luaflow_scheduler.cli", "--metrics-port", "0"),
}
SERVICES = [name for name in PROGRAMS if name not in ("luaflow", "luaflow server check")]
SECRET = "s3cret-of-the-test"


class Case(NamedTuple):
    """What is wrong: the address, with {port} and {secret}; the namespace; code and words."""

    url: str
    code: int
    says: str
    namespace: str = "default"
    programs: tuple[str, ...] = tuple(PROGRAMS)


CASES: dict[str, Case] = {
    "no server": Case("redis://127.0.0.1:1", 3, "cannot reach Redis at redis://127.0.0.1:1: "),
    "no address": Case("http://127.0.0.1:{port}", 2, "it begins with http://, and not with"),
    "no port": Case("redis://127.0.0.1:x", 2, "cannot be read: Port could not be cast"),
    "wrong password": Case(
        "redis://:wrong-{secret}@127.0.0.1:{port}", 3, "look at the user and the password"
    ),
    "no password": Case("redis://127.0.0.1:{port}", 3, "Authentication required: look at the user"),
    "unknown user": Case(
        "redis://nobody:{secret}@127.0.0.1:{port}", 3, "look at the user and the password"
    ),
    "a user that may nothing": Case(
        "redis://few:{secret}@127.0.0.1:{port}", 3, "no permissions to run", programs=("luaflow",)
    ),
    "a user that may not see": Case(
        "redis://blind:{secret}@127.0.0.1:{port}", 5, "let the user 'blind' run the command"
    ),
    "TLS to a server without": Case(
        "rediss://:{secret}@127.0.0.1:{port}",
        3,
        "a port that does not speak TLS: is it redis://?",
    ),
    "no TLS to a server with it": Case(
        "redis://:{secret}@127.0.0.1:{closing}",
        3,
        "a server that speaks TLS alone: is it rediss://?",
    ),
    "more partitions than there are": Case(
        "redis://:{secret}@127.0.0.1:{port}", 5, "partitions must be 1-1024, not 5000", "many"
    ),
    "settings of another kind": Case(
        "redis://:{secret}@127.0.0.1:{port}", 5, "settings of the namespace 'odd' cannot", "odd"
    ),
    "no such namespace": Case(
        "redis://:{secret}@127.0.0.1:{port}", 4, "there is no namespace 'nope': make it", "nope"
    ),
    "another program's data": Case(
        "redis://:{secret}@127.0.0.1:{port}/1", 5, "lf:namespaces on this server is another"
    ),
    "an old server": Case(
        "redis://:{secret}@127.0.0.1:{old}",
        5,
        "is too old: luaflow needs Redis 7.0 or Valkey 7.2 at least",
        programs=("luaflow server check", *SERVICES),
    ),
}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, server_binary: Path | None
) -> Iterator[dict[str, Any]]:
    """A server with a password, and things in it that are wrong; its ports and the password."""
    port = free_port()
    extra = ("--port", str(port), "--bind", "127.0.0.1")
    folder = tmp_path_factory.mktemp("bad")
    with EmbeddedServer(folder, appendfsync="no", binary=server_binary, extra=extra):
        with redis.Redis(port=port) as client:
            client.hset("lf:namespaces", "many", '{"partitions":5000}')
            client.hset("lf:namespaces", "odd", '{"partitions":"some"}')
            rest = {"enabled": True, "passwords": [f"+{SECRET}"]}
            client.acl_setuser("few", commands=["+ping"], **rest)
            client.acl_setuser(
                "blind", categories=["+@all"], commands=["-hget"], keys=["*"], **rest
            )
            client.config_set("requirepass", SECRET)
        with redis.Redis(port=port, password=SECRET, db=1) as client:
            client.set("lf:namespaces", "of another program")
        yield {"port": port, "secret": SECRET}


@asynccontextmanager
async def listening(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[int]:
    """A port of this machine."""
    found = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with found:
        yield found.sockets[0].getsockname()[1]


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a server that wants TLS does with plain words."""
    await reader.read(1)
    writer.close()


def _aged(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    """Pass everything on to a server that says that it is an older one."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while text := await reader.read(1 << 20):
            # (as long as before: the answer says how long it is)
            writer.write(re.sub(rb"((?:redis|valkey)_version:)\d\.", rb"\g<1>6.", text))
            await writer.drain()
        writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, ours), pump(theirs, writer), return_exceptions=True)

    return answer


async def ended(words: tuple[str, ...], url: str, namespace: str, folder: Path) -> tuple[int, str]:
    """Run a program to its end, which must come by itself: its exit code and what it said."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LUAFLOW_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *words,
        env=env | {"LUAFLOW_REDIS_URL": url, "LUAFLOW_NAMESPACE": namespace},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        said, _ = await process.communicate()
        pytest.fail(f"{' '.join(words)} does not end: {said.decode()}")
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("name", CASES)
async def test_one_clear_line_and_the_code(
    name: str, server: dict[str, Any], tmp_path: Path
) -> None:
    """All programs say the same, once, without a traceback, and never the password."""
    case = CASES[name]
    async with listening(_close) as closing, listening(_aged(server["port"])) as old:
        url = case.url.format(**server, closing=closing, old=old)
        ends = await asyncio.gather(
            *(ended(PROGRAMS[one], url, case.namespace, tmp_path) for one in case.programs)
        )
    for program, (code, said) in zip(case.programs, ends, strict=True):
        assert (code, case.says in said) == (case.code, True), f"{program}: {code} {said}"
        assert "Traceback" not in said, program
        assert SECRET not in said, program
        assert "unexpected" not in said, program
        # (a service that waits a while for a server says so before)
        told = [
            one for one in said.splitlines() if "trying again" not in one and " WARNING " not in one
        ]
        assert sum(case.says in one for one in told) == 1, said


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("create", "taken"), 5, "the namespace 'taken' exists already"),
        (("create", "taken", "--partitions", "4"), 5, "the namespace 'taken' exists already"),
        (("create", "new", "--partitions", "5000"), 2, "--partitions must be 1 to 1024, not 5000"),
        (("create", "new", "--partitions", "many"), 2, "is not a valid integer"),
        (("update", "taken", "--partitions", "4"), 2, "the number of partitions is fixed"),
        (("create", "a:b"), 2, "is not a name"),  # (its keys would be those of a partition)
    ],
)
async def test_namespaces_that_collide(
    words: tuple[str, ...], code: int, says: str, server: dict[str, Any], tmp_path: Path
) -> None:
    """A namespace is made once, with partitions that stay; its name is no other's prefix."""
    url = "redis://:{secret}@127.0.0.1:{port}/2".format(**server)
    command = ("luaflow_cli.main", "namespace")
    await ended((*command, "create", "taken", "--partitions", "2"), url, "default", tmp_path)
    found = await ended((*command, *words), url, "default", tmp_path)
    assert (found[0], says in found[1], "Traceback" in found[1]) == (code, True, False), found
    _, described = await ended((*command, "describe", "taken"), url, "default", tmp_path)
    assert re.search(r"^partitions +2$", described, re.MULTILINE)
