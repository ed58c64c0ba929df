"""luaflow serve and dev, as the processes they are: HTTP from the first line to the last."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.apps import HEAD, WORKFLOW, write_app
from tests.support.commands import Commands
from tests.support.processes import Program

HTTP = """\
  - name: gateway
    kind: http.service
    addr: "127.0.0.1:0"
  - name: api
    kind: http.router
    meta: {server: gateway}
    middleware: [cors, otel]
  - name: slow
    kind: function.lua
    source: file://slow.lua
    method: handler
    modules: [http, time]
  - name: slow.endpoint
    kind: http.endpoint
    meta: {router: api}
    method: GET
    path: /slow
    func: slow
"""
SLOW = """\
local function handler()
  http.response():write("half ")
  http.response():flush()
  time.sleep("300ms")
  http.response():write("whole")
end
return {handler = handler}
"""
RETURNS = "return function(a) return {a} end"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    files: dict[str, str | bytes] = {"src/app.yaml": HEAD + WORKFLOW + HTTP}
    return write_app(tmp_path / "a", files | {"src/slow.lua": SLOW, "src/wf.lua": RETURNS})


@pytest.fixture
async def programs() -> AsyncIterator[list[Program]]:
    """What a test starts; all of it ends with the test."""
    started: list[Program] = []
    yield started
    await asyncio.gather(*(one.kill() for one in started))


async def serve(
    programs: list[Program], luaflow: Commands, *words: str, verb: str = "serve"
) -> Program:
    program = Program(verb, "")
    programs.append(program)
    where = ("--redis", luaflow.url, "--namespace", luaflow.namespace)
    return await program.start("luaflow_cli.main", verb, *words, *where)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def get(url: str, **how: Any) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, **how) as response:
        return response.status, await response.text()


async def test_serve_until_sigterm(programs: list[Program], luaflow: Commands, app: Path) -> None:
    """It says where it serves what; at SIGTERM it ends what is in flight, and then itself."""
    words = (str(app), "--port", "0", "--metrics-port", "0")
    program = await serve(programs, luaflow, *words)
    said = await program.line(
        r"serves app:gateway on (http://127.\S+:\d+), the API on (http://\S+)"
    )
    ops = (await program.line(r"metrics on (http://\S+)/metrics"))[1]
    await program.line("warning: .*middleware: otel does nothing in this release")
    code, text = await get(f"{ops}/readyz")
    assert (code, text.splitlines()[0]) == (200, "ready")  # warnings may follow
    status, alive = await get(f"{ops}/healthz")
    assert (status, "the event loop turned" in alive) == (200, True)
    status, listed = await get(f"{said[2]}/api/v1/workflows")
    assert (status, "next_page" in listed) == (200, True)
    async with aiohttp.ClientSession() as session, session.get(f"{said[1]}/slow") as response:
        assert await response.content.readany() == b"half "
        program.send(signal.SIGTERM)
        assert await response.read() == b"whole"
    assert await program.ended() == 0
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(f"{said[1]}/slow")


@pytest.mark.parametrize("what", ["addr", "port", "metrics-port"])
async def test_a_port_that_is_taken(
    programs: list[Program], luaflow: Commands, app: Path, taken: int, what: str
) -> None:
    """One line that names it, and code 1."""
    value = f"127.0.0.1:{taken}" if what == "addr" else str(taken)
    program = await serve(programs, luaflow, str(app), "--port", "0", f"--{what}", value)
    assert await program.ended() == 1
    assert not [line for line in program.lines if "Traceback" in line]
    (line,) = [line for line in program.lines if line.startswith("error: ")]
    assert str(taken) in line
    assert "choose another" in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--port", "99999"), "is not a port"),
        (("--port", "x"), "is not a port"),
        (("--addr", "8080"), "--addr must be host:port"),
        (("--addr", ":0", "--app", "none"), "no such folder"),
    ],
)
def test_bad_options(luaflow: Commands, app: Path, words: tuple[str, ...], says: str) -> None:
    """What makes no sense is a usage error, before anything is asked of a server."""
    folder = () if "--app" in words else (str(app),)
    answer = luaflow("serve", *folder, *words, "--redis", "redis://127.0.0.1:1")
    assert answer.code == 2, answer
    assert says in answer.err


def test_nothing_to_serve(luaflow: Commands, tmp_path: Path) -> None:
    """An app without a service, and no API; an address for one that is not there."""
    write_app(tmp_path, {"src/app.yaml": HEAD})
    answer = luaflow("serve", str(tmp_path), "--port", "none")
    assert (answer.code, "there is nothing to serve" in answer.err) == (2, True)
    answer = luaflow("serve", str(tmp_path), "--addr", ":0")
    assert (answer.code, "and it has 0" in answer.err) == (2, True)


def test_no_server(luaflow: Commands, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis that is not there is code 3, as everywhere."""
    monkeypatch.setattr("luaflow.store.opening.PATIENCE_SECONDS", 0.1)
    answer = luaflow("serve", str(app), "--redis", "redis://127.0.0.1:1")
    assert (answer.code, "cannot reach Redis" in answer.err) == (3, True)


