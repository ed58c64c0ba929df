"""TLS to one server, Sentinel and a cluster: what is believed, what is shown, and what is said."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.security.certificates import Authority, Signed
from tests.security.roles import Town, worker_day
from tests.support.commands import Answer, Commands
from tests.support.nodes import Node, free_port
from tests.support.tls import TlsNode, tls_server

from luaflow.store.links import make_link
from luaflow.store.namespaces import Settings, create_namespace

pytestmark = pytest.mark.heavy


class Bench:
    """A server with TLS, the authority that it and its clients believe, and one they do not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ours = Authority(folder / "ours", "ours")
        self.theirs = Authority(folder / "theirs", "theirs")
        self.server = self.ours.sign("server", "127.0.0.1", "redis.example.com")
        self.client = self.ours.sign("client")
        self.stranger = self.theirs.sign("stranger")
        self.tls = TlsNode(folder / "node", self.ours.cert, self.server.cert, self.server.key)

    @property
    def url(self) -> str:
        """Its TLS port, without any option."""
        return f"rediss://127.0.0.1:{self.tls.port}"

    @property
    def believed(self) -> str:
        """The same, with the CA file."""
        return f"{self.url}?ssl_ca_certs={self.ours.cert}"

    def shown(self, signed: Signed) -> str:
        """The same, with a certificate of the client, too."""
        return f"{self.believed}&ssl_certfile={signed.cert}&ssl_keyfile={signed.key}"

    async def look(self, url: str, **environment: str) -> Answer:
        """What the command line says to an address."""
        command = Commands(url, "default")
        return await asyncio.to_thread(command, "workflow", "list", env=environment)

    async def refused(self, url: str, *words: str, **environment: str) -> None:
        """Check that an address ends in one clear line, with exit code 3."""
        answer = await self.look(url, **environment)
        assert answer.code == 3, answer
        assert answer.err.count("\n") == 1, answer.err
        assert answer.err.startswith(f"error: cannot reach Redis at {url.partition('?')[0]}"[:40])
        for word in words:
            assert word in answer.err, answer.err


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    found = Bench(tmp_path)
    await found.tls.node.start()
    yield found
    found.tls.node.kill()


async def test_a_day_over_tls(bench: Bench) -> None:
    """A worker with a certificate, as a user of the server: everything it does goes over TLS."""
    await bench.tls.set("tls-auth-clients", "yes")
    town = Town(bench.shown(bench.client), "town", bench.folder / "app")
    await town.build()
    await worker_day(town)


async def test_variables_say_the_same(bench: Bench) -> None:
    """An address without options takes them from the environment."""
    files = {
        "LUAFLOW_REDIS_CA_FILE": str(bench.ours.cert),
        "LUAFLOW_REDIS_CERT_FILE": str(bench.client.cert),
        "LUAFLOW_REDIS_KEY_FILE": str(bench.client.key),
    }
    await bench.tls.set("tls-auth-clients", "yes")
    assert (await bench.look(bench.url, **files)).code == 0
    files["LUAFLOW_REDIS_CA_FILE"] = str(bench.theirs.cert)
    await bench.refused(bench.url, "LUAFLOW_REDIS_CA_FILE", **files)


async def test_whom_we_do_not_believe(bench: Bench) -> None:
    """Another CA than the named one, and none at all: the system's do not know it."""
    await bench.refused(f"{bench.url}?ssl_ca_certs={bench.theirs.cert}", "is not believed")
    await bench.refused(bench.url, "is not believed", "LUAFLOW_REDIS_CA_FILE")
    assert (await bench.look(bench.believed)).code == 0
    assert (await bench.look(f"{bench.url}?ssl_cert_reqs=none")).code == 0


async def test_a_certificate_that_is_over(bench: Bench) -> None:
    """It says so; a new one is taken without a restart."""
    over = bench.ours.sign("over", "127.0.0.1", ends=-dt.timedelta(hours=1))
    await bench.tls.node.ask(
        *("CONFIG", "SET", "tls-cert-file", str(over.cert), "tls-key-file", str(over.key))
    )
    await bench.refused(bench.believed, "has expired: renew it")


