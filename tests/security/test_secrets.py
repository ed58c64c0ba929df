"""Planted secrets: passwords, codec keys and the variables of an app are told to nobody."""

from __future__ import annotations

import asyncio
import base64
import re
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import acl
from tests.support.commands import Commands
from tests.support.nodes import Node, data_node
from tests.support.processes import Program

from luaflow.client import Client
from luaflow.codec.sealer import AES, NONE
from luaflow.deploy import deploy
from luaflow.errors import WorkflowFailed
from luaflow.registry.app import load_app
from luaflow.store.credentials import fill_in
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace

TOKEN = "token-of-a-test-77aa01"
KEY = base64.b64encode(b"key-of-a-test-0123456789-abcdef!").decode()
SECRETS = (acl.PASSWORD, TOKEN, KEY, "key-of-a-test-0123456789")
APP = """
namespace: app
entries:
  - {name: client, kind: temporal.client, address: "redis://localhost:6379"}
  - {name: worker, kind: temporal.worker, client: client, task_queue: orders}
  - {name: os, kind: env.storage.os}
  - {name: token, kind: env.variable, variable: API_TOKEN, storage: os}
  - name: pay
    kind: workflow.lua
    method: main
    modules: [funcs]
    meta: {temporal: {workflow: {worker: worker}}}
    source: |
      local function main(where)
        local policy = {initial_interval = 1, maximum_attempts = 2}
        local caller = require("funcs").new():with_options({["activity.retry_policy"] = policy})
        local sent, err = caller:call("app:send", where)
        if err then return nil, err end
        return sent
      end
      return { main = main }
  - name: send
    kind: function.lua
    method: main
    modules: [env, http_client]
    meta: {temporal: {activity: {worker: worker}}}
    source: |
      local function main(where)
        local token = env.get("API_TOKEN")
        local url = where:gsub("TOKEN", token)
        local options = {headers = {Authorization = "Bearer " .. token}, timeout = "2s"}
        local _, err = http_client.get(url, options)
        if err then return nil, err end
        return "sent"
      end
      return { main = main }
"""
# what a secret is put into, and what goes wrong with it there
PLACES = (
    "http://me:TOKEN@127.0.0.1:1/pay?token=TOKEN",
    "http://me:TOKEN@nowhere.invalid/pay?token=TOKEN",
    "http://me:TOKEN@[::1/pay?token=TOKEN",
    "http://me:TOKEN@host:port/pay?token=TOKEN",
    "ftp://me:TOKEN@host/pay?token=TOKEN",
)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A server with a port, on which only the users of the namespace have passwords."""
    found = await data_node(tmp_path / "server").start()
    yield found
    found.kill()


async def everything(node: Node) -> str:
    """All that the server has: keys and values, whatever their type."""
    found: list[Any] = []
    for key in await node.ask("KEYS", "*"):
        kind = bytes(await node.ask("TYPE", key)).decode()
        read = {
            "hash": ("HGETALL", key),
            "stream": ("XRANGE", key, "-", "+"),
            "zset": ("ZRANGE", key, 0, -1),
            "set": ("SMEMBERS", key),
            "list": ("LRANGE", key, 0, -1),
        }
        found += [key, await node.ask(*read.get(kind, ("GET", key)))]
    return repr(found)


def listed(program: Program) -> str:
    """What a list of processes shows of a program and of those that it started."""
    shown = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            session = (folder / "stat").read_text().rpartition(")")[2].split()[3]
            if int(session) == program.pid:
                shown.append((folder / "cmdline").read_text())
        except OSError:
            continue
    assert shown
    return "\n".join(shown)


async def served(program: Program) -> str:
    """What it says to Prometheus and to Kubernetes."""
    found = await program.line(r"http://127\.0\.0\.1:(\d+)/metrics")

    def ask() -> str:
        said = []
        for path in ("metrics", "readyz", "healthz"):
            url = f"http://127.0.0.1:{found[1]}/{path}"
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    said.append(answer.read().decode())
            except urllib.error.HTTPError as error:
                said.append(error.read().decode())
        return "\n".join(said)

    return await asyncio.to_thread(ask)


@pytest.mark.usefixtures("true_processes")
@pytest.mark.parametrize("codec", [NONE, AES])
async def test_nobody_hears_of_a_secret(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    """Not the keys of the server, logs, metrics, process lists, nor descriptions and histories."""
    app, word = tmp_path / "app", tmp_path / "password"
    app.mkdir()
    (app / "_index.yaml").write_text(APP)
    word.write_text(acl.PASSWORD + "\n")
    word.chmod(0o600)
    environment = {
        "LUAFLOW_REDIS_URL": node.url,
        "LUAFLOW_NAMESPACE": "town",
        "LUAFLOW_REDIS_PASSWORD_FILE": str(word),
        "LUAFLOW_CODEC_KEYS": "k1:env:CODEC_KEY",
        "CODEC_KEY": KEY,
        "API_TOKEN": TOKEN,
        "LUAFLOW_HTTP_PRIVATE": "allow",
    }
    monkeypatch.setenv("LUAFLOW_CODEC_KEYS", "k1:env:CODEC_KEY")
    monkeypatch.setenv("CODEC_KEY", KEY)
    link = Link(node.url)
    await create_namespace(link, "town", Settings(partitions=1, codec=codec))
    await acl.make_users(link, "town")
    programs: list[Program] = []
    try:
        async with await Client.connect(node.url, "town") as client:
            await deploy(client.store, load_app(app))
            for role, module, words in (
                ("worker", "luaflow_worker.cli", ("--queue", "orders", "--app", str(app))),
                ("scheduler", "luaflow_scheduler.cli", ()),
            ):
                program = Program(role, "serves|looks after")
                programs.append(program)
                user = {"LUAFLOW_REDIS_USERNAME": f"town-{role}"}
                how = ("--metrics-port", "0", "--log-format", "json")
                await program.start(module, *words, *how, **environment, **user)
                await program.line(program.ready)
            seen = [await failed(client, place) for place in PLACES]
            # a password that is wrong for a while: it is said that it is, and not what it was
            word.write_text("wrong-password-of-a-test\n")
            await link.batch([("CLIENT", "KILL", "USER", "town-worker")])
            await programs[0].line(
                "invalid username-password|cannot reach|connection to Redis lost"
            )
            word.write_text(acl.PASSWORD)
            seen.append(await failed(client, PLACES[0]))
            for program in programs:
                seen += [await served(program), listed(program), *program.lines]
        seen.append(await everything(node))
    finally:
        for program in programs:
            await program.kill()
        await link.close()
    for text in seen:
        for secret in (*SECRETS, "wrong-password-of-a-test"):
            assert secret not in text, text


async def failed(client: Client, place: str) -> str:
    """All that is told of a run whose request fails."""
    handle = await client.start("app:pay", place)
    with pytest.raises(WorkflowFailed) as caught:
        await handle.result(30)
    history = [event.to_json() async for event in handle.history()]
    return repr([caught.value.message, caught.value.details, await handle.describe(), history])


def test_the_command_line_tells_no_password(tmp_path: Path) -> None:
    """Of an address that is wrong in any way, and of a file that cannot be read."""
    word = "secret-word-of-a-test"
    for url in (
        f"redis://me:{word}@127.0.0.1:1",
        f"redis://:{word}@127.0.0.1:1/0?what={word}",
        f"redis://me:{word}@127.0.0.1:port",
        f"redis://me:{word}@[::1",
        f"redis://127.0.0.1:1?password={word}&db=x",
        f"rediss://me:{word}@127.0.0.1:1?ssl_ca_certs=/nowhere.pem",
        f"redis+sentinel://me:{word}@127.0.0.1:1/m?sentinel_password={word}",
        f"redis+cluster://me:{word}@127.0.0.1:1",
        f"http://me:{word}@127.0.0.1",
    ):
        answer = Commands(url, "default")("workflow", "list")
        assert answer.code in (2, 3), answer
        assert word not in answer.out + answer.err, answer
        assert answer.err.count("\n") == 1, answer
    gone = Commands("redis://127.0.0.1:1?password_file=/nowhere/word", "default")(
        "workflow", "list"
    )
    assert gone.code == 3
    assert "the password file /nowhere/word cannot be read: No such file" in gone.err
    empty = tmp_path / "empty"
    empty.write_text("\n")
    answer = Commands(f"redis://127.0.0.1:1?password_file={empty}", "default")("workflow", "list")
    assert re.search("the password file .*empty must hold one line", answer.err)


@pytest.mark.parametrize(
    ("given", "environment", "user", "word"),
    [
        ({}, {"LUAFLOW_REDIS_PASSWORD": "a"}, None, "a"),
        ({}, {"LUAFLOW_REDIS_PASSWORD_FILE": "F", "LUAFLOW_REDIS_PASSWORD": "a"}, None, "of F"),
        ({}, {"LUAFLOW_REDIS_USERNAME": "u", "LUAFLOW_REDIS_PASSWORD": "a"}, "u", "a"),
        (
            {"username": "x"},
            {"LUAFLOW_REDIS_USERNAME": "u", "LUAFLOW_REDIS_PASSWORD": "a"},
            "x",
            "a",
        ),
        (
            {"password": "b"},
            {"LUAFLOW_REDIS_USERNAME": "u", "LUAFLOW_REDIS_PASSWORD": "a"},
            None,
            "b",
        ),
        ({"password_file": "F"}, {"LUAFLOW_REDIS_PASSWORD": "a"}, None, "of F"),
        ({"path": "/s"}, {"LUAFLOW_REDIS_PASSWORD": "a"}, None, None),
        ({"login": "sentinel"}, {"LUAFLOW_REDIS_PASSWORD": "a"}, None, None),
        ({"login": "sentinel"}, {"LUAFLOW_SENTINEL_PASSWORD_FILE": "F"}, None, "of F"),
    ],
)
def test_what_goes_first(
    tmp_path: Path,
    given: dict[str, str],
    environment: dict[str, str],
    user: str | None,
    word: str | None,
) -> None:
    """The address, then a file, then a variable; Sentinels have words of their own."""
    (tmp_path / "F").write_text("of F\n")
    settings: dict[str, Any] = {
        name: str(tmp_path / "F") if value == "F" else value for name, value in given.items()
    }
    fill_in(settings, {k: str(tmp_path / "F") if v == "F" else v for k, v in environment.items()})
    assert (settings.get("username"), settings.get("password")) == (user, word)
    assert not settings.keys() & {"password_file", "login"}