def test_a_handler_that_does_not_compile(luaflow: Commands, app: Path) -> None:
    """It is found at the start, with its line."""
    (app / "src" / "slow.lua").write_text("local function handler(\n")
    answer = luaflow("serve", str(app))
    assert answer.code == 2
    assert "slow.lua:1:24: " in answer.err


def test_without_the_library(luaflow: Commands, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setattr("luaflow_cli.serve.has_http", lambda: False)
    answer = luaflow("serve", str(app))
    assert (answer.code, 'pip install "luaflow[http]"' in answer.err) == (2, True)


def _certificate(folder: Path) -> None:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))


async def test_tls(programs: list[Program], luaflow: Commands, app: Path) -> None:
    """With certificate and key it speaks HTTPS, and asks clients for theirs when told to."""
    yaml = app / "src" / "app.yaml"
    tls = "    tls: {mode: manual, cert: cert.pem, key: key.pem%s}\n"
    plain = yaml.read_text()
    gateway = '    addr: "127.0.0.1:0"\n'
    yaml.write_text(plain.replace(gateway, gateway + tls % ""))
    missing = await serve(programs, luaflow, str(app), "--port", "none")
    await missing.line("error: the certificate cert.pem with the key key.pem cannot be used")
    assert await missing.ended() == 2
    _certificate(app)
    trust = ssl.create_default_context(cafile=app / "cert.pem")
    program = await serve(programs, luaflow, str(app), "--port", "none")
    url = (await program.line(r"serves app:gateway on (https://\S+)"))[1]
    assert await get(f"{url}/slow", ssl=trust) == (200, "half whole")
    assert await program.stop() == 0
    both = ", client_ca: cert.pem, client_auth: require"
    yaml.write_text(plain.replace(gateway, gateway + tls % both))
    program = await serve(programs, luaflow, str(app), "--port", "none")
    url = (await program.line(r"serves app:gateway on (https://\S+)"))[1]
    with pytest.raises(aiohttp.ClientError):
        await get(f"{url}/slow", ssl=trust)
    trust.load_cert_chain(app / "cert.pem", app / "key.pem")
    assert await get(f"{url}/slow", ssl=trust) == (200, "half whole")


async def test_dev_serves_http(programs: list[Program], luaflow: Commands, app: Path) -> None:
    """The app's services and the API, on a port of their own."""
    program = await serve(programs, luaflow, str(app), "--port", "0", verb="dev")
    said = await program.line(r"serves app:gateway on (http://\S+), the API on (http://\S+)")
    await program.line("luaflow is ready")
    assert await get(f"{said[1]}/slow") == (200, "half whole")
    async with aiohttp.ClientSession(said[2]) as session:
        body = {"type": "app:wf", "input": 7, "workflow_id": "w"}
        async with session.post("/api/v1/workflows", json=body) as response:
            assert response.status == 201
        async with session.get("/api/v1/workflows/w/result") as response:
            assert await response.json() == {"status": "completed", "result": [7]}
    program.send(signal.SIGINT)
    assert await program.ended() == 0


def test_dev_takes_another_port_than_the_usual_one(taken: int) -> None:
    """Where somebody listens on it, and none was asked for."""
    from luaflow_cli import dev

    assert dev._taken(taken)
    assert not dev._taken(0)
    assert not dev._taken(None)


def test_dev_without_the_library(
    app: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how to get HTTP, and runs the rest."""
    from luaflow.registry import load_app
    from luaflow_cli import dev

    monkeypatch.setattr("luaflow_cli.dev.has_http", lambda: False)
    assert dev._http(load_app(app), 8233) == ()
    assert 'pip install "luaflow[http]"' in capsys.readouterr().err