async def test_the_name_is_checked(bench: Bench) -> None:
    """A certificate of another host is refused, unless its name is the one that was asked for."""
    named = bench.ours.sign("named", "redis.example.com")
    await bench.tls.node.ask(
        *("CONFIG", "SET", "tls-cert-file", str(named.cert), "tls-key-file", str(named.key))
    )
    await bench.refused(bench.believed, "127.0.0.1", "LUAFLOW_REDIS_SERVER_NAME")
    name = {"LUAFLOW_REDIS_SERVER_NAME": "redis.example.com"}
    assert (await bench.look(bench.believed, **name)).code == 0
    assert (await bench.look(f"{bench.believed}&ssl_server_name=redis.example.com")).code == 0
    await bench.refused(f"{bench.believed}&ssl_server_name=other.example.com", "other.example.com")
    assert (await bench.look(f"{bench.believed}&ssl_check_hostname=false")).code == 0


async def test_who_shows_no_certificate(bench: Bench) -> None:
    """None, one of somebody else, one that is over; a file that is not there."""
    await bench.tls.set("tls-auth-clients", "yes")
    assert (await bench.look(bench.shown(bench.client))).code == 0
    await bench.refused(bench.believed, "wants a client's certificate")
    await bench.refused(bench.shown(bench.stranger), "our certificate")
    over = bench.ours.sign("over", ends=-dt.timedelta(hours=1))
    await bench.refused(bench.shown(over), "our certificate")
    gone = Signed(bench.client.cert, bench.folder / "gone.key")
    await bench.refused(bench.shown(gone), "the key", "gone.key cannot be read: No such file")
    mixed = Signed(bench.client.cert, bench.stranger.key)
    await bench.refused(bench.shown(mixed), "cannot be used")


async def test_the_wrong_port(bench: Bench) -> None:
    """Plain words to the port of TLS, and TLS to the port of plain words."""
    plain = bench.tls.node.port
    await bench.refused(f"redis://127.0.0.1:{bench.tls.port}", "is it rediss://?")
    await bench.refused(f"rediss://127.0.0.1:{plain}", "is it redis://?")


async def test_sentinel_over_tls(bench: Bench) -> None:
    """Sentinels and their master, each over TLS, with a client's certificate."""
    await bench.tls.set("tls-replication", "yes")
    await bench.tls.set("tls-auth-clients", "yes")
    port, tls_port = free_port(), free_port()
    folder = bench.folder / "sentinel"
    folder.mkdir()
    (folder / "sentinel.conf").write_text(
        f"port {port}\ntls-port {tls_port}\nbind 127.0.0.1\ntls-replication yes\n"
        f"tls-ca-cert-file {bench.ours.cert}\ntls-cert-file {bench.server.cert}\n"
        f"tls-key-file {bench.server.key}\ntls-auth-clients yes\n"
        f"sentinel monitor main 127.0.0.1 {bench.tls.port} 1\n"
    )
    sentinel = Node(
        folder, [str(folder / "sentinel.conf"), "--sentinel"], port=port, binary=tls_server()
    )
    await sentinel.start()
    try:
        url = bench.shown(bench.client).replace("rediss://", "rediss+sentinel://")
        url = url.replace(f":{bench.tls.port}?", f":{tls_port}/main?")
        assert (await bench.look(url)).code == 0
        wrong = url.replace(str(bench.ours.cert), str(bench.theirs.cert))
        await bench.refused(wrong, "no Sentinel answers", "is not believed")
        plain = url.partition("?")[0].replace("rediss+", "redis+")
        await bench.refused(plain, "no Sentinel answers", "is it rediss://?")
    finally:
        sentinel.kill()


async def test_cluster_over_tls(tmp_path: Path) -> None:
    """A node, its bus and its clients over TLS: it names its TLS port to those who come by TLS."""
    bench = Bench(tmp_path)
    options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
    bench.tls = TlsNode(
        *(tmp_path / "cluster", bench.ours.cert, bench.server.cert, bench.server.key),
        *(*options, "--tls-cluster", "yes"),
    )
    node = bench.tls.node
    await node.start()
    try:
        await node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        url = bench.shown(bench.client).replace("rediss://", "rediss+cluster://")
        link = make_link(url)
        async with asyncio.timeout(20):
            while True:
                (told,) = (await link.each(("CLUSTER", "INFO"))).values()
                if b"cluster_state:ok" in told[0]:
                    break
                await asyncio.sleep(0.05)
        await create_namespace(link, "default", Settings())
        await link.close()
        assert (await bench.look(url)).code == 0
        wrong = url.replace(str(bench.ours.cert), str(bench.theirs.cert))
        await bench.refused(wrong, "no node answers", "is not believed")
        plain = url.partition("?")[0].replace("rediss+", "redis+")
        await bench.refused(plain, "no node answers", "is it rediss://?")
    finally:
        node.kill()
